package exec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// B-73: a link to a directory is neither followed nor run.
func TestFindSaysOfEveryFileWhyItIsAHookOrNot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hooks")
	for _, name := range []string{"a/hook.sh", "b", "lib/shared", "lib/deep/x", "a/lib/y", "venv/bin/z", ".git/x", ".hidden", "notes.md"} {
		script(t, dir, name, onStartup)
	}
	if err := os.WriteFile(filepath.Join(dir, "plain.sh"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"broken": "nowhere", "dirlink": "a", "link": "plain.sh", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	common := []string{
		"?broken: it is a link to nowhere, which cannot be read: stat: no such file or directory",
		"?dirlink: it is a link to a directory, and those are not followed",
		"?loop: it is a link to loop, which cannot be read: stat: too many levels of symbolic links",
		"?plain.sh: it is not executable: chmod +x makes it a hook",
		"-.git/: a hidden directory", "-.hidden: a hidden file", "-a/lib/: a directory called lib", "-lib/: a directory called lib",
		"-notes.md: a file that ends in .md",
		"+a/hook.sh: it is executable", "+b: it is executable", "+link: a link to a file counts as executable",
	}
	for name, c := range map[string]struct {
		owner  hook.Owner
		prefix string
		more   []string
	}{
		"hooks of a module":               {hook.Owner{Module: "mod"}, "hooks/", []string{"-venv/: a directory called venv"}},
		"global hooks":                    {hook.Global, "hooks/", []string{"+venv/bin/z: it is executable"}},
		"hooks alone (C-002 C-005 C-006)": {hook.Standalone, "", []string{"+venv/bin/z: it is executable", "?lib/shared: it is executable but lies in lib", "?lib/deep/x: it is executable but lies in lib"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, log := newRunner(t, nil)
			files, err := r.Find(c.owner, dir)
			if err != nil {
				t.Fatal(err)
			}
			left := map[string]bool{}
			for _, w := range append(append([]string{}, common...), c.more...) {
				left[w] = true
			}
			for i, f := range files {
				if i > 0 && files[i-1].Path >= f.Path {
					t.Errorf("not sorted: %s", f.Path)
				}
				mark := map[bool]string{true: "?", false: "-"}[f.Warn]
				if f.Hook {
					mark = "+"
				}
				line := mark + strings.TrimPrefix(f.Name, c.prefix) + ": " + f.Why
				found := false
				for w := range left {
					if strings.HasPrefix(line, w) {
						delete(left, w)
						found = true
						break
					}
				}
				if !found || !strings.HasPrefix(f.Name, c.prefix) {
					t.Errorf("unexpected: %q", line)
				}
			}
			for w := range left {
				t.Errorf("missing: %s", w)
			}
			// Load runs exactly these, and warns of exactly those. The link to a file
			// that is not executable is a hook that cannot be started.
			hooks, err := r.Load(t.Context(), c.owner, hook.Place{Dir: dir})
			var failed *hook.RunError
			if !errors.As(err, &failed) || failed.Hook.Name != c.prefix+"link" {
				t.Errorf("got %v", err)
			}
			var found []string
			for _, f := range files {
				if f.Hook && filepath.Base(f.Name) != "link" {
					found = append(found, f.Name)
				}
				if got := strings.Contains(log.String(), "file="+f.Path+" "); got != f.Warn {
					t.Errorf("%s: warned %t", f.Name, got)
				}
			}
			if !reflect.DeepEqual(found, names(hooks)) {
				t.Errorf("found %v, loaded %v", found, names(hooks))
			}
		})
	}
}

// C-021, C-100, C-101 without modules; C-245.
func TestHooksWithoutModulesGetTheirDirectoryAndFiles(t *testing.T) {
	t.Setenv(envValues, "/from/outside")
	t.Setenv(envAdmission, "/from/outside")
	dir := t.TempDir()
	script(t, dir, "sub/hook.sh", `if [ "$1" = --config ]; then [ "$PWD" = `+dir+` ] && echo '{"configVersion":"v1","onStartup":1}'; exit; fi
[ "$PWD" = `+dir+`/sub ] || { echo "runs in $PWD"; exit 1; } >&2
env | grep -E '^(CONFIG_)?VALUES_' >&2 && exit 2
[ "$ADMISSION_RESPONSE_PATH" = "$VALIDATING_RESPONSE_PATH" ] && [ -f "$ADMISSION_RESPONSE_PATH" ] && [ ! -s "$ADMISSION_RESPONSE_PATH" ] || exit 3
[ -f "$CONVERSION_RESPONSE_PATH" ] && [ ! -s "$CONVERSION_RESPONSE_PATH" ] || exit 4
[ "$(cat $BINDING_CONTEXT_PATH)" = '[1]' ] && [ -f "$KUBERNETES_PATCH_PATH" ] && [ -f "$METRICS_PATH" ] || exit 5
echo '{"allowed":true}' > $VALIDATING_RESPONSE_PATH
echo '{"failedMessage":"no"}' > $CONVERSION_RESPONSE_PATH
`)
	r, _ := newRunner(t, nil)
	hooks, err := r.Load(t.Context(), hook.Standalone, hook.Place{Dir: dir})
	if err != nil || len(hooks) != 1 || hooks[0].Name != "sub/hook.sh" {
		t.Fatalf("got %v, %v", hooks, err)
	}
	out, err := r.Bind(hooks[0])(t.Context(), hook.Input{Contexts: []byte("[1]"), Values: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	if out.Admission == nil || !out.Admission.Allowed || out.Conversion == nil || out.Conversion.FailedMessage != "no" {
		t.Errorf("got %+v, %+v", out.Admission, out.Conversion)
	}
}

// B-43: a file that no one would read is not made.
func TestOnlyHooksThatAnswerReviewsGetTheFilesForIt(t *testing.T) {
	for name, c := range map[string]struct {
		spec hook.Spec
		want string
	}{
		"neither":     {hook.Spec{}, "none none none 7\n"},
		"admissions":  {hook.Spec{Admissions: make([]hook.Admission, 1)}, "admission-response.json admission-response.json none 8\n"},
		"conversions": {hook.Spec{Conversions: make([]hook.Conversion, 1)}, "none none conversion-response.json 8\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r, log := newRunner(t, nil)
			h := hookOf(script(t, t.TempDir(), "hook.sh", `for f in "$ADMISSION_RESPONSE_PATH" "$VALIDATING_RESPONSE_PATH" "$CONVERSION_RESPONSE_PATH"; do
basename "${f:-none}"; done | tr '\n' ' '; ls $(dirname $METRICS_PATH) | wc -l`))
			h.Spec = c.spec
			out, err := r.Bind(h)(t.Context(), hook.Input{})
			if err != nil || out.Admission != nil || out.Conversion != nil {
				t.Fatalf("got %+v, %v", out, err)
			}
			if !strings.Contains(log.String(), fmt.Sprintf("msg=%q", strings.TrimSpace(c.want))) {
				t.Errorf("want %q in %s", c.want, log)
			}
		})
	}
}

func TestLoadOneAsksOneFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hooks")
	path := script(t, dir, "sub/a.sh", onStartup)
	script(t, dir, "sub/bad.sh", "exit 1")
	r, _ := newRunner(t, nil)
	for _, c := range []struct {
		owner hook.Owner
		dir   string
		want  string
	}{{hook.Owner{Module: "mod"}, dir, "mod/hooks/sub/a.sh"}, {hook.Standalone, dir, "hooks/sub/a.sh"}, {hook.Standalone, "", "hooks/a.sh"}} {
		h, err := r.LoadOne(t.Context(), c.owner, c.dir, path)
		if err != nil || h.ID.String() != c.want || h.Path != path || h.Spec.Orders[hook.OnStartup] != 1 {
			t.Errorf("got %+v, %v; want %s", h, err, c.want)
		}
	}
	if _, err := r.LoadOne(t.Context(), hook.Standalone, dir, filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAnUrgentRunWaitsForNoSlot(t *testing.T) {
	r, _ := newRunner(t, func(c *Config) { c.Slots = 1 })
	r.slots <- struct{}{}
	if _, err := bind(t, r, "true")(t.Context(), hook.Input{Urgent: true}); err != nil {
		t.Fatal(err)
	}
	<-r.slots
}
