package modules_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hooklint"
	"github.com/addon-operator/addon-operator/pkg/hooktest"
)

// TestCases runs the declarative cases of each module's testdata/hooks, as `addon-operator hook test modules` does.
// C-132: the last context has the snapshots of the run. C-327, C-323: a config patch goes to the settings, below a parent that is there.
func TestCases(t *testing.T) {
	t.Parallel()
	desk := hooktest.New(hooktest.Config{TempDir: t.TempDir()})
	defer desk.Close()
	report, err := hooktest.Test(t.Context(), desk, []string{"."}, hooktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range report.Outcomes {
		t.Run(o.Case.String(), func(t *testing.T) {
			if !o.Passed() {
				t.Error(o.Problem)
			}
		})
	}
}

// A case cannot tell that a password is another one each time.
func TestTwoPasswordsDiffer(t *testing.T) {
	t.Parallel()
	desk := hooktest.New(hooktest.Config{TempDir: t.TempDir()})
	defer desk.Close()
	cases, err := hooktest.ReadCases("300-prometheus/testdata/hooks/password.case.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var seen []any
	for range 2 {
		r, err := desk.Run(t.Context(), cases[0].Scene)
		if err != nil || r.Err != nil || len(r.Config) != 1 {
			t.Fatalf("got %+v, %v, %v; want one operation on the settings", r.Config, err, r.Err)
		}
		seen = append(seen, sub(map[string]any{"op": r.Config[0].Value}, "op")["password"])
	}
	if seen[0] == seen[1] {
		t.Error("two runs made the same password")
	}
}

// TestLint: our own hooks give no reason to complain (C-020, C-030).
func TestLint(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*/hooks/*.sh")
	if err != nil || len(files) == 0 {
		t.Fatalf("no hooks found (%v)", err)
	}
	finder, err := exec.New(exec.Config{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer finder.Close()
	for _, file := range files {
		report, err := hooklint.Lint(t.Context(), finder, []string{file}, hooklint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if report.Hooks != 1 || report.Errors+report.Warnings > 0 {
			var b strings.Builder
			hooklint.Write(&b, report)
			t.Error(b.String())
		}
	}
}
