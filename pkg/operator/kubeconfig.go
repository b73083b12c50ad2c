package operator

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// clientConfig finds the API server (C-466) and, when the operator does not use
// the pod's service account, a kubeconfig path for hooks that call it too.
func clientConfig(cfg Config) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if cfg.KubeConfig != "" {
		rules.ExplicitPath = cfg.KubeConfig
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: cfg.KubeContext, ClusterInfo: api.Cluster{Server: cfg.KubeServer}})
	rc, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("no way to reach an API server: run in a pod, or set --kube-config or KUBECONFIG: %w", err)
	}
	rc.UserAgent = "addon-operator"
	switch {
	case cfg.KubeContext != "" || cfg.KubeServer != "":
		path, err := writeContext(cfg, loader)
		return rc, path, err
	case cfg.KubeConfig != "":
		return rc, absolute(cfg.KubeConfig), nil
	}
	return rc, "", nil
}

// writeContext writes a kubeconfig whose current context and server are the chosen ones,
// for hooks know nothing of --kube-context and --kube-server. Without a kubeconfig there
// is none to write.
func writeContext(cfg Config, loader clientcmd.ClientConfig) (string, error) {
	raw, err := loader.RawConfig()
	if err != nil {
		return "", err
	}
	if len(raw.Contexts) == 0 {
		return "", nil
	}
	if cfg.KubeContext != "" {
		raw.CurrentContext = cfg.KubeContext
	}
	if cfg.KubeServer != "" {
		if c := raw.Contexts[raw.CurrentContext]; c != nil && raw.Clusters[c.Cluster] != nil {
			raw.Clusters[c.Cluster].Server = cfg.KubeServer
		}
	}
	if err := os.MkdirAll(cfg.TempDir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(absolute(cfg.TempDir), "kubeconfig")
	return path, clientcmd.WriteToFile(raw, path)
}
