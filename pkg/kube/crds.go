package kube

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// establishWait bounds how long a CRD may take until it is served.
const establishWait = 30 * time.Second

// crdWriters bounds concurrent writes of CRDs: each makes the API server compile schemas.
const crdWriters = 8

// ensured remembers which CRDs are known to be as wanted, so that asking again costs nothing.
type ensured struct {
	mu   sync.Mutex
	crds map[string]ensuredCRD
}

type ensuredCRD struct {
	digest string // of what was wanted
	seen   crdSeen
}

func newEnsured() *ensured { return &ensured{crds: map[string]ensuredCRD{}} }

func (e *ensured) is(name, digest string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.crds[name].digest == digest
}

func (e *ensured) set(name, digest string, live *unstructured.Unstructured) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.crds[name] = ensuredCRD{digest, crdSeen{live.GetUID(), live.GetGeneration()}}
}

// drop forgets a CRD unless now is the state that was ensured. It reports whether
// the change was somebody else's.
func (e *ensured) drop(name string, now crdSeen) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known, ok := e.crds[name]; ok && known.seen == now {
		return false
	}
	delete(e.crds, name)
	return true
}

// EnsureCRDs creates or updates the CRDs in parallel and returns when all are
// Established and served, discovery cache included (C-346, C-347). labels are laid
// over theirs; what others added and a live conversion webhook stay; what is as
// wanted is not written. Each failing CRD is named in the joined error.
//
// A definition that existing objects may not fit is refused (checkUpgrade).
func (c *Clients) EnsureCRDs(ctx context.Context, crds []module.CRD, labels map[string]string) error {
	ctx, stop := context.WithTimeout(ctx, establishWait)
	defer stop()
	failed := make([]error, len(crds))
	var mu sync.Mutex
	var served []schema.GroupVersionResource
	var g errgroup.Group
	g.SetLimit(crdWriters)
	for n, crd := range crds {
		g.Go(func() error {
			got, err := c.ensureCRD(ctx, crd, labels)
			if err != nil {
				failed[n] = fmt.Errorf("CRD %s (%s): %w", crd.Name, crd.File, c.refused(err))
			}
			mu.Lock()
			defer mu.Unlock()
			served = append(served, got...)
			return nil
		})
	}
	_ = g.Wait()
	if len(served) > 0 {
		failed = append(failed, c.awaitServed(ctx, served))
	}
	return errors.Join(failed...)
}

// ensureCRD answers the resources that discovery must show in the end; none if
// nothing was to be done.
func (c *Clients) ensureCRD(ctx context.Context, crd module.CRD, labels map[string]string) ([]schema.GroupVersionResource, error) {
	wanted, err := decodeCRD(crd, labels)
	if err != nil {
		return nil, err
	}
	text, err := compact(wanted.Object)
	if err != nil {
		return nil, err
	}
	digest := values.Digest(text)
	if c.ensured.is(crd.Name, digest) {
		return nil, nil
	}
	client := c.Dynamic.Resource(crdResource)
	if err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { return writeCRD(ctx, c.Dynamic, wanted) }); err != nil {
		return nil, err
	}
	var established *unstructured.Unstructured
	var problem string
	err = await(ctx, client, crd.Name, func(u *unstructured.Unstructured) (bool, error) {
		if u == nil {
			return false, errors.New("was deleted while it was being installed")
		}
		established = u
		problem = crdProblem(u)
		return problem == "", nil
	})
	if err != nil {
		return nil, fmt.Errorf("not established within %s: %s: %w", establishWait, problem, err)
	}
	c.ensured.set(crd.Name, digest, established)
	return servedBy(established), nil
}

