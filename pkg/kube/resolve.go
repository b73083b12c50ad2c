package kube

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"

	"github.com/addon-operator/addon-operator/pkg/object"
)

// errNotServed says that discovery knows no resource for a kind.
var errNotServed = errors.New("the cluster does not serve it; is its CustomResourceDefinition or APIService installed?")

// resource is what the server serves for a kind.
type resource struct {
	gvr        schema.GroupVersionResource
	kind       string
	namespaced bool
}

// resolve finds the resource for a kind, plural or short name, in any case
// (section 1.5 of the contract). An empty apiVersion means the server's preferred
// version (C-204). The error wraps errNotServed where there is none (C-155).
func (c *Clients) resolve(apiVersion, kind string) (resource, error) {
	versions := []string{apiVersion}
	if apiVersion == "" {
		groups, err := c.Discovery.ServerGroups()
		if err != nil {
			return resource{}, fmt.Errorf("look up kind %s: %w", kind, err)
		}
		versions = preferred(groups)
	}
	for _, gv := range versions {
		list, err := c.Discovery.ServerResourcesForGroupVersion(gv)
		switch {
		case err == nil:
		case notFound(err) || apiVersion == "": // a broken group does not hide the others
			continue
		default:
			return resource{}, fmt.Errorf("look up %s %s: %w", apiVersion, kind, err)
		}
		if r, ok := find(list, gv, kind); ok {
			return r, nil
		}
	}
	return resource{}, fmt.Errorf("kind %s: %w", strings.TrimSpace(apiVersion+" "+kind), errNotServed)
}

// resolveFresh is resolve that asks the server again before it says "not served".
func (c *Clients) resolveFresh(apiVersion, kind string) (resource, error) {
	r, err := c.resolve(apiVersion, kind)
	if errors.Is(err, errNotServed) {
		c.Mapper.Reset()
		r, err = c.resolve(apiVersion, kind)
	}
	return r, err
}

// client reaches objects of r; namespace is ignored for cluster-scoped kinds.
func (c *Clients) client(r resource, namespace string) dynamic.ResourceInterface {
	if r.namespaced && namespace != "" {
		return c.Dynamic.Resource(r.gvr).Namespace(namespace)
	}
	return c.Dynamic.Resource(r.gvr)
}

// operator is client for the object operations of hooks.
func (c *Clients) operator(r resource, namespace string) dynamic.ResourceInterface {
	if r.namespaced && namespace != "" {
		return c.operations.Resource(r.gvr).Namespace(namespace)
	}
	return c.operations.Resource(r.gvr)
}

// clientFor reaches the object that ref names.
func (c *Clients) clientFor(ref object.Ref) (dynamic.ResourceInterface, resource, error) {
	r, err := c.resolveFresh(ref.APIVersion, ref.Kind)
	if err != nil {
		return nil, resource{}, err
	}
	if r.namespaced && ref.Namespace == "" {
		return nil, resource{}, fmt.Errorf("kind %s is namespaced and no namespace is given: set one", r.kind)
	}
	return c.operator(r, ref.Namespace), r, nil
}

// preferred lists all group versions, each group's preferred one first.
func preferred(groups *metav1.APIGroupList) []string {
	var first, rest []string
	for _, g := range groups.Groups {
		for _, v := range g.Versions {
			if v.GroupVersion == g.PreferredVersion.GroupVersion {
				first = append(first, v.GroupVersion)
			} else {
				rest = append(rest, v.GroupVersion)
			}
		}
	}
	return append(first, rest...)
}

func find(list *metav1.APIResourceList, groupVersion, kind string) (resource, bool) {
	gv, err := schema.ParseGroupVersion(groupVersion)
	if err != nil {
		return resource{}, false
	}
	same := func(name string) bool { return strings.EqualFold(name, kind) }
	for _, r := range list.APIResources {
		if strings.Contains(r.Name, "/") {
			continue
		}
		if same(r.Kind) || same(r.Name) || same(r.SingularName) || slices.ContainsFunc(r.ShortNames, same) {
			return resource{gvr: gv.WithResource(r.Name), kind: r.Kind, namespaced: r.Namespaced}, true
		}
	}
	return resource{}, false
}

// notFound reports that discovery has no such group version.
func notFound(err error) bool {
	return errors.Is(err, memory.ErrCacheNotFound) || apierrors.IsNotFound(err) ||
		strings.HasPrefix(err.Error(), "received empty response for:") // an unexported type of the cache
}
