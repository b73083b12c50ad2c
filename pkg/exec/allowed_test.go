package exec

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// C-450: a replica that does not lead starts no hook, and the hook is not to blame.
func TestAHookDoesNotStartWhenItIsNotAllowed(t *testing.T) {
	no := errors.New("another replica leads")
	forbidden := no
	r, _ := newRunner(t, func(c *Config) { c.Allowed = func() error { return forbidden } })
	mark := filepath.Join(t.TempDir(), "ran")
	run := bind(t, r, "echo $$ > "+mark)
	_, err := run(t.Context(), hook.Input{})
	var blamed *hook.RunError
	if !errors.Is(err, no) || errors.As(err, &blamed) {
		t.Errorf("the run ended with %v", err)
	}
	if readPID(mark) != 0 {
		t.Error("the hook ran")
	}
	forbidden = nil
	if _, err := run(t.Context(), hook.Input{}); err != nil || readPID(mark) == 0 {
		t.Errorf("once it is allowed: %v", err)
	}
}
