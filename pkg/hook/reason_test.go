package hook

import (
	"errors"
	"fmt"
	"testing"
)

func TestReasonOfAFailedRun(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Reason
	}{
		"success":                    {nil, ""},
		"of the hook":                {&RunError{Reason: ReasonTimeout}, ReasonTimeout},
		"in the middle of a chain":   {fmt.Errorf("module m: %w", &RunError{Reason: ReasonPatch}), ReasonPatch},
		"without one":                {&RunError{Cause: "exit status 1"}, ReasonExit},
		"by no doing of the hook":    {errors.New("not started: shutdown"), ReasonOperator},
		"joined with that of others": {errors.Join(errors.New("x"), &RunError{Reason: ReasonOperation}), ReasonOperation},
	} {
		if got := ReasonOf(c.err); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
