package hooklint

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func finder(t *testing.T) *exec.Runner {
	t.Helper()
	r, err := exec.New(exec.Config{TempDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// write puts files below a new directory; those that begin with #! are executable.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") || strings.HasPrefix(text, "echo") {
			mode = 0o755
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// printed lints dir and returns what people see, without the path of dir.
func printed(t *testing.T, dir string, opts Options) (string, Report) {
	t.Helper()
	r, err := Lint(t.Context(), finder(t), []string{dir}, opts)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	Write(&b, r)
	return strings.ReplaceAll(b.String(), dir+"/", ""), r
}

const head = "#!/usr/bin/env bash\nset -euo pipefail\n"

// script is a hook that prints config from a heredoc that begins at line 5.
func hookWith(config string) string {
	return head + "if [[ ${1-} == --config ]]; then\ncat <<'YAML'\n" + config + "\nYAML\nexit 0\nfi\n"
}

// C-002, C-003, C-004, C-027: every file, why it is skipped, and every error with line and fix.
func TestEachFileAndEachErrorIsExplained(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"hooks/a.sh": hookWith(`configVersion: v1
kubernetes:
  - name: pods
    apiVersion: v1
    kind: Pod
    jqfilter: .metadata.name
    executeHookOnEvent: [added]
  - apiVersion: apps/v1
schedule:
  - crontab: "* * *"
    includeSnapshotsFrom: [pod]`),
		"hooks/b.sh":       head + `echo '{"configVersion": "v1", "onStartup": "10"}'` + "\n",
		"hooks/c.sh":       hookWith("configVersion: v1\nonStartup: 5\nschedule: [{name: every-5m, crontab: '*/5 * * * *', queue: own}]"),
		"hooks/d.sh":       head + "exit 3 # before --config\n",
		"hooks/e.sh":       "#!/no/such/interpreter\n",
		"hooks/lib/x.sh":   head,
		"hooks/notes.md":   "text",
		"hooks/forgot":     "text",
		"hooks/.hidden.sh": head,
	})
	if err := os.WriteFile(filepath.Join(dir, "hooks", "f.sh"), []byte(strings.ReplaceAll(head, "\n", "\r\n")), 0o755); err != nil {
		t.Fatal(err)
	}
	got, report := printed(t, dir, Options{})
	want := `hooks/.hidden.sh: skipped: a hidden file is skipped
hooks/a.sh: hook, standalone
  hooks/a.sh:10: kubernetes[0].jqfilter: is a forbidden property: did you mean jqFilter?
  hooks/a.sh:11: kubernetes[0].executeHookOnEvent[0]: should be one of [Added Modified Deleted], got "added": did you mean Added?
  hooks/a.sh:12: kubernetes[1].kind: is required: add kind: Pod
  hooks/a.sh:14: schedule[0].crontab: crontab is invalid: "* * *": expected 5 to 6 fields, found 3: [* * *]: five fields such as "*/5 * * * *", six with leading seconds, or @every 30s
  hooks/a.sh:15: schedule[0].includeSnapshotsFrom: 'pod' binding name not found among the kubernetes bindings of this hook: did you mean pods?
hooks/b.sh: hook, standalone
  hooks/b.sh:3: onStartup: should be a number, got "10": leave the quotes out: onStartup: 10
hooks/c.sh: hook, standalone
  onStartup 5
  schedule every-5m (*/5 * * * *, queue own)
hooks/d.sh: hook, standalone
  hooks/d.sh: --config ended with exit status 3: exit 0 after printing the configuration, whatever the environment
hooks/e.sh: hook, standalone
  hooks/e.sh: cannot be started: the interpreter of its #! line is not installed here: use #!/usr/bin/env NAME, and have NAME in the image
hooks/f.sh: hook, standalone
  hooks/f.sh:1: line ends are CRLF: the kernel looks for an interpreter "bash\r": sed -i 's/\r$//' FILE, and *.sh text eol=lf in .gitattributes
hooks/forgot: skipped: it is not executable: chmod +x makes it a hook
  hooks/forgot: warning: it is not executable: chmod +x makes it a hook [executable]
hooks/lib/: skipped: a directory called lib is skipped: it is for what hooks share
`
	got = strings.Join(slices.DeleteFunc(strings.SplitAfter(got, "\n"), func(l string) bool {
		return strings.Contains(l, "lib/x.sh") || strings.Contains(l, "notes.md") || strings.Contains(l, "hooks, ")
	}), "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if report.Hooks != 6 || report.Errors != 9 {
		t.Errorf("counted %d hooks and %d errors, want 6 and 9", report.Hooks, report.Errors)
	}
}

// The owner decides which keys are allowed (C-032, C-033).
func TestTheOwnerIsGuessedAndMayBeGiven(t *testing.T) {
	t.Parallel()
	config := func(key string) string { return hookWith("configVersion: v1\n" + key + ": 10") }
	dir := write(t, map[string]string{
		"modules/010-a/module.yaml":     "namespace: a\n",
		"modules/010-a/hooks/x.sh":      config("beforeHelm"),
		"modules/020-b/hooks/x.sh":      config("beforeAll"),
		"modules/values.yaml":           "",
		"global-hooks/hooks/010-x/x.sh": config("beforeAll"),
		"other/hooks/x.sh":              config("onStartup"),
	})
	module := hook.Owner{Module: "c"}
	for name, test := range map[string]struct {
		path  string
		owner *hook.Owner
		want  string
	}{
		"a directory of modules": {"modules", nil, `modules/010-a/hooks/x.sh: hook, a
  beforeHelm 10
modules/020-b/hooks/x.sh: hook, b
  modules/020-b/hooks/x.sh:6: beforeAll: is a forbidden property: allowed here are configVersion, settings, schedule, kubernetes, kubernetesValidating, kubernetesMutating, kubernetesCustomResourceConversion, onStartup, beforeHelm, afterHelm, beforeDeleteHelm, afterDeleteHelm: only global hooks have it: a module's hook has beforeHelm
2 hooks, 1 error, 0 warnings
`},
		"a module":              {"modules/010-a", nil, "modules/010-a/hooks/x.sh: hook, a\n  beforeHelm 10\n1 hook, 0 errors, 0 warnings\n"},
		"a hook of a module":    {"modules/010-a/hooks/x.sh", nil, "modules/010-a/hooks/x.sh: hook, a\n  beforeHelm 10\n1 hook, 0 errors, 0 warnings\n"},
		"global hooks":          {"global-hooks", nil, "global-hooks/hooks/010-x/x.sh: hook, global\n  beforeAll 10\n1 hook, 0 errors, 0 warnings\n"},
		"a folder among them":   {"global-hooks/hooks/010-x", nil, "global-hooks/hooks/010-x/x.sh: hook, global\n  beforeAll 10\n1 hook, 0 errors, 0 warnings\n"},
		"hooks without modules": {"other", nil, "other/hooks/x.sh: hook, standalone\n  onStartup 10\n1 hook, 0 errors, 0 warnings\n"},
		"a module by its name":  {"other", &module, "other/hooks/x.sh: hook, c\n  onStartup 10\n1 hook, 0 errors, 0 warnings\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Lint(t.Context(), finder(t), []string{filepath.Join(dir, test.path)}, Options{Owner: test.owner})
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			Write(&b, r)
			if diff := cmp.Diff(test.want, strings.ReplaceAll(b.String(), dir+"/", "")); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHabitsThatAreRegretted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		rule string // none when empty
	}{
		"a quiet hook":                       {hookWith("configVersion: v1\nonStartup: 1"), ""},
		"no set -e":                          {strings.Replace(hookWith("configVersion: v1\nonStartup: 1"), "set -euo pipefail\n", "", 1), ruleErrexit},
		"set -e later on the line is enough": {strings.Replace(hookWith("configVersion: v1\nonStartup: 1"), "set -euo pipefail", "set -u -e", 1), ""},
		"set -o errexit is enough":           {strings.Replace(hookWith("configVersion: v1\nonStartup: 1"), "set -euo", "set -o errexit -o", 1), ""},
		"python has no set -e":               {"#!/usr/bin/env bash\n# python\nset -e\necho '{configVersion: v1, onStartup: 1}'", ""},
		"set -x":                             {strings.Replace(hookWith("configVersion: v1\nonStartup: 1"), "set -euo", "set -eux -o", 1), ruleXtrace},
		"no configVersion":                   {hookWith("onStartup: 1"), ruleV0},
		"a key without effect":               {hookWith("configVersion: v1\nonStartup: 1\n---\nconfigVersion: v1"), ruleIgnored},
		"all pods whole":                     {hookWith("configVersion: v1\nkubernetes: [{kind: pods}]"), ruleFullObjects},
		"pods of one namespace":              {hookWith("configVersion: v1\nkubernetes: [{kind: Pod, namespace: {nameSelector: {matchNames: [a]}}}]"), ""},
		"all of a small kind":                {hookWith("configVersion: v1\nkubernetes: [{kind: StorageClass}]"), ""},
		"whole objects never read":           {hookWith("configVersion: v1\nkubernetes: [{kind: Pod, jqFilter: .spec.nodeName}]"), ruleUnusedObjects},
		"whole objects that are read":        {hookWith("configVersion: v1\nkubernetes: [{kind: Pod, jqFilter: .spec.nodeName}]") + "# .object\n", ""},
		"a filter with resourceVersion":      {hookWith("configVersion: v1\nkubernetes: [{kind: Pod, jqFilter: .metadata.resourceVersion, keepFullObjectsInMemory: false}]"), ruleNoisyFilter},
		"a filter that removes it":           {hookWith("configVersion: v1\nkubernetes: [{kind: Pod, jqFilter: del(.metadata.resourceVersion), keepFullObjectsInMemory: false}]"), ""},
		"a filter that gives all":            {hookWith("configVersion: v1\nkubernetes: [{kind: Pod, jqFilter: ., keepFullObjectsInMemory: false}]"), ruleNoisyFilter},
		"a filter with now":                  {hookWith("configVersion: v1\nkubernetes: [{kind: Pod, jqFilter: 'now', keepFullObjectsInMemory: false}]"), ruleImpureFilter},
		"a field that is called now":         {hookWith("configVersion: v1\nkubernetes: [{kind: Pod, jqFilter: '.spec.now, \"now\", .env', keepFullObjectsInMemory: false}]"), ""},
		"the default name":                   {hookWith("configVersion: v1\nkubernetes: [{kind: StorageClass, includeSnapshotsFrom: [kubernetes]}]"), ruleDefaultName},
		"two of a name":                      {hookWith("configVersion: v1\nkubernetes: [{name: a, kind: StorageClass}, {name: a, kind: IngressClass}]"), ruleDuplicateName},
		"every ten seconds in main":          {hookWith("configVersion: v1\nschedule: [{crontab: '*/10 * * * * *'}]"), ruleBusySchedule},
		"every ten seconds in its own queue": {hookWith("configVersion: v1\nschedule: [{crontab: '*/10 * * * * *', queue: q}]"), ""},
		"every minute in main":               {hookWith("configVersion: v1\nschedule: [{crontab: '* * * * *'}]"), ""},
		"a watch without effect":             {hookWith("configVersion: v1\nonStartup: 1\nkubernetes: [{kind: StorageClass, executeHookOnSynchronization: false, executeHookOnEvent: []}]"), ruleUnusedBinding},
		"a watch for a schedule's snapshot":  {hookWith("configVersion: v1\nschedule: [{crontab: '* * * * *', includeSnapshotsFrom: [a]}]\nkubernetes: [{name: a, kind: StorageClass, executeHookOnSynchronization: false, executeHookOnEvent: []}]"), ""},
		"a schedule that sees no snapshots":  {hookWith("configVersion: v1\nschedule: [{crontab: '* * * * *'}]\nkubernetes: [{name: a, kind: StorageClass}]") + "jq .[].snapshots\n", ruleLostSnapshots},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, map[string]string{"hooks/x.sh": test.text})
			text, report := printed(t, dir, Options{})
			var rules []string
			for _, x := range report.Files[0].Findings {
				rules = append(rules, x.Rule)
			}
			if report.Errors > 0 || (test.rule == "") != (len(rules) == 0) || test.rule != "" && !slices.Contains(rules, test.rule) {
				t.Fatalf("want rule %q alone:\n%s", test.rule, text)
			}
			if test.rule == "" {
				return
			}
			for _, rule := range rules {
				if Rules()[rule] == "" {
					t.Errorf("rule %s is not in Rules", rule)
				}
			}
			silent := write(t, map[string]string{"hooks/x.sh": strings.Replace(test.text, "\n", "\n# hook-lint: ignore="+strings.Join(rules, ",")+"\n", 1)})
			if text, report := printed(t, silent, Options{}); report.Warnings > 0 {
				t.Errorf("not silenced:\n%s", text)
			}
		})
	}
}

