package hooks_test

import (
	"testing"

	"github.com/addon-operator/addon-operator/pkg/hooktest"
)

// TestCases runs the declarative cases of testdata/hooks, as `addon-operator hook test global-hooks` does.
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
