package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

// Labels of a namespace that the operator made.
const (
	managedByLabel   = "app.kubernetes.io/managed-by"
	managedBy        = "addon-operator"
	instanceLabel    = "addon-operator.io/instance"
	podSecurityLabel = "pod-security.kubernetes.io/enforce"
)

// terminatingWait bounds how long a namespace that is being deleted is waited for.
// Kubernetes lets even an empty one live for 5 s.
const terminatingWait = 10 * time.Second

func (c *Clients) namespaces() dynamic.ResourceInterface {
	return c.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
}

// EnsureNamespace makes a namespace for a module unless it exists. podSecurity is
// the "enforce" level of Pod Security Admission, "" for none; instance is the
// operator's identity. A namespace that somebody else made is never changed. One
// that is being deleted is waited for a short while; then the error is
// installed.ErrTerminating and says what holds it.
func (c *Clients) EnsureNamespace(ctx context.Context, name, podSecurity, instance string) error {
	live, err := c.namespaces().Get(ctx, name, metav1.GetOptions{})
	if err == nil && live.GetDeletionTimestamp() != nil {
		if err := c.awaitNoNamespace(ctx, name); err != nil {
			return fmt.Errorf("namespace %s %w", name, err)
		}
		live, err = nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
	switch {
	case apierrors.IsNotFound(err):
		_, err = c.namespaces().Create(ctx, newNamespace(name, podSecurity, instance), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // another module's pass was first
			err = nil
		}
	case err == nil:
		err = c.relabel(ctx, live, podSecurity, instance)
	}
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	return nil
}

func newNamespace(name, podSecurity, instance string) *unstructured.Unstructured {
	labels := map[string]any{managedByLabel: managedBy, instanceLabel: instance}
	if podSecurity != "" {
		labels[podSecurityLabel] = podSecurity
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": name, "labels": labels}}}
}

// relabel brings the Pod Security level of a namespace of ours up to date.
func (c *Clients) relabel(ctx context.Context, live *unstructured.Unstructured, podSecurity, instance string) error {
	labels := live.GetLabels()
	if !ours(labels, instance) || podSecurity == "" || labels[podSecurityLabel] == podSecurity {
		return nil
	}
	labels[podSecurityLabel] = podSecurity
	live.SetLabels(labels)
	_, err := c.namespaces().Update(ctx, live, metav1.UpdateOptions{})
	return err
}

func ours(labels map[string]string, instance string) bool {
	return labels[managedByLabel] == managedBy && labels[instanceLabel] == instance
}

// awaitNoNamespace waits for the end of a deletion.
func (c *Clients) awaitNoNamespace(ctx context.Context, name string) error {
	short, stop := context.WithTimeout(ctx, terminatingWait)
	defer stop()
	var why string
	err := await(short, c.namespaces(), name, func(u *unstructured.Unstructured) (bool, error) {
		if u != nil {
			why = deletionHolds(u)
		}
		return u == nil, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("is being deleted: %w", err)
	}
	held, err := c.finalized(ctx, name)
	if err != nil || len(held) == 0 {
		return fmt.Errorf("%w: %s; it is made anew once it is gone", installed.ErrTerminating, why)
	}
	return fmt.Errorf("%w and held by %s: let the controllers of these finalizers finish, "+
		"or, where there is none any more, remove the finalizers (kubectl edit); it is made anew once it is gone",
		installed.ErrTerminating, strings.Join(held, ", "))
}

// finalized names objects of a namespace that are being deleted and wait for finalizers, a few.
func (c *Clients) finalized(ctx context.Context, namespace string) ([]string, error) {
	const most = 5
	found, err := c.contents(ctx, namespace, func(kind string, o *metav1.PartialObjectMetadata) string {
		if o.DeletionTimestamp == nil || len(o.Finalizers) == 0 {
			return ""
		}
		return fmt.Sprintf("%s/%s (finalizer %s)", kind, o.Name, strings.Join(o.Finalizers, ", "))
	})
	if n := len(found) - most; n > 0 {
		found = append(found[:most], fmt.Sprintf("and %d more", n))
	}
	return found, err
}

// deletionHolds is what the namespace controller says it waits for.
func deletionHolds(u *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	var all []string
	for _, e := range conditions {
		if c, ok := e.(map[string]any); ok && c["status"] == "True" {
			all = append(all, fmt.Sprint(c["message"]))
		}
	}
	if len(all) == 0 {
		return "the namespace controller has not said why"
	}
	return strings.Join(all, "; ")
}

// RemoveNamespace deletes a namespace if this operator made it and it is empty but
// for what Kubernetes itself puts there. why says what kept it.
func (c *Clients) RemoveNamespace(ctx context.Context, name, instance string) (removed bool, why string, err error) {
	live, err := c.namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, "", nil
	case err != nil:
		return false, "", fmt.Errorf("namespace %s: %w", name, err)
	case !ours(live.GetLabels(), instance):
		return false, "it was not made by this operator", nil
	case live.GetDeletionTimestamp() != nil:
		return true, "", nil
	}
	rest, err := c.contents(ctx, name, ofSomebody)
	var unknown *discovery.ErrGroupDiscoveryFailed
	if errors.As(err, &unknown) { // for as long as an aggregated API is away
		return false, err.Error(), nil
	}
	if err != nil {
		return false, "", fmt.Errorf("namespace %s: %w", name, err)
	}
	if len(rest) > 0 {
		return false, "it still holds " + strings.Join(rest, ", "), nil
	}
	uid := live.GetUID()
	err = c.namespaces().Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, "", fmt.Errorf("namespace %s: %w", name, err)
	}
	return true, "", nil
}

// naming is how an object of a namespace is told of, "" for one that does not matter.
type naming func(kind string, o *metav1.PartialObjectMetadata) string

// ofSomebody names all objects but those that Kubernetes itself puts into a namespace.
func ofSomebody(kind string, o *metav1.PartialObjectMetadata) string {
	if kind == "ConfigMap" && o.Name == "kube-root-ca.crt" || kind == "ServiceAccount" && o.Name == "default" {
		return ""
	}
	return kind + "/" + o.Name
}

// contents names what a namespace holds, a few of each kind. An answer that is not
// complete is an error: what cannot be listed may exist.
func (c *Clients) contents(ctx context.Context, namespace string, name naming) ([]string, error) {
	lists, err := c.Discovery.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("not all kinds are known, so it may not be empty: %w", err)
	}
	found := make([][]string, len(lists))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for n, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, err
		}
		g.Go(func() error {
			for _, r := range listable(l) {
				some, err := c.some(ctx, gv.WithResource(r.Name), namespace)
				if err != nil {
					return fmt.Errorf("list %s: %w", r.Name, err)
				}
				for i := range some {
					if text := name(r.Kind, &some[i]); text != "" {
						found[n] = append(found[n], text)
					}
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := slices.Concat(found...)
	slices.Sort(all)
	return all, nil
}

// listable are the namespaced resources that hold objects and matter.
func listable(l *metav1.APIResourceList) (all []metav1.APIResource) {
	for _, r := range l.APIResources {
		if r.Namespaced && !strings.Contains(r.Name, "/") && r.Kind != "Event" &&
			slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "create") {
			all = append(all, r)
		}
	}
	return all
}

// some lists a few objects of a resource.
func (c *Clients) some(ctx context.Context, r schema.GroupVersionResource, namespace string) ([]metav1.PartialObjectMetadata, error) {
	list, err := c.Metadata.Resource(r).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: 20})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}
