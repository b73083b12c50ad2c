package operator

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// clientConfig finds the API server (C-466) and, when the operator does not use
// the pod's service account, a kubeconfig path for hooks that call it too.
func clientConfig(cfg Config) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if cfg.KubeConfig != "" {
		rules.ExplicitPath = cfg.KubeConfig
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: cfg.KubeContext})
	rc, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("no way to reach an API server: run in a pod, or set --kube-config or KUBECONFIG: %w", err)
	}
	rc.UserAgent = "addon-operator"
	switch {
	case cfg.KubeContext != "":
		path, err := writeContext(cfg, loader)
		return rc, path, err
	case cfg.KubeConfig != "":
		return rc, absolute(cfg.KubeConfig), nil
	}
	return rc, "", nil
}

// writeContext writes a kubeconfig whose current context is the chosen one, for
// hooks know nothing of --kube-context.
func writeContext(cfg Config, loader clientcmd.ClientConfig) (string, error) {
	raw, err := loader.RawConfig()
	if err != nil {
		return "", err
	}
	raw.CurrentContext = cfg.KubeContext
	if err := os.MkdirAll(cfg.TempDir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(absolute(cfg.TempDir), "kubeconfig")
	return path, clientcmd.WriteToFile(raw, path)
}
