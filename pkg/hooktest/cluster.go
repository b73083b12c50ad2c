package hooktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Cluster shows hooks the objects of a cluster, through the monitors that the
// operator has.
type Cluster struct {
	clients *kube.Clients
	log     *slog.Logger
}

// NewCluster makes a Cluster.
func NewCluster(c *kube.Clients, log *slog.Logger) *Cluster { return &Cluster{clients: c, log: log} }

// watch starts the monitors of a hook and waits until each has listed.
func (c *Cluster) watch(ctx context.Context, h hook.Hook) (see func(hook.Kubernetes) ([]hook.Item, error), done func(), err error) {
	watcher := kube.NewWatcher(c.clients, c.log)
	watches := map[string]hook.Watch{}
	done = func() {
		for _, w := range watches {
			w.Stop()
		}
	}
	for _, b := range h.Spec.Kubernetes {
		if _, ok := watches[b.Name]; ok {
			continue // C-133: the first of a name is shown
		}
		w, err := watcher.Watch(ctx, h.ID, b, hook.WatchHandler{})
		if err != nil {
			done()
			return nil, nil, err
		}
		watches[b.Name] = w
	}
	return func(b hook.Kubernetes) ([]hook.Item, error) { return watches[b.Name].Snapshot(), nil }, done, nil
}

// Apply performs object operations.
func (c *Cluster) Apply(ctx context.Context, ops []hook.Operation) error {
	return c.clients.Execute(ctx, ops)
}

// Live is the object that an operation is about, nil when there is none.
func (c *Cluster) Live(ctx context.Context, op hook.Operation) (Object, error) {
	gvr, namespaced, err := c.resource(op.APIVersion, op.Kind)
	if err != nil {
		return nil, err
	}
	if op.Name == "" {
		return nil, nil
	}
	client := c.clients.Dynamic.Resource(gvr)
	get := client.Get
	if namespaced {
		get = client.Namespace(op.Namespace).Get
	}
	u, err := get(ctx, op.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return u.Object, nil
}

// DryRun asks the API server what it would store, with defaults and admission; a
// server that cannot tell leaves after as it is. An error is one that the operation would meet.
func (c *Cluster) DryRun(ctx context.Context, op hook.Operation, before, after Object) (Object, error) {
	gvr, namespaced, err := c.resource(op.APIVersion, op.Kind)
	if err != nil {
		return after, err
	}
	u := &unstructured.Unstructured{Object: values.Clone(after).(Object)}
	client := dynamic.ResourceInterface(c.clients.Dynamic.Resource(gvr))
	if namespaced {
		client = c.clients.Dynamic.Resource(gvr).Namespace(op.Namespace)
		u.SetNamespace(op.Namespace)
	}
	var stored *unstructured.Unstructured
	if before == nil {
		stored, err = client.Create(ctx, u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	} else {
		u.SetResourceVersion((&unstructured.Unstructured{Object: before}).GetResourceVersion())
		sub := strings.FieldsFunc(op.Subresource, func(r rune) bool { return r == '/' })
		stored, err = client.Update(ctx, u, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}, sub...)
	}
	switch {
	case err == nil:
		return stored.Object, nil
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
		return after, err
	}
	return after, nil // such as a namespace that an earlier operation makes, or a webhook that knows no dry run
}

// resource finds what the server serves for a kind.
func (c *Cluster) resource(apiVersion, kind string) (schema.GroupVersionResource, bool, error) {
	var lists []*metav1.APIResourceList
	var err error
	if apiVersion == "" {
		lists, err = c.clients.Discovery.ServerPreferredResources()
	} else {
		var list *metav1.APIResourceList
		list, err = c.clients.Discovery.ServerResourcesForGroupVersion(apiVersion)
		lists = []*metav1.APIResourceList{list}
	}
	for _, l := range lists {
		if l == nil {
			continue
		}
		gv, parseErr := schema.ParseGroupVersion(l.GroupVersion)
		if parseErr != nil {
			continue
		}
		for _, r := range l.APIResources {
			if !strings.Contains(r.Name, "/") && (strings.EqualFold(r.Kind, kind) || strings.EqualFold(r.Name, kind)) {
				return gv.WithResource(r.Name), r.Namespaced, nil
			}
		}
	}
	return schema.GroupVersionResource{}, false, fmt.Errorf("the cluster serves no kind %s: %w",
		strings.TrimSpace(apiVersion+" "+kind), errors.Join(err, errNotServed))
}

var errNotServed = errors.New("is its CustomResourceDefinition installed?")
