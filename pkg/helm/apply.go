package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	helmtime "helm.sh/helm/v3/pkg/time"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/object"
)

// Install applies a rendered chart as a new revision. It goes on from whatever history
// there is: after a failed first install it is the next revision, still an install to
// chart hooks, and no object is lost. ErrPending when another action has not ended.
func (c *Client) Install(ctx context.Context, req installed.Request, r installed.Rendered) (installed.Result, error) {
	return c.apply(ctx, req, r)
}

// Upgrade applies a rendered chart as a new revision over the newest deployed one and
// removes what the new text no longer has, leftovers of failed revisions included. It
// is Install by another name: the stored history says which of the two it is.
func (c *Client) Upgrade(ctx context.Context, req installed.Request, r installed.Rendered) (installed.Result, error) {
	return c.apply(ctx, req, r)
}

func (c *Client) apply(ctx context.Context, req installed.Request, r installed.Rendered) (installed.Result, error) {
	ctx, warned := withWarnings(ctx)
	a := &applying{Client: c, req: req, rendered: r}
	res, err := a.run(ctx)
	res.Warnings = c.report(req.Module.Name, warned)
	if err != nil {
		return res, fmt.Errorf("apply module %s: %w", req.Module.Name, err)
	}
	return res, nil
}

// applying is one install or upgrade.
type applying struct {
	*Client
	req      installed.Request
	rendered installed.Rendered

	history []installed.Release
	before  *before
	target  []*item
	removed []*item
	hooks   *hookRun
	kept    []object.Ref
}

func (a *applying) run(ctx context.Context) (installed.Result, error) {
	if err := a.prepare(ctx); err != nil {
		return installed.Result{}, err
	}
	rel, err := a.newRelease()
	if err != nil {
		return installed.Result{}, err
	}
	if err := a.prune(ctx); err != nil {
		return installed.Result{}, err
	}
	rec, err := a.records.create(ctx, rel, a.cfg.Now())
	if err != nil {
		return installed.Result{}, err
	}
	err = a.write(ctx, rel)
	return a.settle(ctx, rec, err)
}

// prepare reads the history and the cluster; it writes nothing, so a conflict found
// here leaves no revision.
func (a *applying) prepare(ctx context.Context) error {
	name := a.req.Module.Name
	var err error
	if a.history, err = a.records.index(ctx, name); err != nil {
		return err
	}
	if len(a.history) > 0 && a.history[0].Status.Pending() {
		return fmt.Errorf("revision %d is %s: %w", a.history[0].Revision, a.history[0].Status, ErrPending)
	}
	kinds := a.kinds()
	docs, err := parseDocuments("manifest", a.rendered.Manifest)
	if err != nil {
		return err
	}
	if a.target, err = kinds.items(docs, name, a.req.Namespace); err != nil {
		return err
	}
	if a.before, err = a.readBefore(ctx, kinds, a.history); err != nil {
		return err
	}
	a.compare()
	if len(a.history) == 0 {
		return nil // nothing of ours is there: creating tells what exists
	}
	return a.ask(ctx)
}

// compare finds the base of every target and what has to go.
func (a *applying) compare() {
	for _, it := range a.target {
		if old := a.before.items[it.key()]; old != nil {
			it.base = old.want
			delete(a.before.items, it.key())
		}
	}
	for _, it := range a.before.items {
		a.removed = append(a.removed, it)
	}
	slices.SortFunc(a.removed, func(x, y *item) int { return x.Ref.Compare(y.Ref) })
	sortItems(a.removed, releaseutil.UninstallOrder)
}

func (a *applying) ask(ctx context.Context) error {
	return a.objects.each(a.target, func(it *item) error {
		if err := a.objects.get(ctx, it); err != nil {
			return err
		}
		return it.checkWritable(a.req.Module.Name, a.req.Namespace)
	})
}

