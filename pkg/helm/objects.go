package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/object"
)

// item is one object on its way to the cluster.
type item struct {
	document
	object.Ref
	mapping *meta.RESTMapping
	// want is the object as JSON, Helm's ownership metadata included.
	want []byte
	// base is the object as it was applied last, nil when it was not. unsure: the revision that
	// applied it failed, so it may never have been written.
	base   []byte
	unsure bool
	// live is what the API server answered last, nil when the object is absent or was not asked for.
	live []byte
	// unserved says that the cluster has no such kind now; mapping is nil then.
	unserved error
	// created: this action made the object.
	created bool
}

// key identifies an object across API versions.
type key struct{ group, kind, namespace, name string }

func (it *item) key() key {
	return key{it.mapping.GroupVersionKind.Group, it.Kind, it.Namespace, it.Name}
}

func (it *item) path() []string {
	gv := it.mapping.Resource.GroupVersion()
	p := []string{"/apis", gv.Group, gv.Version}
	if gv.Group == "" {
		p = []string{"/api", gv.Version}
	}
	if it.mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		p = append(p, "namespaces", it.Namespace)
	}
	return append(p, it.mapping.Resource.Resource)
}

func (it *item) manifested() installed.Manifested {
	return installed.Manifested{Ref: it.Ref, Manifest: it.want, Live: it.live, Ignored: it.ignored()}
}

// items resolves docs to what the API server calls them. Objects of a release are
// marked as its own. Unknown kinds are an error of all of them together.
func (k *kinds) items(docs []document, name, namespace string) ([]*item, error) {
	out := make([]*item, 0, len(docs))
	var errs []error
	for _, d := range docs {
		it, err := k.item(d, name, namespace)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, it)
	}
	return out, errors.Join(errs...)
}

func (k *kinds) item(d document, name, namespace string) (*item, error) {
	m, err := k.mapping(d.gvk())
	if meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("%s: the cluster has no kind %s of %s; is its CRD or API service installed, by this module's crds directory or by a module it should require? %w",
			d.ref(), d.ref().Kind, d.ref().APIVersion, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.ref(), err)
	}
	if err := k.fillNamespace(d, namespace); err != nil {
		return nil, err
	}
	d.own(name, namespace)
	j, err := json.Marshal(d.obj)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.ref(), err)
	}
	return &item{document: d, Ref: d.ref(), mapping: m, want: j}, nil
}

// objects reads and writes objects as JSON, as the API server sends and takes them.
type objects struct {
	rest     rest.Interface
	watch    dynamic.Interface
	parallel int
	spare    Spare
	// who is "<namespace>/<ServiceAccount>" that the requests go out as, "" the operator.
	who string
}

// answer is the body of a response. Of the two errors that a response has, Raw's does
// not tell what the API server wrote, such as the policy that refused an object.
func answer(res rest.Result) ([]byte, error) {
	raw, _ := res.Raw()
	return raw, res.Error()
}

// get fills it.live; an absent object leaves nil.
func (o *objects) get(ctx context.Context, it *item) error {
	raw, err := answer(o.rest.Get().AbsPath(append(it.path(), it.Name)...).SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx))
	if apierrors.IsNotFound(err) {
		it.live = nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("get %s: %w", it.Ref, o.explained(err))
	}
	it.live = raw
	return nil
}

func (o *objects) create(ctx context.Context, it *item) error {
	raw, err := answer(o.rest.Post().AbsPath(it.path()...).
		SetHeader("Accept", runtime.ContentTypeJSON).SetHeader("Content-Type", runtime.ContentTypeJSON).
		Param("fieldManager", FieldManager).Param("fieldValidation", metav1.FieldValidationWarn).
		Body(it.want).Do(ctx))
	if err != nil {
		return fmt.Errorf("create %s: %w", it.Ref, o.explained(err))
	}
	it.live = raw
	return nil
}

// patch brings it.live to it.want, except for fields left to others, and writes nothing when
// there is nothing to change. What somebody writes between the reading and the patch makes
// it read and merge anew: else the answer would count as what was applied, with a field of
// ours missing that was taken away meanwhile.
func (o *objects) patch(ctx context.Context, it *item, release string) error {
	const attempts = 8 // an object that is never still is patched as it is
	for attempt := 1; ; attempt++ {
		err := o.patchOnce(ctx, it, release, attempt < attempts)
		if !apierrors.IsConflict(err) || attempt == attempts {
			return err
		}
		if err := o.get(ctx, it); err != nil {
			return err
		}
		if it.live == nil {
			return err // it was deleted meanwhile
		}
	}
}

