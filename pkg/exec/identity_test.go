package exec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
)

// everyWay runs a text as each thing that is run for a module, as an account, and answers the errors.
func everyWay(t *testing.T, r *Runner, account, text string) map[string]error {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	place := hook.Place{Dir: filepath.Join(dir, "hooks"), Account: account}
	script(t, dir, "hooks/hook.sh", text+"\nif [[ ${1:-} == --config ]]; then echo '{\"configVersion\":\"v1\",\"onStartup\":1}'; fi\n")
	out := map[string]error{}
	hooks, err := r.Load(ctx, hook.Owner{Module: "mod"}, place)
	if out["--config"] = err; err == nil {
		if hooks[0].Account != account {
			t.Errorf("the hook acts as %q", hooks[0].Account)
		}
		_, out["hook"] = r.Bind(hooks[0])(ctx, hook.Input{})
	}
	m := &module.Descriptor{Name: "mod", EnabledScript: script(t, dir, "enabled", text+"\necho true > \"$MODULE_ENABLED_RESULT\"\n")}
	m.Origin.ServiceAccount = account
	_, _, out["enabled"] = r.Enabled(ctx, m, []byte(`{}`), []byte(`{}`))
	out["probe"] = r.Probe(ctx, Probe{Module: "mod", Account: account, Path: script(t, dir, "check.sh", text), Name: "check.sh", Timeout: time.Minute})
	return out
}

func TestAnAccountsRunsHaveItsKubeconfigAndNoWayToTheOperators(t *testing.T) {
	t.Parallel()
	var asked []string
	r, _ := newRunner(t, func(c *Config) {
		c.KeepTempFiles, c.Slots = true, 1
		c.Env = append(os.Environ(), "KUBECONFIG=/operator", "KUBERNETES_SERVICE_HOST=10.0.0.1", "KUBERNETES_SERVICE_PORT=443", "KUBERNETES_PORT=tcp://10.0.0.1:443",
			"HELM_KUBETOKEN=operator", "HTTPS_PROXY=http://proxy.example")
		c.Kubeconfig = func(_ context.Context, account string, lasting time.Duration) ([]byte, error) {
			if lasting <= 0 {
				t.Errorf("a kubeconfig for a run of %s", lasting)
			}
			asked = append(asked, account)
			return []byte("of " + account), nil
		}
	})
	const check = `set -eu
[[ $(cat "$KUBECONFIG") == "of shop" && $(stat -c %a "$KUBECONFIG") == 600 && $(stat -c %a "$(dirname "$KUBECONFIG")") == 700 ]]
env | { ! grep -E '^(KUBERNETES_(SERVICE|PORT)|HELM_)'; }
[[ $HTTPS_PROXY == http://proxy.example ]]`
	for way, err := range everyWay(t, r, "shop", check) {
		if err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
	if want := []string{"shop", "shop", "shop", "shop"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, expected %q", asked, want)
	}
	left, err := filepath.Glob(filepath.Join(r.dir.path, "*", kubeconfigFile))
	if err != nil || len(left) > 0 {
		t.Errorf("tokens are left although runs are over: %q %v", left, err)
	}
	for way, err := range everyWay(t, r, "", `[[ $KUBECONFIG == /operator && $KUBERNETES_SERVICE_HOST == 10.0.0.1 && $HELM_KUBETOKEN == operator ]]`) {
		if err != nil {
			t.Errorf("without an account, %s: %v", way, err)
		}
	}
}

func TestNothingRunsAsAnAccountThatCannotBeHad(t *testing.T) {
	t.Parallel()
	refused := errors.New("there is no ServiceAccount ops/shop")
	for name, get := range map[string]func(context.Context, string, time.Duration) ([]byte, error){
		"refused":       func(context.Context, string, time.Duration) ([]byte, error) { return nil, refused },
		"nobody to ask": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newRunner(t, func(c *Config) { c.Kubeconfig = get })
			ran := filepath.Join(t.TempDir(), "ran")
			for way, err := range everyWay(t, r, "shop", "touch "+ran) {
				var blamed *hook.RunError
				if err == nil || !strings.Contains(err.Error(), "ServiceAccount shop") || errors.As(err, &blamed) {
					t.Errorf("%s: %v", way, err)
				}
			}
			if _, err := os.Stat(ran); err == nil {
				t.Error("something ran with the operator's rights")
			}
		})
	}
}
