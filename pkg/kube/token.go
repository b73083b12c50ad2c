package kube

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const (
	// tokenReuse is how long one token is handed out; hooks that run often need few of them.
	tokenReuse = 10 * time.Minute
	// tokenSpare is for clocks that differ, and for the start of a run.
	tokenSpare = time.Minute
)

// Kubeconfigs makes kubeconfigs for processes that act as a ServiceAccount: with a token of that
// account (TokenRequest, https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/)
// that outlives the run it is for, and not by much. It is safe for concurrent use.
type Kubeconfigs struct {
	core      corev1client.CoreV1Interface
	namespace string
	cluster   api.Cluster
	now       func() time.Time

	mu     sync.Mutex
	tokens map[string]*accountToken
}

// accountToken is the newest token of one account.
type accountToken struct {
	mu         sync.Mutex // held while a new one is asked for
	text       string
	made, ends time.Time
}

// NewKubeconfigs makes kubeconfigs for the API server of c and ServiceAccounts of a namespace.
func NewKubeconfigs(c *Clients, namespace string) (*Kubeconfigs, error) {
	core, err := corev1client.NewForConfigAndClient(c.REST, c.HTTP)
	if err != nil {
		return nil, fmt.Errorf("client for tokens: %w", err)
	}
	cluster, err := clusterOf(c.REST)
	if err != nil {
		return nil, fmt.Errorf("kubeconfigs for hooks: %w", err)
	}
	return &Kubeconfigs{core: core, namespace: namespace, cluster: cluster, now: time.Now, tokens: map[string]*accountToken{}}, nil
}

// clusterOf is how the API server of cfg is reached.
func clusterOf(cfg *rest.Config) (api.Cluster, error) {
	cfg = rest.CopyConfig(cfg)
	if err := rest.LoadTLSFiles(cfg); err != nil {
		return api.Cluster{}, err
	}
	out := api.Cluster{Server: cfg.Host, TLSServerName: cfg.ServerName, InsecureSkipTLSVerify: cfg.Insecure, CertificateAuthorityData: cfg.CAData}
	if cfg.Proxy == nil {
		return out, nil
	}
	host, err := url.Parse(cfg.Host)
	if err != nil {
		return out, err
	}
	proxy, err := cfg.Proxy(&http.Request{URL: host})
	if err == nil && proxy != nil {
		out.ProxyURL = proxy.String()
	}
	return out, err
}

// Kubeconfig is the text of a kubeconfig with which a process may act as the account for so
// long. Its namespace is that of the account, as it would be in a pod of the operator.
func (k *Kubeconfigs) Kubeconfig(ctx context.Context, account string, lasting time.Duration) ([]byte, error) {
	token, err := k.of(account).outliving(ctx, k, account, lasting)
	if err != nil {
		return nil, err
	}
	const name = "module"
	cluster := k.cluster
	return clientcmd.Write(api.Config{
		Clusters:       map[string]*api.Cluster{name: &cluster},
		AuthInfos:      map[string]*api.AuthInfo{name: {Token: token}},
		Contexts:       map[string]*api.Context{name: {Cluster: name, AuthInfo: name, Namespace: k.namespace}},
		CurrentContext: name,
	})
}

func (k *Kubeconfigs) of(account string) *accountToken {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tokens[account] == nil {
		k.tokens[account] = &accountToken{}
	}
	return k.tokens[account]
}

// outliving answers the token, or a new one when it is old or ends before the run may.
func (t *accountToken) outliving(ctx context.Context, k *Kubeconfigs, account string, lasting time.Duration) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := k.now()
	if t.text != "" && now.Sub(t.made) < tokenReuse && t.ends.Sub(now) >= lasting+tokenSpare {
		return t.text, nil
	}
	seconds := int64((lasting + tokenReuse + 2*tokenSpare).Seconds())
	got, err := k.core.ServiceAccounts(k.namespace).CreateToken(ctx, account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("there is no ServiceAccount %s/%s: create it, or name another in serviceAccountName of the module's source: %w", k.namespace, account, err)
	case apierrors.IsForbidden(err):
		return "", fmt.Errorf("no token for ServiceAccount %s/%s: grant the operator create on serviceaccounts/token, see deploy/rbac.yaml: %w", k.namespace, account, err)
	case err != nil:
		return "", fmt.Errorf("token for ServiceAccount %s/%s: %w", k.namespace, account, err)
	}
	t.text, t.made, t.ends = got.Status.Token, now, got.Status.ExpirationTimestamp.Time
	return t.text, nil
}
