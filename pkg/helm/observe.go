package helm

import (
	"context"
	"fmt"

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
// record; Live is not known. Kinds that the cluster does not have are left out. Without
// a deployed revision there are none.
func (c *Client) Objects(ctx context.Context, name string) ([]installed.Manifested, error) {
	items, _, err := c.deployedItems(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("objects of release %s: %w", name, err)
	}
	return manifested(items), nil
}

// deployedItems are the objects of the newest deployed revision, in install order.
func (c *Client) deployedItems(ctx context.Context, name string) ([]*item, *record, error) {
	history, err := c.records.index(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if len(history) > 0 && history[0].Status.Pending() {
		return nil, nil, fmt.Errorf("revision %d is %s: %w", history[0].Revision, history[0].Status, ErrPending)
	}
	for _, h := range history {
		if h.Status != installed.Deployed {
			continue
		}
		rec, err := c.records.load(ctx, name, h.Revision)
		if err != nil {
			return nil, nil, err
		}
		items, err := c.itemsOf(rec)
		return items, rec, err
	}
	return nil, nil, nil
}

func (c *Client) itemsOf(rec *record) ([]*item, error) {
	docs, err := parseDocuments("manifest", rec.Manifest)
	if err != nil {
		return nil, fmt.Errorf("revision %d: %w", rec.Version, err)
	}
	kinds := c.kinds()
	var out []*item
	for _, d := range docs {
		it, err := kinds.item(d, rec.Name, rec.Namespace)
		if isNoKind(err) {
			c.cfg.Logger.Warn("kind of an installed object is gone from the cluster", "module", rec.Name, "object", d.ref().String())
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, it)
	}
	return out, nil
}

// Repair brings objects of the newest deployed revision back to its text: missing ones
// are created, changed ones merged three-way with the stored text on both sides, custom
// resources too. Nothing is written where nothing differs, and no revision is made. A
// nil objs means all; refs that are not in the release are an error. Result.Objects are
// all of the release; Live is nil where objs did not name them.
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
	items, rec, err := c.deployedItems(ctx, name)
	if err != nil {
		return installed.Result{}, err
	}
	if rec == nil {
		return installed.Result{}, fmt.Errorf("no deployed revision; install it first")
	}
	chosen, err := pick(items, objs)
	if err != nil {
		return installed.Result{}, err
	}
	err = c.objects.eachKind(chosen, func(it *item) error {
		it.base = it.want
		if err := c.objects.get(ctx, it); err != nil {
			return err
		}
		return c.objects.apply(ctx, it, rec.Name, rec.Namespace)
	})
	return installed.Result{Release: c.seen(rec), Objects: manifested(items)}, err
}

func pick(items []*item, objs []object.Ref) ([]*item, error) {
	if objs == nil {
		return items, nil
	}
	wanted := make(map[object.Ref]bool, len(objs))
	for _, r := range objs {
		wanted[r] = true
	}
	var out []*item
	for _, it := range items {
		if wanted[it.Ref] {
			out = append(out, it)
			delete(wanted, it.Ref)
		}
	}
	for r := range wanted {
		return nil, fmt.Errorf("%s is not in the deployed revision; expected one of its %d objects", r, len(items))
	}
	return out, nil
}