func (a *applying) newRelease() (*release.Release, error) {
	l, err := a.charts.load(a.req.Module)
	if err != nil {
		return nil, err
	}
	hooks, err := parseHooks(a.rendered.Hooks)
	if err != nil {
		return nil, err
	}
	now := helmtime.Time{Time: a.cfg.Now()}
	status, first := release.StatusPendingInstall, now
	if d := a.before.deployed; d != nil {
		status, first = release.StatusPendingUpgrade, d.Info.FirstDeployed
	}
	revision := 1
	if len(a.history) > 0 {
		revision = a.history[0].Revision + 1
	}
	labels := map[string]string{
		LabelInstance: a.cfg.Instance, LabelOrigin: OriginEmbedded,
		LabelInputDigest: a.rendered.InputDigest, LabelRenderDigest: a.rendered.RenderDigest,
	}
	if a.req.Maintenance {
		labels[installed.LabelMaintenance] = "true"
	}
	return &release.Release{
		Name: a.req.Module.Name, Namespace: a.req.Namespace, Version: revision,
		// The templates stay out of the record: no command of Helm needs them, and
		// they are most of its size.
		Chart:    &chart.Chart{Metadata: l.chart.Metadata},
		Config:   a.req.Values.Clone(),
		Manifest: a.rendered.Manifest,
		Hooks:    hooks,
		Info:     &release.Info{FirstDeployed: first, LastDeployed: now, Status: status, Description: "Applying"},
		Labels:   labels,
	}, nil
}

// prune makes room for one revision; the deployed one always stays.
func (a *applying) prune(ctx context.Context) error {
	if a.cfg.HistoryMax <= 0 {
		return nil
	}
	left := len(a.history)
	for _, old := range slices.Backward(a.history) {
		if left < a.cfg.HistoryMax {
			return nil
		}
		if d := a.before.deployed; d != nil && d.Version == old.Revision {
			continue
		}
		if err := a.records.remove(ctx, old.Name, old.Revision); err != nil {
			return err
		}
		left--
	}
	return nil
}

// write is the part that changes objects.
func (a *applying) write(ctx context.Context, rel *release.Release) error {
	pre, post := release.HookPreInstall, release.HookPostInstall
	if a.before.deployed != nil {
		pre, post = release.HookPreUpgrade, release.HookPostUpgrade
	}
	a.hooks = &hookRun{Client: a.Client, kinds: a.kinds(), release: rel}
	if err := a.hooks.run(ctx, pre); err != nil {
		return err
	}
	err := a.objects.eachKind(a.target, func(it *item) error {
		return a.objects.apply(ctx, it, rel.Name, rel.Namespace)
	})
	if err != nil {
		return err
	}
	if a.kept, err = a.sweep(ctx, a.removed, a.before); err != nil {
		return err
	}
	return a.hooks.run(ctx, post)
}

// settle records how it went. When ctx has ended nothing may be written any more: the
// revision stays pending for Recover.
func (a *applying) settle(ctx context.Context, rec *record, failure error) (installed.Result, error) {
	status, text := release.StatusDeployed, "Applied"
	if failure != nil {
		if ctx.Err() != nil {
			return a.result(rec), errors.Join(failure, ctx.Err())
		}
		status, text = release.StatusFailed, fmt.Sprintf("Release %q failed: %s", rec.Name, failure)
	}
	rec.SetStatus(status, text)
	if err := a.records.update(ctx, rec, a.cfg.Now()); err != nil {
		return a.result(rec), errors.Join(failure, err)
	}
	if failure != nil {
		return a.result(rec), failure
	}
	if d := a.before.deployed; d != nil {
		d.SetStatus(release.StatusSuperseded, "Superseded by revision "+fmt.Sprint(rec.Version))
		if err := a.records.update(ctx, d, a.cfg.Now()); err != nil {
			// Helm takes the newest of several deployed revisions, so nothing is wrong with the release.
			a.cfg.Logger.Warn("superseded revision is still called deployed", "module", rec.Name, "revision", d.Version, "error", err)
		}
	}
	return a.result(rec), nil
}

func (a *applying) result(rec *record) installed.Result {
	return installed.Result{Release: a.seen(rec), Objects: manifested(a.target), Kept: a.kept}
}

// seen is a stored record as Observe shows it.
func (c *Client) seen(rec *record) installed.Release {
	return installed.Release{
		Name: rec.Name, Revision: rec.Version, Status: installed.Status(rec.Info.Status), Updated: c.cfg.Now(),
		Instance: rec.Labels[LabelInstance], InputDigest: rec.Labels[LabelInputDigest],
		RenderDigest: rec.Labels[LabelRenderDigest], PredecessorChecksum: rec.Labels[LabelPredecessor], Labels: rec.Labels,
	}
}

func manifested(items []*item) []installed.Manifested {
	out := make([]installed.Manifested, 0, len(items))
	for _, it := range items {
		out = append(out, it.manifested())
	}
	return out
}

// before is what earlier revisions put into the cluster.
type before struct {
	// newest is the newest revision, deployed the newest deployed one; nil when there is none.
	newest, deployed *record
	// items are its objects, and those of failed revisions after it.
	items map[key]*item
	// unsure are keys of items that only failed revisions have: they may never have been written.
	unsure map[key]bool
}

