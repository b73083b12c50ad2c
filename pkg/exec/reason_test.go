package exec

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

func TestEveryFailureHasAReasonToBeCountedBy(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   hook.Reason
	}{
		"success":               {"true", ""},
		"a status":              {"exit 3", hook.ReasonExit},
		"a signal":              {"kill -9 $$", hook.ReasonExit},
		"no end":                {"sleep 100", hook.ReasonTimeout},
		"no such file":          {"", hook.ReasonStarted},
		"malformed output":      {"echo '{' > $METRICS_PATH", hook.ReasonOutput},
		"a missing file":        {"rm $METRICS_PATH", hook.ReasonOutput},
		"too large an output":   {"head -c 2000 /dev/zero > $METRICS_PATH", hook.ReasonLimit},
		"a limit of the kernel": {"exec head -c 2M /dev/zero > $(dirname $METRICS_PATH)/x", hook.ReasonLimit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newRunner(t, func(cfg *Config) {
				cfg.OutputLimit, cfg.Limits = 1000, Limits{FileSize: 1 << 20}
				if c.want == hook.ReasonTimeout {
					cfg.Timeout = 100 * time.Millisecond
				}
			})
			run := bind(t, r, c.script)
			if c.want == hook.ReasonStarted {
				run = r.Bind(hookOf(filepath.Join(t.TempDir(), "gone")))
			}
			_, err := run(t.Context(), hook.Input{})
			if got := hook.ReasonOf(err); got != c.want {
				t.Errorf("got %q, want %q: %v", got, c.want, err)
			}
		})
	}
}
