package hooks_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hooklint"
	"github.com/addon-operator/addon-operator/pkg/hooktest"
)

// TestCases runs the declarative cases of testdata/hooks, as `addon-operator hook test global-hooks` does.
// C-112: a JSON line of a hook is one record of the log.
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

// TestLint: our own hooks give no reason to complain.
func TestLint(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("hooks/*.sh")
	if err != nil || len(files) == 0 {
		t.Fatalf("no hooks found (%v)", err)
	}
	finder, err := exec.New(exec.Config{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer finder.Close()
	for _, file := range files {
		if filepath.Base(file) == "api.sh" {
			continue // needs a binary that `go test` alone does not build
		}
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
