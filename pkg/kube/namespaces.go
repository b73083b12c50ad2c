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
)

// Labels of a namespace that the operator made.
const (
	managedByLabel   = "app.kubernetes.io/managed-by"
	managedBy        = "addon-operator"
	instanceLabel    = "addon-operator.io/instance"
	podSecurityLabel = "pod-security.kubernetes.io/enforce"
)

// terminatingWait bounds how long a namespace that is being deleted is waited for.
const terminatingWait = 15 * time.Second

func (c *Clients) namespaces() dynamic.ResourceInterface {
	return c.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
}

// EnsureNamespace makes a namespace for a module unless it exists. podSecurity is
// the "enforce" level of Pod Security Admission, "" for none; instance is the
// operator's identity. A namespace that somebody else made is never changed. One
// that is being deleted is waited for a short while; the error says what holds it.
func (c *Clients) EnsureNamespace(ctx context.Context, name, podSecurity, instance string) error {
	live, err := c.namespaces().Get(ctx, name, metav1.GetOptions{})
	if err == nil && live.GetDeletionTimestamp() != nil {
		if err := c.awaitNoNamespace(ctx, name); err != nil {
			return fmt.Errorf("namespace %s: %w", name, err)
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
	ctx, stop := context.WithTimeout(ctx, terminatingWait)
	defer stop()
	var why string
	err := await(ctx, c.namespaces(), name, func(u *unstructured.Unstructured) (bool, error) {
		if u != nil {
			why = deletionHolds(u)
		}
		return u == nil, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("is being deleted for longer than %s: %s: %w", terminatingWait, why, err)
	}
	return err
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
	rest, err := c.contents(ctx, name)
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

// contents names what a namespace holds, a few of each kind. An answer that is not
// complete is an error: what cannot be listed may exist.
func (c *Clients) contents(ctx context.Context, namespace string) ([]string, error) {
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
				names, err := c.names(ctx, gv.WithResource(r.Name), namespace)
				if err != nil {
					return fmt.Errorf("list %s: %w", r.Name, err)
				}
				for _, name := range names {
					found[n] = append(found[n], r.Kind+"/"+name)
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

// names lists a few objects of a resource, without those of Kubernetes itself.
func (c *Clients) names(ctx context.Context, r schema.GroupVersionResource, namespace string) (names []string, err error) {
	list, err := c.Metadata.Resource(r).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: 5})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, o := range list.Items {
		switch {
		case r.Group == "" && r.Resource == "configmaps" && o.Name == "kube-root-ca.crt":
		case r.Group == "" && r.Resource == "serviceaccounts" && o.Name == "default":
		default:
			names = append(names, o.Name)
		}
	}
	return names, nil
}
