package exec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

const onStartup = `if [ "$1" = --config ]; then echo '{"configVersion":"v1","onStartup":1}'; fi` + "\n"

func names(hooks []hook.Hook) []string {
	var out []string
	for _, h := range hooks {
		out = append(out, h.Name)
	}
	return out
}

// C-001 … C-004, C-008, C-009.
func TestLoadFindsHooksByTheRulesOfDiscovery(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "hooks")
	for _, name := range []string{"b.sh", "a/2.sh", "a/1", "lib/x.sh", "a/lib/x.sh", "venv/bin/x", ".git/x.sh", ".hidden.sh", "x.yaml", "x.json", "x.md", "x.txt"} {
		script(t, dir, name, onStartup)
	}
	if err := os.WriteFile(filepath.Join(dir, "plain.sh"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link.sh": "b.sh", "linked": "a", "broken": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	r, log := newRunner(t, nil)
	hooks, err := r.Load(t.Context(), hook.Owner{Module: "mod"}, hook.Place{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"hooks/a/1", "hooks/a/2.sh", "hooks/b.sh", "hooks/link.sh"}
	if got := names(hooks); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if h := hooks[0]; h.Path != filepath.Join(dir, "a/1") || len(h.Digest) != 64 || h.Spec.Orders[hook.OnStartup] != 1 || h.ID.String() != "mod/hooks/a/1" {
		t.Errorf("got %+v", h)
	}
	for _, file := range []string{"plain.sh", "broken"} {
		if !strings.Contains(log.String(), filepath.Join(dir, file)) {
			t.Errorf("no warning of %s in %s", file, log)
		}
	}
	// Global hooks may have a directory called venv, and a directory of another name.
	if err := os.Rename(dir, filepath.Join(root, "global-hooks")); err != nil {
		t.Fatal(err)
	}
	hooks, err = r.Load(t.Context(), hook.Global, hook.Place{Dir: filepath.Join(root, "global-hooks")})
	want = []string{"a/1", "a/2.sh", "b.sh", "link.sh", "venv/bin/x"}
	if got := names(hooks); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if hooks, err := r.Load(t.Context(), hook.Owner{Module: "mod"}, hook.Place{Dir: ""}); err != nil || hooks != nil {
		t.Errorf("no directory: got %v, %v", hooks, err)
	}
	if _, err := r.Load(t.Context(), hook.Global, hook.Place{Dir: filepath.Join(root, "absent")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent directory: got %v", err)
	}
}

// C-020, C-021, C-027.
func TestLoadReturnsGoodHooksBesideTheErrorsOfBadOnes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hooks")
	script(t, dir, "1-good.sh", `[ -z "$VALUES_PATH$BINDING_CONTEXT_PATH" ] && [ $# = 1 ] && `+strings.TrimPrefix(onStartup, ""))
	script(t, dir, "2-fails.sh", "echo half a config; echo no jq here >&2; exit 4")
	script(t, dir, "3-invalid.sh", `echo '{"configVersion":"v1","schedule":[{"crontab":"x"}],"foo":1}'`)
	script(t, dir, "4-silent.sh", "")
	script(t, dir, "5-floods.sh", "yes")
	script(t, dir, "6-hangs.sh", "sleep 1000")
	script(t, dir, "7-good.sh", onStartup)
	r, _ := newRunner(t, func(c *Config) { c.LoadTimeout = 2 * time.Second })
	hooks, err := r.Load(t.Context(), hook.Global, hook.Place{Dir: dir})
	if want := []string{"hooks/1-good.sh", "hooks/7-good.sh"}; !reflect.DeepEqual(names(hooks), want) {
		t.Errorf("got %v, want %v", names(hooks), want)
	}
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`hook global/hooks/2-fails.sh: --config: exit status 4; it printed "half a config": no jq here`,
		"hook global/hooks/3-invalid.sh: --config: hook configuration:", "foo is a forbidden property", "crontab is invalid", `it printed "{\"configVersion\"`,
		"hook global/hooks/4-silent.sh", "at least 1 property", "hook global/hooks/5-floods.sh: --config: no result within 2s",
		"hook global/hooks/6-hangs.sh: --config: no result within 2s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	if len(err.Error()) > 40000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// C-022, C-023: while one hook fails, trying again asks nobody else whose file is the
// same; after a start that succeeded, the next one asks all of them.
func TestTryingAgainAsksOnlyThoseThatFailed(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "hooks")
	ask := "printf x >> " + root + "/asked\n" + onStartup
	script(t, dir, "a.sh", ask)
	r, _ := newRunner(t, nil)
	load := func(hooks, asked int) {
		t.Helper()
		got, err := r.Load(t.Context(), hook.Global, hook.Place{Dir: dir})
		text, _ := os.ReadFile(filepath.Join(root, "asked"))
		if len(got) != hooks || (err == nil) != (hooks == 2) || len(text) != asked {
			t.Errorf("got %d hooks, %v; a.sh was asked %d times", len(got), err, len(text))
		}
	}
	script(t, dir, "b.sh", "exit 1")
	load(1, 1)
	load(1, 1)
	script(t, dir, "a.sh", ask+"# changed\n")
	load(1, 2)
	script(t, dir, "b.sh", onStartup)
	load(2, 2)
	load(2, 3)
}

func TestLoadEndsWithItsContext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hooks")
	script(t, dir, "a.sh", onStartup)
	r, _ := newRunner(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Load(ctx, hook.Global, hook.Place{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// C-010. A script stands in for Python: what is checked is what gets started.
func TestAModulesPythonHookRunsWithTheModulesPython(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "hooks")
	script(t, dir, "venv/bin/python3", `echo "$1 ${2:-run} ${PYTHONHOME:-none}" >> `+root+`/started; `+strings.ReplaceAll(onStartup, "$1", "$2"))
	script(t, dir, "a.py", onStartup)
	r, log := newRunner(t, nil)
	load := func(owner hook.Owner) hook.Hook {
		hooks, err := r.Load(t.Context(), owner, hook.Place{Dir: dir})
		if err != nil || len(hooks) == 0 {
			t.Fatalf("got %v, %v", hooks, err)
		}
		return hooks[0]
	}
	started := func() string {
		text, _ := os.ReadFile(filepath.Join(root, "started"))
		return string(text)
	}
	if _, err := r.Bind(load(hook.Owner{Module: "mod"}))(t.Context(), hook.Input{}); err != nil {
		t.Fatal(err)
	}
	if want := dir + "/a.py --config none\n" + dir + "/a.py run none\n"; started() != want {
		t.Errorf("got %q, want %q", started(), want)
	}
	script(t, dir, "venv/lib/python3.12/os.py", "")
	if _, err := r.Bind(load(hook.Owner{Module: "mod"}))(t.Context(), hook.Input{}); err != nil {
		t.Fatal(err)
	}
	if want := dir + "/a.py run " + dir + "/venv\n"; !strings.HasSuffix(started(), want) {
		t.Errorf("got %q, want it to end in %q", started(), want)
	}
	if err := os.RemoveAll(filepath.Join(dir, "venv")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Bind(load(hook.Owner{Module: "mod"}))(t.Context(), hook.Input{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "no Python of its own") {
		t.Errorf("no warning in %s", log)
	}
}