func (o *objects) patchOnce(ctx context.Context, it *item, release string, still bool) error {
	merged, err := o.spared(ctx, it, release)
	if err != nil {
		return err
	}
	text, kind, err := merged.mergePatch()
	if err != nil {
		return fmt.Errorf("compare %s: %w", it.Ref, err)
	}
	if string(text) == "{}" || len(text) == 0 {
		return nil
	}
	if still {
		if text, err = withVersion(text, it.live); err != nil {
			return fmt.Errorf("patch %s: %w", it.Ref, err)
		}
	}
	raw, err := answer(o.rest.Patch(kind).AbsPath(append(it.path(), it.Name)...).
		SetHeader("Accept", runtime.ContentTypeJSON).
		Param("fieldManager", FieldManager).Param("fieldValidation", metav1.FieldValidationWarn).
		Body(text).Do(ctx))
	if err != nil {
		return fmt.Errorf("patch %s: %w", it.Ref, o.explained(err))
	}
	it.live = raw
	return nil
}

// withVersion adds the resourceVersion of live to a patch: the API server then refuses it
// with a conflict if the object is another by now.
func withVersion(patch, live []byte) ([]byte, error) {
	var seen struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(live, &seen); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(patch, &fields); err != nil {
		return nil, err
	}
	metadata := map[string]json.RawMessage{}
	if m := fields["metadata"]; m != nil {
		if err := json.Unmarshal(m, &metadata); err != nil {
			return nil, err
		}
	}
	var err error
	if metadata["resourceVersion"], err = json.Marshal(seen.Metadata.ResourceVersion); err != nil {
		return nil, err
	}
	if fields["metadata"], err = json.Marshal(metadata); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// mergePatch is the three-way merge of base, want and live: strategic for the kinds
// that Kubernetes defines, JSON merge for all others. Without a base nothing is taken
// away from the live object.
func (it *item) mergePatch() ([]byte, types.PatchType, error) {
	base := it.base
	if base == nil {
		base = it.want
	}
	typed, err := scheme.Scheme.New(it.mapping.GroupVersionKind)
	if err != nil {
		p, err := jsonmergepatch.CreateThreeWayJSONMergePatch(base, it.want, it.live)
		return p, types.MergePatchType, err
	}
	m, err := strategicpatch.NewPatchMetaFromStruct(typed)
	if err != nil {
		return nil, "", err
	}
	p, err := strategicpatch.CreateThreeWayMergePatch(base, it.want, it.live, m, true)
	return p, types.StrategicMergePatchType, err
}

// apply creates or patches one object for who; it.live is what is known of it so far.
func (o *objects) apply(ctx context.Context, it *item, who claim) error {
	const attempts = 3 // the object may appear or go away between two requests
	var err error
	for range attempts {
		if it.live == nil {
			if err = o.create(ctx, it); !apierrors.IsAlreadyExists(err) {
				it.created = err == nil
				return err
			}
			if err := o.get(ctx, it); err != nil {
				return err
			}
			if it.live == nil {
				continue
			}
		}
		if err := who.check(it); err != nil {
			return err
		}
		err = o.patch(ctx, it, who.name)
		if !apierrors.IsNotFound(err) && it.live != nil {
			return err
		}
		it.live = nil
	}
	return err
}

// remove deletes one object in the background; one that is gone is fine.
func (o *objects) remove(ctx context.Context, it *item) error {
	err := o.rest.Delete().AbsPath(append(it.path(), it.Name)...).
		SetHeader("Accept", runtime.ContentTypeJSON).SetHeader("Content-Type", runtime.ContentTypeJSON).
		Body([]byte(`{"propagationPolicy":"Background"}`)).Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", it.Ref, o.explained(err))
	}
	return nil
}

// each runs fn for all items, several at once. Their errors come together.
func (o *objects) each(items []*item, fn func(*item) error) error {
	errs := make([]error, len(items))
	var g errgroup.Group
	g.SetLimit(o.parallel)
	for i, it := range items {
		g.Go(func() error {
			errs[i] = fn(it)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return errors.Join(errs...)
}

// eachKind runs fn for all items, one kind after the other in the given order, and
// stops after the first kind with an error.
func (o *objects) eachKind(items []*item, fn func(*item) error) error {
	for start := 0; start < len(items); {
		end := start + 1
		for end < len(items) && items[end].Kind == items[start].Kind {
			end++
		}
		if err := o.each(items[start:end], fn); err != nil {
			return err
		}
		start = end
	}
	return nil
}

func isNoKind(err error) bool {
	var kind *meta.NoKindMatchError
	var resource *meta.NoResourceMatchError
	return errors.As(err, &kind) || errors.As(err, &resource)
}
