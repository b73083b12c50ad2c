package helm

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

// Compare says what applying a render would make of the objects in the cluster, without
// applying it: the API server is asked with dryRun for the outcome of each patch, so
// that defaults, normalised quantities and fields of others are no difference. Objects
// of the release that the render lacks are among them.
func (c *Client) Compare(ctx context.Context, req installed.Request, r installed.Rendered) ([]installed.Compared, error) {
	acting, err := c.as(req.Module.Origin.ServiceAccount)
	if err != nil {
		return nil, fmt.Errorf("compare module %s with the cluster: %w", req.Module.Name, err)
	}
	out, err := acting.compareAll(ctx, req, r)
	if err != nil {
		return nil, fmt.Errorf("compare module %s with the cluster: %w", req.Module.Name, err)
	}
	return out, nil
}

func (c *Client) compareAll(ctx context.Context, req installed.Request, r installed.Rendered) ([]installed.Compared, error) {
	name, kinds := req.Module.Name, c.kinds()
	docs, old, err := c.documentsBeside(ctx, kinds, name, r)
	if err != nil {
		return nil, err
	}
	var out []installed.Compared
	var items []*item
	for _, d := range docs {
		it, err := kinds.item(d, name, req.Namespace)
		switch {
		case isNoKind(err):
			out = append(out, installed.Compared{Ref: d.ref(), Note: "the cluster does not have this kind"})
		case err != nil:
			return nil, err
		default:
			if was := old.items[it.key()]; was != nil {
				it.base = was.want
				delete(old.items, it.key())
			}
			items = append(items, it)
		}
	}
	compared, err := c.dryRun(ctx, items, old)
	return append(out, compared...), err
}

// documentsBeside are the objects of a render, and what earlier revisions put into the cluster.
func (c *Client) documentsBeside(ctx context.Context, kinds *kinds, name string, r installed.Rendered) ([]document, *before, error) {
	history, err := c.records.index(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	old := &before{}
	if len(history) > 0 {
		if old, err = c.readBefore(ctx, kinds, history); err != nil {
			return nil, nil, err
		}
	}
	docs, err := parseDocuments("manifest", r.Manifest)
	return docs, old, err
}

// dryRun asks for the outcome of every item, and which of the old ones are still there.
func (c *Client) dryRun(ctx context.Context, items []*item, old *before) ([]installed.Compared, error) {
	found := make(map[*item]installed.Compared, len(items))
	var gone []*item
	for _, it := range old.items {
		gone = append(gone, it)
	}
	results := make(chan struct {
		it *item
		c  installed.Compared
	}, len(items)+len(gone))
	put := func(it *item, cmp installed.Compared) {
		results <- struct {
			it *item
			c  installed.Compared
		}{it, cmp}
	}
	err := c.objects.each(items, func(it *item) error {
		cmp, err := c.objects.outcome(ctx, it)
		put(it, cmp)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = c.objects.each(gone, func(it *item) error {
		err := c.objects.get(ctx, it)
		put(it, installed.Compared{Ref: it.Ref, Live: it.live})
		return err
	})
	close(results)
	for r := range results {
		found[r.it] = r.c
	}
	out := make([]installed.Compared, 0, len(found))
	for _, it := range append(items, gone...) {
		if cmp := found[it]; cmp.Live != nil || cmp.Then != nil {
			out = append(out, cmp)
		}
	}
	return out, err
}

// outcome is what applying one object would make of it.
func (o *objects) outcome(ctx context.Context, it *item) (installed.Compared, error) {
	cmp := installed.Compared{Ref: it.Ref, Then: it.want}
	if err := o.get(ctx, it); err != nil || it.live == nil {
		return cmp, err
	}
	cmp.Live = it.live
	text, kind, err := it.mergePatch()
	if err != nil {
		return cmp, fmt.Errorf("compare %s: %w", it.Ref, err)
	}
	if string(text) == "{}" || len(text) == 0 {
		cmp.Then = it.live
		return cmp, nil
	}
	then, err := o.rest.Patch(kind).AbsPath(append(it.path(), it.Name)...).
		SetHeader("Accept", runtime.ContentTypeJSON).
		Param("fieldManager", FieldManager).Param("dryRun", metav1.DryRunAll).
		Body(text).Do(ctx).Raw()
	if err != nil { // the difference as it is written, and why it cannot be applied
		cmp.Note = "applying it would fail: " + o.explained(err).Error()
		return cmp, nil
	}
	cmp.Then = then
	return cmp, nil
}
