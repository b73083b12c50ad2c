package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Names in deploy/.
const (
	namespace      = "addon-operator"
	configMap      = "addon-operator"
	serviceAccount = "addon-operator"
)

// tokenSeconds is the life of the operator's token: a day, as a demo may be left running.
const tokenSeconds = 24 * 60 * 60

// cluster is the cluster of the demo, seen by its administrator.
type cluster struct {
	// name is empty where there is only one; dir is that of the control plane's files, "" if not known.
	name, dir  string
	kubeconfig string
	config     *rest.Config
	client     kubernetes.Interface
	dynamic    dynamic.Interface
}

func connect(kubeconfig string) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &cluster{kubeconfig: kubeconfig, config: config, client: client, dynamic: dyn}, nil
}

// label tells clusters apart in messages.
func (c *cluster) label() string {
	if c.name == "" {
		return ""
	}
	return " of cluster " + c.name
}

// install applies deploy/ but for the Deployment: no image could be started here. settings is the ConfigMap.
func (c *cluster) install(ctx context.Context, root, settings string) error {
	deploy := filepath.Join(root, "deploy")
	_, err := c.kubectl(ctx, "apply", "-f", filepath.Join(deploy, "namespace.yaml"), "-f", filepath.Join(deploy, "rbac.yaml"), "-f", settings)
	return err
}

// kubectl returns what kubectl prints.
func (c *cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	name, env := "kubectl", append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	if c.dir != "" {
		name, env = filepath.Join(c.dir, "bin", name), append(env, "KUBECACHEDIR="+filepath.Join(c.dir, "kubectl-cache"))
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %v: %w\n%s", args, err, out)
	}
	return string(out), nil
}

// operatorKubeconfig writes a kubeconfig with a token of deploy/'s ServiceAccount.
func (c *cluster) operatorKubeconfig(ctx context.Context, path string) error {
	seconds := int64(tokenSeconds)
	token, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, serviceAccount, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("request a token of ServiceAccount %s/%s: %w", namespace, serviceAccount, err)
	}
	ca := c.config.CAData
	if len(ca) == 0 && c.config.CAFile != "" {
		if ca, err = os.ReadFile(c.config.CAFile); err != nil {
			return err
		}
	}
	const name = "demo"
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: c.config.Host, CertificateAuthorityData: ca}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name, Namespace: namespace}},
		CurrentContext: name,
	}, path)
}