func TestErrorsCannotBeSilenced(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"hooks/x.sh": head + "# hook-lint: ignore=config\necho 'configVersion: v2'\n"})
	if text, report := printed(t, dir, Options{}); report.Errors != 1 {
		t.Errorf("want one error:\n%s", text)
	}
}

func TestANameCloseToAnAllowedOneIsSuggested(t *testing.T) {
	t.Parallel()
	words := []string{"Added", "Modified", "Deleted", "executeHookOnEvent", "jqFilter", "queue"}
	for got, want := range map[string]string{
		"added": "Added", "Update": "", "jq_filter": "jqFilter", "executeOnEvent": "executeHookOnEvent", "qeue": "queue", "quue": "queue",
		"x": "", "": "", "entirelyDifferentThing": "",
	} {
		if w := nearest(got, words); w != want {
			t.Errorf("nearest to %q is %q, want %q", got, w, want)
		}
	}
}

func TestLinesOfTheOutputAreFoundInTheFile(t *testing.T) {
	t.Parallel()
	output := "a: 1\nb:\n  c: 2\n"
	for name, test := range map[string]struct {
		file string
		line int
		key  string
		want int
	}{
		"a heredoc":                {"x\ncat <<E\na: 1\nb:\n  c: 2\nE\n", 3, "c", 5},
		"an indented heredoc":      {"x\n\ta: 1\n\tb:\n\t  c: 2\n", 2, "b", 3},
		"lines apart":              {"echo 'a: 1'\necho 'b:'\necho '  c: 2'\n", 3, "c", 3},
		"a line that occurs twice": {"c: 2\nc: 2\n", 3, "zzz", 0},
		"a binary":                 {"\x00a: 1\nb:\n  c: 2\n", 1, "", 0},
		"a line that is not there": {"x\n", 9, "c", 0},
	} {
		if got := newLineMap([]byte(test.file), []byte(output)).inFile(test.line, test.key); got != test.want {
			t.Errorf("%s: line %d, want %d", name, got, test.want)
		}
	}
}