// decodeCRD reads one document, with the labels laid over its own.
func decodeCRD(crd module.CRD, labels map[string]string) (*unstructured.Unstructured, error) {
	v, err := values.Decode(crd.Text)
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	m, ok := v.(map[string]any)
	u := &unstructured.Unstructured{Object: m}
	if !ok || u.GetAPIVersion() != "apiextensions.k8s.io/v1" || u.GetKind() != "CustomResourceDefinition" {
		return nil, errors.New("not a CustomResourceDefinition of apiextensions.k8s.io/v1")
	}
	delete(m, "status")
	all := u.GetLabels()
	if all == nil {
		all = map[string]string{}
	}
	for k, v := range labels {
		all[k] = v
	}
	if len(all) > 0 {
		u.SetLabels(all)
	}
	return u, nil
}

// writeCRD creates or updates one CRD, or leaves it if it is as wanted.
func writeCRD(ctx context.Context, all dynamic.Interface, wanted *unstructured.Unstructured) error {
	client := all.Resource(crdResource)
	live, err := client.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, wanted, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // by somebody else just now
			return apierrors.NewConflict(crdResource.GroupResource(), wanted.GetName(), err)
		}
		return err
	}
	if err != nil {
		return err
	}
	if live.GetDeletionTimestamp() != nil {
		return fmt.Errorf("is being deleted, held by finalizers %q until its objects are gone", live.GetFinalizers())
	}
	if reflect.DeepEqual(overlayCRD(live, wanted).Object, live.Object) {
		return nil
	}
	unused, err := checkUpgrade(ctx, all, live, wanted)
	if err != nil {
		return err
	}
	if len(unused) > 0 {
		if err := pruneStored(ctx, all, live, wanted, unused); err != nil {
			return err
		}
	}
	next := overlayCRD(live, wanted)
	unstructured.RemoveNestedField(next.Object, "metadata", "annotations", crdUpgradeAnnotation)
	_, err = client.Update(ctx, next, metav1.UpdateOptions{})
	return err
}

// CheckCRDs says what EnsureCRDs would be refused, without writing anything. Each failing
// CRD is named in the joined error.
func (c *Clients) CheckCRDs(ctx context.Context, crds []module.CRD, labels map[string]string) error {
	var failed []error
	for _, crd := range crds {
		wanted, err := decodeCRD(crd, labels)
		if err == nil {
			err = checkCRD(ctx, c.Dynamic, wanted)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("CRD %s (%s): %w", crd.Name, crd.File, c.refused(err)))
		}
	}
	return errors.Join(failed...)
}

func checkCRD(ctx context.Context, all dynamic.Interface, wanted *unstructured.Unstructured) error {
	client, dry := all.Resource(crdResource), []string{metav1.DryRunAll}
	live, err := client.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, wanted, metav1.CreateOptions{DryRun: dry})
		return err
	}
	if err != nil {
		return err
	}
	next := overlayCRD(live, wanted)
	if reflect.DeepEqual(next.Object, live.Object) {
		return nil
	}
	unused, err := checkUpgrade(ctx, all, live, wanted)
	if err != nil || len(unused) > 0 { // the API server refuses the update as long as status names them
		return err
	}
	_, err = client.Update(ctx, next, metav1.UpdateOptions{DryRun: dry})
	return err
}

// overlayCRD is the live CRD with the wanted spec, labels and annotations. The
// live conversion stays (C-347), unless it is the server's default of none.
func overlayCRD(live, wanted *unstructured.Unstructured) *unstructured.Unstructured {
	next := live.DeepCopy()
	next.SetLabels(overlay(live.GetLabels(), wanted.GetLabels()))
	next.SetAnnotations(overlay(live.GetAnnotations(), wanted.GetAnnotations()))
	liveSpec, _ := live.Object["spec"].(map[string]any)
	wantedSpec, _ := wanted.Object["spec"].(map[string]any)
	if wantedSpec == nil {
		return next
	}
	spec := withDefaults(values.Clone(wantedSpec).(map[string]any), liveSpec)
	strategy, _, _ := unstructured.NestedString(liveSpec, "conversion", "strategy")
	if _, given := spec["conversion"]; !given || strategy == "Webhook" {
		if conversion, ok := liveSpec["conversion"]; ok {
			spec["conversion"] = values.Clone(conversion)
		}
	}
	next.Object["spec"] = spec
	return next
}

