package helm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/object"
)

// Observe answers the newest revision of a release as it is stored; the zero Release
// when there is none. One request, no payload.
func (c *Client) Observe(ctx context.Context, name string) (installed.Release, error) {
	history, err := c.records.index(ctx, name)
	if err != nil {
		return installed.Release{}, fmt.Errorf("observe release %s: %w", name, err)
	}
	if len(history) == 0 || history[0].Status == statusRemoved {
		return installed.Release{}, nil
	}
	return history[0], nil
}

// List answers the newest revision of every release of the namespace, by name. Only
// metadata of the records is asked for.
func (c *Client) List(ctx context.Context) ([]installed.Release, error) {
	all, err := c.records.index(ctx, "")
	if err != nil {
		return nil, err
	}
	var out []installed.Release
	last := ""
	for _, r := range all {
		if r.Name == last {
			continue
		}
		last = r.Name
		if r.Status != statusRemoved {
			out = append(out, r)
		}
	}
	return out, nil
}

// Objects answers what the newest deployed revision of a release consists of, from its
// record; Live is not known. Objects of kinds that the cluster does not have now are among
// them. Without a deployed revision there are none.
func (c *Client) Objects(ctx context.Context, name string) ([]installed.Manifested, error) {
	d, err := c.deployed(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("objects of release %s: %w", name, err)
	}
	return manifested(d.items), nil
}

// deployed is the newest deployed revision; the zero value when there is none.
type deployed struct {
	*record
	items   []*item // in install order
	account string  // who acts on them
}

func (c *Client) deployed(ctx context.Context, name string) (deployed, error) {
	history, err := c.records.index(ctx, name)
	if err != nil {
		return deployed{}, err
	}
	if len(history) > 0 && history[0].Status.Pending() {
		return deployed{}, fmt.Errorf("revision %d is %s: %w", history[0].Revision, history[0].Status, ErrPending)
	}
	for _, h := range history {
		if h.Status != installed.Deployed {
			continue
		}
		rec, err := c.readable(ctx, h)
		if err != nil {
			return deployed{}, err
		}
		if rec == nil {
			continue
		}
		items, unserved, err := c.itemsOf(rec)
		return deployed{rec, append(items, unserved...), accountOf(history)}, err
	}
	return deployed{}, nil
}

// itemsOf are the objects of a revision, those of kinds that the cluster does not have apart.
func (c *Client) itemsOf(rec *record) (items, unserved []*item, err error) {
	docs, err := parseDocuments("manifest", rec.Manifest)
	if err != nil {
		return nil, nil, fmt.Errorf("revision %d: %w", rec.Version, err)
	}
	kinds := c.kinds()
	for _, d := range docs {
		it, err := kinds.item(d, rec.Name, rec.Namespace)
		if isNoKind(err) {
			c.cfg.Logger.Warn("kind of an installed object is gone from the cluster", "module", rec.Name, "object", d.ref().String())
			if it, err = unservedItem(d, rec, err); err != nil {
				return nil, nil, err
			}
			unserved = append(unserved, it)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		items = append(items, it)
	}
	return items, unserved, nil
}

// unservedItem is an object whose kind is gone. Whether that is namespaced is not known;
// most are.
func unservedItem(d document, rec *record, why error) (*item, error) {
	ref := d.ref()
	if ref.Namespace == "" {
		ref.Namespace = rec.Namespace
	}
	d.own(rec.Name, rec.Namespace)
	j, err := json.Marshal(d.obj)
	return &item{document: d, Ref: ref, want: j, unserved: why}, err
}

// Repair brings objects of the newest deployed revision back to its text: missing ones
// are created, changed ones merged three-way with the stored text on both sides, custom
// resources too. Nothing is written where nothing differs, and no revision is made. A
// nil objs means all but those that their TTL removed; refs that are not in the release are
// an error, and so are objects whose kind is gone, after the others are repaired.
// Result.Objects are all of the release; Live is nil where objs did not name them.
func (c *Client) Repair(ctx context.Context, name string, objs []object.Ref) (installed.Result, error) {
	ctx, warned := withWarnings(ctx)
	res, err := c.repair(ctx, name, objs)
	res.Warnings = c.report(name, warned)
	if err != nil {
		return res, fmt.Errorf("repair release %s: %w", name, err)
	}
	return res, nil
}

func (c *Client) repair(ctx context.Context, name string, objs []object.Ref) (installed.Result, error) {
	d, err := c.deployed(ctx, name)
	if err != nil {
		return installed.Result{}, err
	}
	if d.record == nil {
		return installed.Result{}, fmt.Errorf("no deployed revision; install it first")
	}
	if c, err = c.as(d.account); err != nil {
		return installed.Result{}, err
	}
	items, rec := d.items, d.record
	if objs == nil { // an operator that was killed may have left an older one deployed
		history, err := c.records.index(ctx, name)
		if err != nil {
			return installed.Result{}, err
		}
		c.supersede(ctx, history, nil, rec.Version)
	}
	chosen, err := pick(items, objs)
	if err != nil {
		return installed.Result{}, err
	}
	var unserved []error
	for _, it := range chosen {
		unserved = append(unserved, it.unserved)
	}
	chosen = slices.DeleteFunc(chosen, func(it *item) bool { return it.unserved != nil })
	err = c.objects.eachKind(chosen, func(it *item) error {
		it.base = it.want
		if err := c.objects.get(ctx, it); err != nil {
			return err
		}
		if it.live == nil && it.ignored() && objs == nil {
			return nil // its TTL removed it; nobody asked for this very one
		}
		return c.objects.apply(ctx, it, claim{name: rec.Name, namespace: rec.Namespace})
	})
	return installed.Result{Release: c.seen(rec), Objects: manifested(items)}, errors.Join(append(unserved, err)...)
}

func pick(items []*item, objs []object.Ref) ([]*item, error) {
	if objs == nil {
		return slices.Clone(items), nil
	}
	out := make([]*item, len(objs))
	for i, r := range objs {
		n := slices.IndexFunc(items, func(it *item) bool { return it.is(r) })
		if n < 0 {
			return nil, fmt.Errorf("%s is not in the deployed revision; expected one of its %d objects", r, len(items))
		}
		out[i] = items[n]
	}
	slices.SortStableFunc(out, func(x, y *item) int { return cmp.Compare(slices.Index(items, x), slices.Index(items, y)) })
	return slices.Compact(out), nil
}

// is says whether a reference means the item. One that was made while the kind was
// gone may have a namespace where there is none, or none where there is one.
func (it *item) is(r object.Ref) bool {
	if it.unserved != nil || it.mapping.Scope.Name() == meta.RESTScopeNameRoot {
		r.Namespace = it.Ref.Namespace
	}
	return it.Ref == r
}
