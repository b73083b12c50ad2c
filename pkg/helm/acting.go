package helm

import (
	"cmp"
	"fmt"
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

// actor reads and writes the objects of modules as one identity. The release records and
// discovery are always the operator's own requests.
type actor struct {
	// account is a ServiceAccount of Config.Namespace, "" the operator itself.
	account string
	objects *objects
	lookup  dynamic.Interface
	core    corev1client.CoreV1Interface // for records in places that are not ours
}

// actors has one actor for each ServiceAccount. They share the connections, and with them
// whatever guards writes.
type actors struct {
	rest      *rest.Config
	http      *http.Client
	namespace string
	parallel  int
	spare     Spare

	mu    sync.Mutex
	known map[string]*actor
}

// of makes the actor of an account, once.
func (a *actors) of(account string) (*actor, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.known[account]; known != nil {
		return known, nil
	}
	made, err := a.make(account)
	if err != nil {
		return nil, fmt.Errorf("helm client as %s: %w", cmp.Or(account, "the operator"), err)
	}
	a.known[account] = made
	return made, nil
}

func (a *actors) make(account string) (*actor, error) {
	h, who := a.http, ""
	if account != "" {
		if err := checkAccount(account); err != nil {
			return nil, err
		}
		who = a.namespace + "/" + account
		// The API server adds the groups of a ServiceAccount itself; to name them takes the right to act as any group.
		user := transport.ImpersonationConfig{UserName: "system:serviceaccount:" + a.namespace + ":" + account}
		h = &http.Client{Transport: transport.NewImpersonatingRoundTripper(user, a.http.Transport), Timeout: a.http.Timeout}
	}
	raw, err := rest.UnversionedRESTClientForConfigAndClient(a.rest, h)
	if err != nil {
		return nil, err
	}
	lookup, err := dynamic.NewForConfigAndClient(a.rest, h)
	if err != nil {
		return nil, err
	}
	core, err := corev1client.NewForConfigAndClient(protobuf(a.rest), h)
	if err != nil {
		return nil, err
	}
	return &actor{account: account, lookup: lookup, core: core,
		objects: &objects{rest: raw, watch: lookup, parallel: a.parallel, spare: a.spare, who: who}}, nil
}

// checkAccount: the name becomes a part of a user's name and the value of a label.
func checkAccount(name string) error {
	for _, errs := range [][]string{validation.IsDNS1123Subdomain(name), validation.IsValidLabelValue(name)} {
		if len(errs) > 0 {
			return fmt.Errorf("serviceAccountName %q: %s", name, errs[0])
		}
	}
	return nil
}

// as is the Client for modules that act as an account; "" is the operator. Without a
// cluster there is nothing to act on.
func (c *Client) as(account string) (*Client, error) {
	if c.actors == nil || account == c.account {
		return c, nil
	}
	a, err := c.actors.of(account)
	if err != nil {
		return nil, err
	}
	out := *c
	out.actor = a
	return &out, nil
}

// asInstalled is the Client for what is installed: it acts as the newest revision of ours
// was applied. The module may be gone, or come from elsewhere by now.
func (c *Client) asInstalled(history []installed.Release) (*Client, error) {
	return c.as(accountOf(history))
}

// accountOf is what the newest revision that this operator stored says. A command of
// Helm that stored a newer one does not make the release the operator's own.
func accountOf(history []installed.Release) string {
	for _, h := range history {
		if h.Instance != "" || h.Account != "" {
			return h.Account
		}
	}
	return ""
}

// sign writes who acts into the labels of a revision.
func (c *Client) sign(labels map[string]string) {
	delete(labels, LabelAccount)
	if c.account != "" {
		labels[LabelAccount] = c.account
	}
}