// readBefore loads the newest deployed revision and the ones after it. When a kill
// between two writes, or an uninstall that did not end, left no deployed revision, the
// newest superseded one is the base, but its objects count as unsure.
func (c *Client) readBefore(ctx context.Context, kinds *kinds, history []installed.Release) (*before, error) {
	b := &before{items: map[key]*item{}, unsure: map[key]bool{}}
	base := installed.Deployed
	if !slices.ContainsFunc(history, func(r installed.Release) bool { return r.Status == installed.Deployed }) {
		base = installed.Superseded
	}
	var newer []*record
	for _, h := range history {
		if h.Status == statusRemoved {
			break
		}
		rec, err := c.records.load(ctx, h.Name, h.Revision)
		if err != nil {
			return nil, err
		}
		if b.newest == nil {
			b.newest = rec
		}
		if h.Status == base {
			b.deployed = rec
			break
		}
		newer = append(newer, rec)
	}
	if b.deployed != nil {
		if err := b.add(c, kinds, b.deployed, base != installed.Deployed); err != nil {
			return nil, err
		}
	}
	for _, rec := range newer {
		if err := b.add(c, kinds, rec, true); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// add takes over the objects of a revision that are not known yet. Kinds that the
// cluster no longer has are skipped: their objects are gone with them.
func (b *before) add(c *Client, kinds *kinds, rec *record, unsure bool) error {
	docs, err := parseDocuments("manifest", rec.Manifest)
	if err != nil {
		return fmt.Errorf("revision %d: %w", rec.Version, err)
	}
	for _, d := range docs {
		it, err := kinds.item(d, rec.Name, rec.Namespace)
		if isNoKind(err) {
			c.cfg.Logger.Warn("kind of an installed object is gone from the cluster", "module", rec.Name, "object", d.ref().String())
			continue
		}
		if err != nil {
			return err
		}
		if b.items[it.key()] == nil {
			b.items[it.key()] = it
			b.unsure[it.key()] = unsure
		}
	}
	return nil
}

// sweep deletes objects that are no longer wanted and answers those that stay by policy.
func (c *Client) sweep(ctx context.Context, items []*item, b *before) ([]object.Ref, error) {
	kept := make([]bool, len(items))
	index := make(map[*item]int, len(items))
	for i, it := range items {
		index[it] = i
	}
	err := c.objects.eachKind(items, func(it *item) error {
		stays, err := c.sweepOne(ctx, it, b.unsure[it.key()])
		kept[index[it]] = stays
		return err
	})
	var out []object.Ref
	for i, it := range items {
		if kept[i] {
			out = append(out, it.Ref)
		}
	}
	return out, err
}

// sweepOne deletes it unless its manifest or the live object says keep, or it is not
// ours: another release took it over, or we never came to write it.
func (c *Client) sweepOne(ctx context.Context, it *item, unsure bool) (kept bool, err error) {
	if err := c.objects.get(ctx, it); err != nil || it.live == nil {
		return false, err
	}
	o, err := it.owned()
	if err != nil {
		return false, err
	}
	switch name, _ := o.owner(); {
	case name != "" && name != it.annotation(releaseNameAnnotation), name == "" && unsure:
		return false, nil
	case it.annotation(resourcePolicyAnnotation) == resourcePolicyKeep,
		o.Metadata.Annotations[resourcePolicyAnnotation] == resourcePolicyKeep:
		return true, nil
	}
	return false, c.objects.remove(ctx, it)
}

// Recover marks the newest revision failed when a dead holder left it pending, so that
// Install or Upgrade go on from it; nothing is deleted (C-437 differs: the predecessor
// deletes the record). Without a pending revision it does nothing.
func (c *Client) Recover(ctx context.Context, name string) error {
	history, err := c.records.index(ctx, name)
	if err != nil {
		return fmt.Errorf("recover release %s: %w", name, err)
	}
	if len(history) == 0 || !history[0].Status.Pending() {
		return nil
	}
	rec, err := c.records.load(ctx, name, history[0].Revision)
	if err != nil {
		return fmt.Errorf("recover release %s: %w", name, err)
	}
	rec.SetStatus(release.StatusFailed, fmt.Sprintf("Interrupted while %s", rec.Info.Status))
	if err := c.records.update(ctx, rec, c.cfg.Now()); err != nil {
		return fmt.Errorf("recover release %s: %w", name, err)
	}
	return nil
}