// withDefaults adds the names that the server derives where a manifest leaves
// them out, so that they are no difference.
func withDefaults(spec, live map[string]any) map[string]any {
	names, _ := spec["names"].(map[string]any)
	liveNames, _ := live["names"].(map[string]any)
	for _, key := range []string{"singular", "listKind"} {
		if v, ok := liveNames[key]; ok && names != nil && names[key] == nil {
			names[key] = v
		}
	}
	dropNulls(spec)
	return spec
}

// dropNulls removes null fields, as the server does, except inside what is data:
// defaults, enums and examples.
func dropNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			switch {
			case e == nil:
				delete(v, key)
			case key != "default" && key != "enum" && key != "example":
				dropNulls(e)
			}
		}
	case []any:
		for _, e := range v {
			dropNulls(e)
		}
	}
}

func overlay(base, over map[string]string) map[string]string {
	if len(base) == 0 && len(over) == 0 {
		return nil
	}
	out := make(map[string]string, len(base)+len(over))
	for k, v := range base {
		out[k] = v
	}
	for k, v := range over {
		out[k] = v
	}
	return out
}

// droppedVersions are stored versions that the wanted definition does not have.
func droppedVersions(live, wanted *unstructured.Unstructured) (dropped []string) {
	stored, _, _ := unstructured.NestedStringSlice(live.Object, "status", "storedVersions")
	have := versions(wanted, func(map[string]any) bool { return true })
	for _, v := range stored {
		if !slices.Contains(have, v) {
			dropped = append(dropped, v)
		}
	}
	return dropped
}

func versions(crd *unstructured.Unstructured, which func(map[string]any) bool) (names []string) {
	list, _, _ := unstructured.NestedFieldNoCopy(crd.Object, "spec", "versions")
	all, _ := list.([]any)
	for _, e := range all {
		if v, ok := e.(map[string]any); ok && which(v) {
			name, _ := v["name"].(string)
			names = append(names, name)
		}
	}
	return names
}

// crdProblem says why a CRD is not served; "" when it is.
func crdProblem(u *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "conditions")
	list, _ := conditions.([]any)
	problem := "the API server has not looked at it yet"
	for _, e := range list {
		c, _ := e.(map[string]any)
		switch {
		case c["type"] == "Established" && c["status"] == "True":
			return ""
		case c["status"] == "False" && c["message"] != "":
			problem = fmt.Sprint(c["message"])
		}
	}
	return problem
}

func servedBy(crd *unstructured.Unstructured) (all []schema.GroupVersionResource) {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	for _, v := range versions(crd, func(v map[string]any) bool { return v["served"] == true }) {
		all = append(all, schema.GroupVersionResource{Group: group, Version: v, Resource: plural})
	}
	return all
}

// awaitServed asks discovery, which follows Established with a delay, until it
// shows all resources.
func (c *Clients) awaitServed(ctx context.Context, wanted []schema.GroupVersionResource) error {
	var b backoff
	for {
		lists, err := c.refreshDiscovery()
		if err == nil {
			missing := absent(wanted, lists)
			if len(missing) == 0 {
				return nil
			}
			err = fmt.Errorf("established, but not in discovery: %v", missing)
		}
		b.pause(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

func absent(wanted []schema.GroupVersionResource, lists []*metav1.APIResourceList) (missing []string) {
	there := map[schema.GroupVersionResource]bool{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range l.APIResources {
			there[gv.WithResource(r.Name)] = true
		}
	}
	for _, w := range wanted {
		if !there[w] {
			missing = append(missing, w.GroupVersion().String()+" "+w.Resource)
		}
	}
	return missing
}
