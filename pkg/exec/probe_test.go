package exec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// probeOf is a health check of a module that is this script.
func probeOf(t *testing.T, text string) Probe {
	t.Helper()
	path := script(t, filepath.Join(t.TempDir(), "hooks"), "healthy.sh", text)
	return Probe{Module: "mod", Path: path, Name: "hooks/healthy.sh", Timeout: time.Minute, Values: []byte(`{"mod":{"a":1}}`), ConfigValues: []byte(`{}`)}
}

func TestTheExitStatusOfAHealthCheckSaysHowItIs(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   string // text of the error
		reason hook.Reason
	}{
		"status 0 is healthy":                   {"echo noise >&2", "", ""},
		"the last line on stderr is the reason": {"echo first >&2; echo 'disk is full' >&2; exit 3", "disk is full", hook.ReasonExit},
		"without one it is the status":          {"exit 3", "exit status 3", hook.ReasonExit},
		"the deadline is one":                   {"echo waiting >&2; sleep 1000", "no result within 300ms", hook.ReasonTimeout},
		"it has the files of a hook": {`[[ $(cat $BINDING_CONTEXT_PATH) == '[{"binding":"health"}]' && $(cat $VALUES_PATH) == '{"mod":{"a":1}}' ]] &&
			[[ $(cat $CONFIG_VALUES_PATH) == '{}' && -f $KUBERNETES_PATCH_PATH && -f $METRICS_PATH && $# == 0 ]]`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := newRunner(t, nil)
			p := probeOf(t, c.script)
			if strings.Contains(c.script, "1000") {
				p.Timeout = 300 * time.Millisecond
			}
			err := r.Probe(t.Context(), p)
			if (err == nil) != (c.want == "") || err != nil && (err.Error() != c.want || hook.ReasonOf(err) != c.reason) {
				t.Errorf("got %v, reason %q", err, hook.ReasonOf(err))
			}
		})
	}
}

func TestWhatAHealthCheckWritesIsRefused(t *testing.T) {
	r, log := newRunner(t, nil)
	err := r.Probe(t.Context(), probeOf(t, `echo '[]' >$VALUES_JSON_PATCH_PATH; echo nonsense >$KUBERNETES_PATCH_PATH`))
	if err != nil {
		t.Error(err)
	}
	if text := log.String(); !strings.Contains(text, "is not applied") || !strings.Contains(text, "KUBERNETES_PATCH_PATH VALUES_JSON_PATCH_PATH") {
		t.Error(text)
	}
}

func TestAHealthCheckThatIsGoneOrStopped(t *testing.T) {
	r, _ := newRunner(t, nil)
	p := probeOf(t, "")
	if err := os.Remove(p.Path); err != nil {
		t.Fatal(err)
	}
	if err := r.Probe(t.Context(), p); err == nil {
		t.Error("a file that is not there is healthy")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Probe(ctx, probeOf(t, "")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAHealthCheckInHooksIsNoHook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hooks")
	probe := script(t, dir, "healthy.sh", "exit 1")
	script(t, dir, "hook.sh", "echo 'configVersion: v1'; echo 'beforeHelm: 1'")
	owner := hook.Owner{Module: "mod"}
	r, _ := newRunner(t, func(c *Config) {
		c.Probes = func(o hook.Owner) []string {
			if o != owner {
				t.Errorf("asked for %s", o)
			}
			return []string{probe}
		}
	})
	hooks, err := r.Load(t.Context(), owner, hook.Place{Dir: dir})
	if err != nil || len(hooks) != 1 || hooks[0].Name != "hooks/hook.sh" {
		t.Error(hooks, err)
	}
}
