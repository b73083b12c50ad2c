package exec

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	envKubeconfig  = "KUBECONFIG"
	kubeconfigFile = "kubeconfig"
)

// identity is who a run acts as towards the API server. The zero value is the operator:
// its environment, as it is.
type identity struct{ files []file }

// identify gets a kubeconfig for a run that acts as an account. It is one of the files of
// the run, and goes with them.
func (r *Runner) identify(ctx context.Context, account string, lasting time.Duration) (identity, error) {
	if account == "" {
		return identity{}, nil
	}
	if r.cfg.Kubeconfig == nil {
		return identity{}, fmt.Errorf("to act as ServiceAccount %s: %w", account, errors.ErrUnsupported)
	}
	text, err := r.cfg.Kubeconfig(ctx, account, lasting)
	if err != nil {
		return identity{}, fmt.Errorf("to act as ServiceAccount %s: %w", account, err)
	}
	return identity{files: []file{{envKubeconfig, kubeconfigFile, text}}}, nil
}

// env is the environment of a run: of an account's none of the ways by which clients find
// the operator's own rights.
func (i identity) env(of []string, dir string) []string {
	if len(i.files) == 0 {
		return of
	}
	out := slices.DeleteFunc(slices.Clone(of), leadsToOperator)
	return append(out, envKubeconfig+"="+filepath.Join(dir, kubeconfigFile))
}

// leadsToOperator: a variable from which clients in a pod learn where the API server is, and then take
// the token that is mounted there; or one that names other credentials.
func leadsToOperator(variable string) bool {
	for _, prefix := range []string{"KUBERNETES_SERVICE_", "KUBERNETES_PORT", "KUBERNETES_MASTER=", envKubeconfig + "=", "HELM_KUBE"} {
		if strings.HasPrefix(variable, prefix) {
			return true
		}
	}
	return false
}

// size is what the files of the identity take of the run's directory.
func (i identity) size() int64 {
	given := int64(0)
	for _, f := range i.files {
		given += int64(len(f.text)) + 4<<10
	}
	return given
}
