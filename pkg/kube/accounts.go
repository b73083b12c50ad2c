package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	clienttransport "k8s.io/client-go/transport"
)

// WithAccounts names the namespace of the ServiceAccounts that As acts as.
func WithAccounts(namespace string) Option { return func(c *options) { c.namespace = namespace } }

// accounts has one set of clients for each ServiceAccount.
type accounts struct {
	operator  *Clients
	namespace string

	mu    sync.Mutex
	known map[string]*Clients
}

func newAccounts(operator *Clients, namespace string) *accounts {
	return &accounts{operator: operator, namespace: namespace, known: map[string]*Clients{"": operator}}
}

// As are the clients that act as a ServiceAccount of the namespace of WithAccounts, by
// impersonation (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation);
// "" is the operator itself. There is one set for each account. Connections, their bounds
// and fence, discovery and the memory of CRDs are those of c.
func (c *Clients) As(account string) (*Clients, error) {
	a := c.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.known[account]; known != nil {
		return known, nil
	}
	made, err := a.make(account)
	if err != nil {
		return nil, fmt.Errorf("clients for ServiceAccount %q: %w", account, err)
	}
	a.known[account] = made
	return made, nil
}

func (a *accounts) make(account string) (*Clients, error) {
	if a.namespace == "" {
		return nil, errors.New("their namespace is not known here: give WithAccounts")
	}
	if errs := validation.IsDNS1123Subdomain(account); len(errs) > 0 {
		return nil, errors.New(errs[0])
	}
	out := *a.operator
	out.account = account
	// The API server adds the groups of a ServiceAccount itself; to name them takes the right to act as any group.
	user := clienttransport.ImpersonationConfig{UserName: "system:serviceaccount:" + a.namespace + ":" + account}
	as := func(h *http.Client) *http.Client {
		return &http.Client{Transport: clienttransport.NewImpersonatingRoundTripper(user, h.Transport), Timeout: h.Timeout}
	}
	out.REST = rest.CopyConfig(a.operator.REST)
	out.REST.Impersonate.UserName = user.UserName
	out.HTTP, out.bounded = as(a.operator.HTTP), as(a.operator.bounded)
	var err error
	if out.Dynamic, err = dynamic.NewForConfigAndClient(out.REST, out.HTTP); err != nil {
		return nil, err
	}
	if out.operations, err = dynamic.NewForConfigAndClient(out.REST, out.bounded); err != nil {
		return nil, err
	}
	if out.raw, err = newRaw(out.REST, out.HTTP); err != nil {
		return nil, err
	}
	out.Metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(out.REST), out.HTTP)
	return &out, err
}

// MayDo is nil when who acts may do something to any object of a cluster-scoped resource; otherwise it
// says who lacks which right (SelfSubjectAccessReview).
func (c *Clients) MayDo(ctx context.Context, verb, group, resource string) error {
	client, err := authorizationclient.NewForConfigAndClient(c.REST, c.HTTP)
	if err != nil {
		return err
	}
	got, err := client.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource}}}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return fmt.Errorf("may %s %s.%s: %w", verb, resource, group, c.refused(err))
	case !got.Status.Allowed:
		return fmt.Errorf("ServiceAccount %s/%s has no right to %s %s.%s, which the module needs for that: bind it a ClusterRole that has it, "+
			"or name another in serviceAccountName of the module's source", c.accounts.namespace, c.account, verb, resource, group)
	}
	return nil
}

// refused says of a refusal who acted, and the way out.
func (c *Clients) refused(err error) error {
	if c.account == "" || !apierrors.IsForbidden(err) {
		return err
	}
	who := c.accounts.namespace + "/" + c.account
	switch text := err.Error(); {
	case strings.Contains(text, " cannot impersonate "):
		return fmt.Errorf("%w (the module acts as ServiceAccount %s, and the operator may not: grant it the verb impersonate, see deploy/rbac.yaml)", err, who)
	case strings.Contains(text, " cannot "), strings.Contains(text, "attempting to grant RBAC"):
		return fmt.Errorf("%w (the module acts as ServiceAccount %s, which does not exist or lacks the right: bind it a Role or ClusterRole that has it, "+
			"or name another in serviceAccountName of the module's source)", err, who)
	}
	return err
}
