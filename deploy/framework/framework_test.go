// Package framework_test runs hooks in bash that source deploy/shell_lib.sh.
package framework_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

const (
	strict = "set -euo pipefail\n"
	lax    = ""
)

// run runs a hook whose text follows the line that sources the library.
func run(t *testing.T, options, text string, env map[string]string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	library, err := filepath.Abs("../shell_lib.sh")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hook.sh")
	text = "#!/usr/bin/env bash\n" + options + "source " + library + "\n" + text + "\nhook::run \"$@\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return execute(t, env, append([]string{path}, args...)...)
}

func execute(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command("bash", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTheFirstDefinedFunctionThatFitsIsCalled: C-116, line by line.
func TestTheFirstDefinedFunctionThatFitsIsCalled(t *testing.T) {
	t.Parallel()
	event := func(kind string) string { return `{"binding":"pods","type":"Event","watchEvent":"` + kind + `"}` }
	const synchronization = `{"binding":"pods","type":"Synchronization","objects":[]}`
	const conversion = `{"binding":"up","type":"Conversion","fromVersion":"example.com/v1","toVersion":"v2"}`
	tests := map[string]struct{ defined, context, called string }{
		"startup":                               {"__on_startup __main__", `{"binding":"onStartup"}`, "__on_startup"},
		"startup without its function":          {"__main__", `{"binding":"onStartup"}`, "__main__"},
		"a schedule called onStartup":           {"__on_startup __on_schedule::onStartup", `{"binding":"onStartup","type":"Schedule"}`, "__on_schedule::onStartup"},
		"synchronization":                       {"__on_kubernetes::pods __on_kubernetes::pods::synchronization", synchronization, "__on_kubernetes::pods::synchronization"},
		"synchronization, function of binding":  {"__on_kubernetes::pods __main__ __on_kubernetes::pods::added_or_modified", synchronization, "__on_kubernetes::pods"},
		"added":                                 {"__on_kubernetes::pods::added_or_modified __on_kubernetes::pods::added", event("Added"), "__on_kubernetes::pods::added"},
		"modified":                              {"__on_kubernetes::pods::added_or_modified __on_kubernetes::pods::modified", event("Modified"), "__on_kubernetes::pods::modified"},
		"deleted":                               {"__on_kubernetes::pods __on_kubernetes::pods::deleted", event("Deleted"), "__on_kubernetes::pods::deleted"},
		"added, function of both":               {"__on_kubernetes::pods __on_kubernetes::pods::added_or_modified", event("Added"), "__on_kubernetes::pods::added_or_modified"},
		"modified, function of both":            {"__on_kubernetes::pods __on_kubernetes::pods::added_or_modified", event("Modified"), "__on_kubernetes::pods::added_or_modified"},
		"deleted is neither added nor modified": {"__on_kubernetes::pods __on_kubernetes::pods::added_or_modified", event("Deleted"), "__on_kubernetes::pods"},
		"modified, function of binding":         {"__on_kubernetes::pods __on_kubernetes::pods::added __main__", event("Modified"), "__on_kubernetes::pods"},
		"an event of another binding":           {"__on_kubernetes::nodes __main__", event("Added"), "__main__"},
		"group":                                 {"__on_group::g __on_kubernetes::pods __main__", `{"binding":"pods","type":"Group","groupName":"g"}`, "__on_group::g"},
		"group without its function":            {"__on_kubernetes::pods __main__", `{"binding":"pods","type":"Group","groupName":"g"}`, "__main__"},
		"schedule":                              {"__on_schedule::hourly __main__", `{"binding":"hourly","type":"Schedule"}`, "__on_schedule::hourly"},
		"validating":                            {"__on_validating::a.example.com __main__", `{"binding":"a.example.com","type":"Validating"}`, "__on_validating::a.example.com"},
		"mutating":                              {"__on_mutating::a.example.com __on_validating::a.example.com", `{"binding":"a.example.com","type":"Mutating"}`, "__on_mutating::a.example.com"},
		"conversion by versions":                {"__on_conversion::up __on_conversion::up::example.com.v1::v2", conversion, "__on_conversion::up::example.com.v1::v2"},
		"conversion":                            {"__on_conversion::up __main__ __on_conversion::up::v1::v2", conversion, "__on_conversion::up"},
		"conversion without its function":       {"__main__", conversion, "__main__"},
		"beforeHelm has __main__ alone":         {"__on_kubernetes::beforeHelm __main__", `{"binding":"beforeHelm","snapshots":{}}`, "__main__"},
		"an event of configuration v0":          {"__on_kubernetes::onKubernetesEvent __main__", `{"binding":"onKubernetesEvent","resourceEvent":"add"}`, "__main__"},
		"a name with a dash":                    {"__on_kubernetes::my-pods", `{"binding":"my-pods","type":"Synchronization"}`, "__on_kubernetes::my-pods"},
		"a name that no function can have":      {"__main__", `{"binding":"a b\n$(exit 1)\tc","type":"Schedule"}`, "__main__"},
	}
	const hookText = `for f in $DEFINED; do eval "$f() { echo $f; }"; done`
	for sentence, test := range tests {
		for name, options := range map[string]string{"strict": strict, "lax": lax} {
			t.Run(sentence+"/"+name, func(t *testing.T) {
				t.Parallel()
				stdout, stderr, status := run(t, options, hookText, map[string]string{
					"DEFINED": test.defined, "BINDING_CONTEXT_PATH": write(t, "["+test.context+"]"),
				})
				if diff := cmp.Diff(test.called+"\n", stdout); diff != "" || status != 0 {
					t.Errorf("status %d, stderr %s, called (-want +got):\n%s", status, stderr, diff)
				}
			})
		}
	}
}

// TestEveryContextHasItsRun: C-116, C-120.
func TestEveryContextHasItsRun(t *testing.T) {
	t.Parallel()
	contexts := write(t, `[{"binding":"a","type":"Schedule"},{"binding":"b","type":"Schedule"},{"binding":"beforeHelm","snapshots":{}}]`)
	const tell = `
tell() { echo "$1 $BINDING_CONTEXT_CURRENT_INDEX $BINDING_CONTEXT_CURRENT_BINDING ${seen-}"; seen=yes; printenv BINDING_CONTEXT_CURRENT_INDEX; }
__on_schedule::a() { tell a; exit 0; }
__on_schedule::b() { tell b; }
`
	tests := map[string]struct {
		text, stdout, stderr string
		status               int
	}{
		"in order, each in a subshell": {tell + `__main__() { tell main; }`, "a 0 a \n0\nb 1 b \n1\nmain 2 beforeHelm \n2\n", "", 0},
		"a failing one is the last, with its status": {
			`__on_schedule::a() { echo a; return 7; }; __main__() { echo main; }`, "a\n", "", 7,
		},
		"no function for it is an error that names those it could have": {
			tell, "a 0 a \n0\nb 1 b \n1\n", "hook hook.sh: no handler for binding 'beforeHelm': define one of __main__\n", 1,
		},
		"and names all of them": {
			`:`, "", "hook hook.sh: no handler for binding 'a': define one of __on_schedule::a, __main__\n", 1,
		},
	}
	for sentence, test := range tests {
		for name, options := range map[string]string{"strict": strict, "lax": lax} {
			t.Run(sentence+"/"+name, func(t *testing.T) {
				t.Parallel()
				stdout, stderr, status := run(t, options, test.text, map[string]string{"BINDING_CONTEXT_PATH": contexts})
				got := fmt.Sprintf("%s%s%d", stdout, stderr, status)
				if diff := cmp.Diff(fmt.Sprintf("%s%s%d", test.stdout, test.stderr, test.status), got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestAFailingCommandEndsAStrictHookInsideItsFunction(t *testing.T) {
	t.Parallel()
	env := map[string]string{"BINDING_CONTEXT_PATH": write(t, `[{"binding":"a","type":"Schedule"}]`)}
	stdout, _, status := run(t, strict, `__main__() { false; echo survived; }`, env)
	if stdout != "" || status != 1 {
		t.Errorf("status %d, stdout %q", status, stdout)
	}
}

// TestConfigIsTheOutputOfItsFunction: C-020, C-116.
func TestConfigIsTheOutputOfItsFunction(t *testing.T) {
	t.Parallel()
	stdout, stderr, status := run(t, strict, `__config__() { echo "configVersion: v1"; }; __main__() { echo no; }`, nil, "--config")
	if stdout != "configVersion: v1\n" || status != 0 {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	_, stderr, status = run(t, lax, ``, nil, "--config")
	if !strings.Contains(stderr, "__config__") || status != 1 {
		t.Errorf("without the function: status %d, stderr %q", status, stderr)
	}
}

func TestAHookThatIsRunByHandIsToldWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, stderr, status := run(t, strict, `__main__() { :; }`, nil)
	if !strings.Contains(stderr, "BINDING_CONTEXT_PATH is not set") || status != 1 {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
	_, stderr, status = run(t, strict, `__main__() { :; }`, map[string]string{"BINDING_CONTEXT_PATH": write(t, `{}`)})
	if !strings.Contains(stderr, "no list of binding contexts") || status != 1 {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

// TestContextHelpers: C-116.
func TestContextHelpers(t *testing.T) {
	t.Parallel()
	contexts := write(t, `[{"binding":"other"},{"binding":"a","type":"Event","watchEvent":"Added",
  "object":{"metadata":{"name":"n","labels":{"app.kubernetes.io/name":"x"}},"spec":{"on":true,"off":false,"nil":null,"list":[{"a":1},"two"]}}}]`)
	tests := map[string]struct{ command, output string }{
		"the current context":        {`context::jq -r .binding`, "a"},
		"all contexts":               {`context::global::jq -c 'map(.binding)'`, `["other","a"]`},
		"arguments of jq":            {`context::jq -r --arg a x '.binding + $a'`, "ax"},
		"a string":                   {`context::get object.metadata.name`, "n"},
		"a path with a leading dot":  {`context::get .object.metadata.name`, "n"},
		"a key with dots":            {`context::get 'object.metadata.labels."app.kubernetes.io/name"'`, "x"},
		"elements of a list":         {`context::get 'object.spec.list[0].a'; context::get object.spec.list.1`, "1\ntwo"},
		"an absent value is null":    {`context::get object.spec.no`, "null"},
		"a required one":             {`context::get --required object.metadata.name`, "n"},
		"a required one is absent":   {`{ context::get --required object.no 2>&1 || echo "status $?"; } | grep -o -e 'object.no is absent' -e 'status .*'`, "object.no is absent\nstatus 5"},
		"has":                        {`context::has object.spec.nil && echo yes`, "yes"},
		"has not":                    {`context::has object.spec.no || echo no`, "no"},
		"has not below a string":     {`context::has object.metadata.name.x || echo no`, "no"},
		"has not beyond a list":      {`context::has object.spec.list.2 || echo no`, "no"},
		"true":                       {`context::is_true object.spec.on && echo yes`, "yes"},
		"not true":                   {`context::is_true object.metadata || echo no`, "no"},
		"false":                      {`context::is_false object.spec.off && echo yes`, "yes"},
		"absent is not false":        {`context::is_false object.spec.no || echo no`, "no"},
		"null":                       {`context::is_null object.spec.nil && echo yes`, "yes"},
		"absent is null":             {`context::is_null object.spec.no && echo yes`, "yes"},
		"false is not null":          {`context::is_null object.spec.off || echo no`, "no"},
		"a path is text and no code": {`context::get 'object.$(exit 3)"; error("x")' || echo "status $?"`, "null"},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			text := "__on_kubernetes::a() { " + test.command + "; }\n__main__() { :; }"
			stdout, stderr, status := run(t, strict, text, map[string]string{"BINDING_CONTEXT_PATH": contexts})
			if diff := cmp.Diff(test.output+"\n", stdout); diff != "" || status != 0 {
				t.Errorf("status %d, stderr %s (-want +got):\n%s", status, stderr, diff)
			}
		})
	}
}

// files are all output files of a run, empty, by variable.
func files(t *testing.T) map[string]string {
	env := map[string]string{}
	for _, name := range []string{
		"VALUES_JSON_PATCH_PATH", "CONFIG_VALUES_JSON_PATCH_PATH", "KUBERNETES_PATCH_PATH", "METRICS_PATH",
		"ADMISSION_RESPONSE_PATH", "CONVERSION_RESPONSE_PATH",
	} {
		env[name] = write(t, "")
	}
	return env
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestOutputsAreWhatTheOperatorReads gives what the functions wrote to the operator's own parsers.
func TestOutputsAreWhatTheOperatorReads(t *testing.T) {
	t.Parallel()
	env := files(t)
	env["BINDING_CONTEXT_PATH"] = write(t, `[{"binding":"onStartup"}]`)
	env["VALUES_PATH"] = write(t, `{"global":{"name":"it","on":true},"hello":{}}`)
	env["CONFIG_VALUES_PATH"] = write(t, `{"global":null,"hello":{"who":"me"}}`)
	stdout, stderr, status := run(t, strict, `
__main__() {
  values::get global.name
  values::is_true global.on && echo on
  values::has hello.nothing || config::has global.name || config::get hello.who
  values::set hello.greeting $'a "b" \\ \n$(c)'
  values::set --json 'hello.labels."a/b.c"' '{"n": 1, "f": 1.5}'
  values::unset /hello/old~1key
  config::set hello.who you
  config::unset hello.other
  kubernetes::create '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}'
  kubernetes::create_or_update <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: c}
data: {d: "\"e\""}
YAML
  kubernetes::merge_patch --api-version apps/v1 --namespace n --subresource status --ignore-missing Deployment d '{"a": {"b": 1}}'
  kubernetes::json_patch Node n <<<'[{"op": "remove", "path": "/a"}]'
  kubernetes::jq_patch --namespace n Pod p '.a = "b"'
  kubernetes::delete --namespace n Pod p
  kubernetes::delete_in_background Node n
  kubernetes::delete_non_cascading Node n
  metrics::set --group g up 1.5 'to=a "b"=c' where=x
  metrics::add runs_total 1
  metrics::observe --buckets '[1, 2]' seconds 0.5
  metrics::expire old
  response::deny 'no "way"' careful
  response::fail 'cannot'
  log::warn 'a "b"' key=value
}`, env)
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	const lines = "it\non\nme\n" + `{"level":"warn","msg":"a \"b\"","key":"value"}` + "\n"
	if diff := cmp.Diff(lines, stdout); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	var got hook.Output
	var err error
	if got.Values, err = values.ParsePatch(read(t, env["VALUES_JSON_PATCH_PATH"])); err != nil {
		t.Error(err)
	}
	if got.Config, err = values.ParsePatch(read(t, env["CONFIG_VALUES_JSON_PATCH_PATH"])); err != nil {
		t.Error(err)
	}
	if got.Operations, err = hook.ParseOperations(read(t, env["KUBERNETES_PATCH_PATH"])); err != nil {
		t.Error(err)
	}
	if got.Samples, _, err = hook.ParseSamples(read(t, env["METRICS_PATH"])); err != nil {
		t.Error(err)
	}
	if got.Admission, err = hook.ParseAdmissionResponse(read(t, env["ADMISSION_RESPONSE_PATH"])); err != nil {
		t.Error(err)
	}
	if got.Conversion, err = hook.ParseConversionResponse(read(t, env["CONVERSION_RESPONSE_PATH"])); err != nil {
		t.Error(err)
	}
	programs := cmp.Transformer("program", func(f *hook.Filter) string {
		if f == nil {
			return ""
		}
		return f.String()
	})
	if diff := cmp.Diff(wanted(), got, programs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func wanted() hook.Output {
	filter, _ := hook.CompileFilter(`.a = "b"`)
	return hook.Output{
		Values: []values.Op{
			{Op: "add", Path: "/hello/greeting", Value: "a \"b\" \\ \n$(c)"},
			{Op: "add", Path: "/hello/labels/a~1b.c", Value: map[string]any{"n": int64(1), "f": 1.5}},
			{Op: "remove", Path: "/hello/old~1key"},
		},
		Config: []values.Op{{Op: "add", Path: "/hello/who", Value: "you"}, {Op: "remove", Path: "/hello/other"}},
		Operations: []hook.Operation{
			{Verb: hook.Create, APIVersion: "v1", Kind: "Namespace", Name: "a", Object: map[string]any{
				"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "a"},
			}},
			{Verb: hook.CreateOrUpdate, APIVersion: "v1", Kind: "ConfigMap", Namespace: "c", Name: "b", Object: map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "b", "namespace": "c"}, "data": map[string]any{"d": `"e"`},
			}},
			{
				Verb: hook.MergePatch, APIVersion: "apps/v1", Kind: "Deployment", Namespace: "n", Name: "d", Subresource: "status",
				IgnoreMissingObject: true, Patch: []byte(`{"a":{"b":1}}`),
			},
			{Verb: hook.JSONPatch, Kind: "Node", Name: "n", Patch: []byte(`[{"op":"remove","path":"/a"}]`)},
			{Verb: hook.JQPatch, Kind: "Pod", Namespace: "n", Name: "p", Filter: filter},
			{Verb: hook.Delete, Kind: "Pod", Namespace: "n", Name: "p"},
			{Verb: hook.DeleteInBackground, Kind: "Node", Name: "n"},
			{Verb: hook.DeleteNonCascading, Kind: "Node", Name: "n"},
		},
		Samples: []hook.Sample{
			{Name: "up", Group: "g", Action: "set", Value: 1.5, Labels: map[string]string{"to": `a "b"=c`, "where": "x"}},
			{Name: "runs_total", Action: "add", Value: 1, Labels: map[string]string{}},
			{Name: "seconds", Action: "observe", Value: 0.5, Buckets: []float64{1, 2}, Labels: map[string]string{}},
			{Group: "old", Action: "expire"},
		},
		Admission:  &hook.AdmissionResponse{Message: `no "way"`, Warnings: []string{"careful"}},
		Conversion: &hook.ConversionResponse{FailedMessage: "cannot"},
	}
}

func TestAnAdmissionAnswerIsTheLastOne(t *testing.T) {
	t.Parallel()
	env := files(t)
	env["BINDING_CONTEXT_PATH"] = write(t, `[{"binding":"a.example.com","type":"Mutating","review":{"request":{}}}]`)
	_, stderr, status := run(t, strict, `__main__() { response::deny no; response::allow; response::patch '[{"op": "add", "path": "/a", "value": "ä"}]'; }`, env)
	if status != 0 {
		t.Fatal(stderr)
	}
	got, err := hook.ParseAdmissionResponse(read(t, env["ADMISSION_RESPONSE_PATH"]))
	if err != nil {
		t.Fatal(err)
	}
	want := &hook.AdmissionResponse{Allowed: true, Patch: []byte(`[{"op":"add","path":"/a","value":"ä"}]`)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestConversionPassesOnWhatHasAnotherVersion: C-257.
func TestConversionPassesOnWhatHasAnotherVersion(t *testing.T) {
	t.Parallel()
	for sentence, versions := range map[string][2]string{"full versions": {"example.com/v1", "example.com/v2"}, "short versions": {"v1", "v2"}} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			env := files(t)
			env["BINDING_CONTEXT_PATH"] = write(t, fmt.Sprintf(`[{"binding":"up","type":"Conversion","fromVersion":%q,"toVersion":%q,"review":{"request":{
  "objects":[{"apiVersion":"example.com/v1","spec":{"a":1}},{"apiVersion":"example.com/v2","spec":{"b":2}}]}}}]`, versions[0], versions[1]))
			_, stderr, status := run(t, strict, `__on_conversion::up() { response::convert '.spec = {b: .spec.a} # a comment'; }`, env)
			if status != 0 {
				t.Fatal(stderr)
			}
			got, err := hook.ParseConversionResponse(read(t, env["CONVERSION_RESPONSE_PATH"]))
			if err != nil {
				t.Fatal(err)
			}
			var objects []string
			for _, o := range got.Objects {
				objects = append(objects, string(o))
			}
			want := []string{`{"apiVersion":"example.com/v2","spec":{"b":1}}`, `{"apiVersion":"example.com/v2","spec":{"b":2}}`}
			if diff := cmp.Diff(want, objects); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakesFailTheHook(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct{ command, wants string }{
		"a value that is not JSON":     {`values::set --json a.b '{'`, "invalid JSON"},
		"no value":                     {`values::set a.b`, "a value is expected"},
		"a metric that is no number":   {`metrics::set up yes`, "invalid JSON"},
		"a label without text":         {`metrics::set up 1 label`, "expected KEY=TEXT, got label"},
		"an unknown option":            {`kubernetes::delete --ns a Pod p`, "unknown option --ns"},
		"no name":                      {`kubernetes::delete Pod`, "a name is expected"},
		"an output that is not there":  {`unset METRICS_PATH; metrics::add a 1`, "METRICS_PATH is not set"},
		"a jq program that is invalid": {`response::convert '.a = '`, "syntax error"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			env := files(t)
			env["BINDING_CONTEXT_PATH"] = write(t, `[{"binding":"onStartup"}]`)
			stdout, stderr, status := run(t, strict, "__main__() { "+test.command+"; echo survived; }", env)
			if status == 0 || stdout != "" || !strings.Contains(stderr, test.wants) {
				t.Errorf("status %d, stdout %q, stderr %q: want a failure with %q", status, stdout, stderr, test.wants)
			}
		})
	}
}

// TestTheLibraryIsFoundFromAnywhere: C-115. In the image it lies in /, with its parts in /framework/shell.
func TestTheLibraryIsFoundFromAnywhere(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "framework"), os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"shell_lib.sh":              string(read(t, "../shell_lib.sh")),
		"framework/shell/own.sh":    "own::function() { echo own; }\n",
		"modules/010-a/hooks/a.sh":  strict + `source "${BASH_SOURCE[0]%/*}/../../../shell_lib.sh"` + "\nsource \"${BASH_SOURCE[0]%/*}/lib/b.sh\"\n__config__() { own::function; b; }\nhook::run \"$@\"\n",
		"modules/010-a/hooks/lib/b": "",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	library := filepath.Join(root, "modules/010-a/hooks/lib/b.sh")
	if err := os.WriteFile(library, []byte("source "+filepath.Join(root, "shell_lib.sh")+"\nb() { echo b; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := execute(t, nil, filepath.Join(root, "modules/010-a/hooks/a.sh"), "--config")
	if stdout != "own\nb\n" || status != 0 {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

func TestShellcheckHasNothingToSay(t *testing.T) {
	t.Parallel()
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not installed")
	}
	parts, err := filepath.Glob("shell/*.sh")
	if err != nil || len(parts) == 0 {
		t.Fatalf("no parts: %v", err)
	}
	if out, err := exec.Command(shellcheck, append([]string{"../shell_lib.sh"}, parts...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
