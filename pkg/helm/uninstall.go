package helm

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	helmtime "helm.sh/helm/v3/pkg/time"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/object"
)

// Uninstall runs the chart's delete hooks and deletes the objects of the release. It does
// not wait for the objects to be gone: Result.Objects names them. Objects with the
// resource policy keep stay and are Result.Kept. The records stay too, uninstalling, so
// that whoever comes next can see that the removal began: Forget ends it. A release that
// does not exist is fine; for one whose objects an earlier call deleted nothing is done
// again, and Result.Objects are those still there.
func (c *Client) Uninstall(ctx context.Context, name string) (installed.Result, error) {
	ctx, warned := withWarnings(ctx)
	res, err := c.uninstall(ctx, name)
	res.Warnings = c.report(name, warned)
	if err != nil {
		return res, fmt.Errorf("uninstall release %s: %w", name, err)
	}
	return res, nil
}

func (c *Client) uninstall(ctx context.Context, name string) (installed.Result, error) {
	history, err := c.records.index(ctx, name)
	if err != nil || len(history) == 0 || history[0].Status == statusRemoved {
		return installed.Result{}, err
	}
	if c, err = c.asInstalled(history); err != nil {
		return installed.Result{}, err
	}
	kinds := c.kinds()
	b, err := c.readBefore(ctx, kinds, history)
	if err != nil {
		return installed.Result{}, err
	}
	if b.newest == nil {
		return installed.Result{}, fmt.Errorf("%w: nobody knows its objects; delete them by hand, then the Secrets %s* of namespace %s",
			errGarbled, recordPrefix+name+".v", c.cfg.Namespace)
	}
	items := slices.Collect(maps.Values(b.items))
	slices.SortFunc(items, func(x, y *item) int { return x.Ref.Compare(y.Ref) })
	sortItems(items, releaseutil.UninstallOrder)
	if history[0].Removed() {
		return c.leftovers(ctx, items)
	}
	return c.delete(ctx, items, b)
}

func (c *Client) delete(ctx context.Context, items []*item, b *before) (installed.Result, error) {
	rec := b.newest
	rec.SetStatus(release.StatusUninstalling, "Deletion in progress")
	rec.Info.Deleted = helmtime.Time{Time: c.cfg.Now()}
	if err := c.records.update(ctx, rec, c.cfg.Now()); err != nil {
		return installed.Result{}, err
	}
	hooks := &hookRun{Client: c, kinds: c.kinds(), release: rec.Release}
	if err := hooks.run(ctx, release.HookPreDelete); err != nil {
		return installed.Result{}, err
	}
	kept, err := c.sweep(ctx, items, b)
	res := installed.Result{Objects: deleted(items, kept), Kept: kept}
	if err != nil {
		return res, err
	}
	if err := hooks.run(ctx, release.HookPostDelete); err != nil {
		return res, err
	}
	if rec.Labels == nil {
		rec.Labels = map[string]string{}
	}
	rec.Labels[installed.LabelRemoved] = "true"
	c.sign(rec.Labels)
	rec.Info.Description = "Objects deleted; what follows their end is in progress"
	return res, c.records.update(ctx, rec, c.cfg.Now())
}

// leftovers are the objects of a release that were deleted before and are not gone yet.
func (c *Client) leftovers(ctx context.Context, items []*item) (installed.Result, error) {
	err := c.objects.each(items, func(it *item) error { return c.objects.get(ctx, it) })
	var res installed.Result
	for _, it := range items {
		if it.live == nil {
			continue
		}
		o, oErr := it.owned()
		if oErr != nil {
			return res, oErr
		}
		if o.Metadata.DeletionTimestamp != nil {
			res.Objects = append(res.Objects, it.manifested())
		}
	}
	return res, err
}

func deleted(items []*item, kept []object.Ref) []installed.Manifested {
	var out []installed.Manifested
	for _, it := range items {
		if !slices.Contains(kept, it.Ref) && it.live != nil {
			out = append(out, it.manifested())
		}
	}
	return out
}

// Forget removes the records of a release, the newest last: as long as one is left,
// Uninstall can be called again and finds everything. Call it when all that follows an
// uninstall has ended. A release that does not exist is fine.
func (c *Client) Forget(ctx context.Context, name string) error {
	history, err := c.records.index(ctx, name)
	if err != nil {
		return fmt.Errorf("forget release %s: %w", name, err)
	}
	for _, h := range slices.Backward(history) {
		if err := c.records.remove(ctx, h.Name, h.Revision); err != nil {
			return fmt.Errorf("forget release %s: %w", name, err)
		}
	}
	return nil
}