// FuzzConfigOutput: whatever a hook prints, each violation has a message, and a
// line within the output.
func FuzzConfigOutput(f *testing.F) {
	for _, seed := range []string{
		"", "configVersion: v1", "configVersion: v1\nkubernetes:\n- kind: Pod\n  jqfilter: x\n", "{", "- 1", "a: &a [*a]", "\t", "configVersion: v1\nonStartup: x\n---\n",
		`{"configVersion":"v1","schedule":[{"crontab":"x"}]}`, "configVersion: v1\nkubernetes: [{kind: Pod, a.b[0]: 1, \"\": 2}]", "onKubernetesEvent: [{event: [x]}]",
	} {
		f.Add([]byte(seed), []byte("#!/bin/bash\n"+seed))
	}
	f.Fuzz(func(t *testing.T, output, file []byte) {
		s := newScript(file)
		s.habits()
		at := newLineMap(file, output)
		for _, owner := range []hook.Owner{hook.Global, hook.Standalone, {Module: "m"}} {
			spec, err := hook.ParseConfig(output, owner)
			if err == nil {
				for _, x := range regrets(spec, s) {
					if x.Message == "" || Rules()[x.Rule] == "" {
						t.Errorf("finding %+v has no message or no rule", x)
					}
					at.inFile(lineOf(parse(output), x.Path), x.Path)
				}
				describe(spec)
				Write(io.Discard, Report{Files: []File{{Hook: true, Findings: regrets(spec, s)}}})
				continue
			}
			for _, v := range faults(err, output, owner) {
				if v.message == "" || v.line < 0 || v.line > len(output)+1 {
					t.Errorf("fault %+v of %q", v, output)
				}
				if n := at.inFile(v.line, v.path); n < 0 || n > bytes.Count(file, []byte("\n"))+1 {
					t.Errorf("line %d of a file of %d", n, bytes.Count(file, []byte("\n"))+1)
				}
			}
		}
	})
}
