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

// Uninstall runs the chart's delete hooks, deletes the objects of the release, then its
// records. It does not wait for the objects to be gone: Result.Objects names them.
// Objects with the resource policy keep stay and are Result.Kept. A release that does
// not exist is fine; one that an earlier call left uninstalling is finished.
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
	if err != nil || len(history) == 0 {
		return installed.Result{}, err
	}
	if history[0].Status == statusRemoved {
		return installed.Result{}, c.forget(ctx, history)
	}
	kinds := c.kinds()
	b, err := c.readBefore(ctx, kinds, history)
	if err != nil {
		return installed.Result{}, err
	}
	items := slices.Collect(maps.Values(b.items))
	slices.SortFunc(items, func(x, y *item) int { return x.Ref.Compare(y.Ref) })
	sortItems(items, releaseutil.UninstallOrder)

	rec := b.newest
	rec.SetStatus(release.StatusUninstalling, "Deletion in progress")
	rec.Info.Deleted = helmtime.Time{Time: c.cfg.Now()}
	if err := c.records.update(ctx, rec, c.cfg.Now()); err != nil {
		return installed.Result{}, err
	}
	hooks := &hookRun{Client: c, kinds: kinds, release: rec.Release}
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
	return res, c.forget(ctx, history)
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

// forget removes the records, the newest last: as long as one is left, Uninstall can be
// called again and finds everything.
func (c *Client) forget(ctx context.Context, history []installed.Release) error {
	for _, h := range slices.Backward(history) {
		if err := c.records.remove(ctx, h.Name, h.Revision); err != nil {
			return err
		}
	}
	return nil
}
