package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	helmtime "helm.sh/helm/v3/pkg/time"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
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
// is Install by another name: the stored history says which of the two it is. When it
// fails for a module with onFailure: rollback, the error is *installed.RolledBack and
// the result that of the rollback.
func (c *Client) Upgrade(ctx context.Context, req installed.Request, r installed.Rendered) (installed.Result, error) {
	return c.apply(ctx, req, r)
}

func (c *Client) apply(ctx context.Context, req installed.Request, r installed.Rendered) (installed.Result, error) {
	defer c.observe(req.Module.Name, "upgrade", time.Now())
	acting, err := c.as(req.Module.Origin.ServiceAccount)
	if err != nil {
		return installed.Result{}, fmt.Errorf("apply module %s: %w", req.Module.Name, err)
	}
	ctx, warned := withWarnings(ctx)
	a := &applying{Client: acting, req: req, rendered: r}
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
	who     claim
	hooks   []*release.Hook
	target  []*item
	removed []*item
	kept    []object.Ref
	// done describes the revision when all went well.
	done string
}

func (a *applying) run(ctx context.Context) (installed.Result, error) {
	err := a.prepare(ctx)
	if errors.Is(err, errMarked) {
		return a.again(ctx, nil)
	}
	if err != nil {
		return installed.Result{}, err
	}
	return a.begun(ctx)
}

// begun stores the revision and applies it.
func (a *applying) begun(ctx context.Context) (installed.Result, error) {
	if err := a.rehearse(ctx); err != nil {
		return installed.Result{}, err
	}
	rel, err := a.newRelease()
	if err != nil {
		return installed.Result{}, err
	}
	rec, err := a.begin(ctx, rel, "")
	if err != nil {
		return installed.Result{}, err
	}
	err = a.write(ctx, rel)
	if errors.Is(err, errMarked) {
		return a.again(ctx, rec)
	}
	res, err := a.settle(ctx, rec, err)
	return a.orRollBack(ctx, res, err)
}

// again is for a first install that met an object of a release of its name: it looks for
// records elsewhere and goes on as an upgrade of what they say. mine is the revision begun, if any.
func (a *applying) again(ctx context.Context, mine *record) (installed.Result, error) {
	found, err := a.importRecords(ctx, mine, a.who.name, a.who.namespace)
	switch {
	case err != nil && mine == nil:
		return installed.Result{}, err
	case err != nil:
		return a.settle(ctx, mine, err)
	case found:
		next := &applying{Client: a.Client, req: a.req, rendered: a.rendered}
		return next.run(ctx)
	}
	a.who.first = false // a leftover, such as an object that an earlier uninstall kept
	if mine != nil {
		return a.settle(ctx, mine, a.writeObjects(ctx, mine.Release))
	}
	if err := a.ask(ctx); err != nil {
		return installed.Result{}, err
	}
	return a.begun(ctx)
}

// prepare reads the history and, unless this is a first install without chart hooks,
// the objects; it writes nothing, so what is refused here leaves no revision.
func (a *applying) prepare(ctx context.Context) error {
	name := a.req.Module.Name
	var err error
	if a.history, err = a.records.index(ctx, name); err != nil {
		return err
	}
	if len(a.history) > 0 && a.history[0].Status.Pending() {
		return fmt.Errorf("revision %d is %s: %w", a.history[0].Revision, a.history[0].Status, ErrPending)
	}
	a.who = claim{name: name, namespace: a.req.Namespace, home: a.cfg.Namespace, adopt: a.req.Module.Adopt, first: len(a.history) == 0}
	kinds := a.kinds()
	docs, err := parseDocuments("manifest", a.rendered.Manifest)
	if err != nil {
		return err
	}
	if a.target, err = kinds.items(docs, name, a.req.Namespace); err != nil {
		return err
	}
	if err := checkSizes(a.target); err != nil {
		return err
	}
	if a.hooks, err = parseHooks(a.rendered.Hooks); err != nil {
		return err
	}
	if a.before, err = a.readBefore(ctx, kinds, a.history); err != nil {
		return err
	}
	a.compare()
	if a.who.first && len(hooksOf(a.hooks, release.HookPreInstall)) == 0 {
		return nil // nothing of ours is there: creating tells what exists
	}
	return a.ask(ctx)
}

// compare finds the base of every target and what has to go.
func (a *applying) compare() {
	for _, it := range a.target {
		if old := a.before.items[it.key()]; old != nil {
			it.base, it.unsure = old.want, a.before.unsure[it.key()]
			delete(a.before.items, it.key())
		}
	}
	for _, it := range a.before.items {
		a.removed = append(a.removed, it)
	}
	slices.SortFunc(a.removed, func(x, y *item) int { return x.Ref.Compare(y.Ref) })
	sortItems(a.removed, releaseutil.UninstallOrder)
}

func (a *applying) newRelease() (*release.Release, error) {
	l, err := a.charts.load(a.req.Module)
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
		LabelInstance: a.cfg.Instance, LabelOrigin: originOf(a.req.Module),
		LabelInputDigest: a.rendered.InputDigest, LabelRenderDigest: a.rendered.RenderDigest,
	}
	a.sign(labels)
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
		Hooks:    a.hooks,
		Info:     &release.Info{FirstDeployed: first, LastDeployed: now, Status: status, Description: "Applying"},
		Labels:   labels,
	}, nil
}

// begin stores the revision, as pending. One that could not be stored at its end is
// refused here, before anything was written.
func (a *applying) begin(ctx context.Context, rel *release.Release, because string) (*record, error) {
	rec, err := a.records.createNext(ctx, rel, because, a.cfg.Now())
	if err == nil {
		a.prune(ctx, rec.Name)
	}
	return rec, err
}

// prune removes the oldest revisions beyond HistoryMax, readable or not; the deployed one
// always stays. One that cannot be removed is left for the next time.
func (a *applying) prune(ctx context.Context, name string) {
	if a.cfg.HistoryMax <= 0 {
		return
	}
	left := len(a.history)
	for _, old := range slices.Backward(a.history) {
		if left < a.cfg.HistoryMax {
			return
		}
		if d := a.before.deployed; d != nil && d.Version == old.Revision {
			continue
		}
		if err := a.records.remove(ctx, name, old.Revision); err != nil {
			a.cfg.Logger.Warn("old revision cannot be removed", "module", name, "revision", old.Revision, "error", err)
			return
		}
		left--
	}
}

// write is the part that changes objects.
func (a *applying) write(ctx context.Context, rel *release.Release) error {
	pre := release.HookPreInstall
	if a.before.deployed != nil {
		pre = release.HookPreUpgrade
	}
	if err := a.chartHooks(rel).run(ctx, pre); err != nil {
		return err
	}
	return a.writeObjects(ctx, rel)
}

func (a *applying) chartHooks(rel *release.Release) *hookRun {
	return &hookRun{Client: a.Client, kinds: a.kinds(), release: rel}
}

func (a *applying) writeObjects(ctx context.Context, rel *release.Release) error {
	err := a.objects.eachKind(a.target, func(it *item) error { return a.objects.apply(ctx, it, a.who) })
	if err != nil && len(a.history) == 0 && isRefusal(err) && ctx.Err() == nil {
		return a.withdraw(ctx, err)
	}
	if err != nil {
		return err
	}
	if a.kept, err = a.sweep(ctx, a.removed, a.before); err != nil {
		return err
	}
	post := release.HookPostInstall
	if a.before.deployed != nil {
		post = release.HookPostUpgrade
	}
	return a.chartHooks(rel).run(ctx, post)
}

// settle records how it went. When ctx has ended nothing may be written any more: the
// revision stays pending for Recover.
func (a *applying) settle(ctx context.Context, rec *record, failure error) (installed.Result, error) {
	status, text := release.StatusDeployed, cmp.Or(a.done, "Applied")
	if failure != nil {
		if ctx.Err() != nil {
			return a.result(rec), errors.Join(failure, ctx.Err())
		}
		status, text = release.StatusFailed, shorten(fmt.Sprintf("Release %q failed: %s", rec.Name, failure))
	}
	rec.SetStatus(status, text)
	if err := a.records.update(ctx, rec, a.cfg.Now()); err != nil {
		return a.result(rec), errors.Join(failure, err)
	}
	if failure != nil {
		return a.result(rec), failure
	}
	a.supersede(ctx, a.history, a.before.deployed, rec.Version)
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
		RenderDigest: rec.Labels[LabelRenderDigest], PredecessorChecksum: rec.Labels[LabelPredecessor],
		Rejected: rec.Labels[LabelRejected], RejectedBecause: rec.because, Account: rec.Labels[LabelAccount], Labels: rec.Labels,
	}
}

func manifested(items []*item) []installed.Manifested {
	out := make([]installed.Manifested, 0, len(items))
	for _, it := range items {
		out = append(out, it.manifested())
	}
	return out
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
	switch name, namespace := o.owner(); {
	case name != "" && name != it.annotation(releaseNameAnnotation), name == "" && unsure,
		unsure && namespace != it.annotation(releaseNamespaceAnnotation):
		return false, nil
	case it.annotation(resourcePolicyAnnotation) == resourcePolicyKeep,
		o.Metadata.Annotations[resourcePolicyAnnotation] == resourcePolicyKeep:
		return true, nil
	}
	return false, c.objects.remove(ctx, it)
}

// originOf is the value of LabelOrigin: releases of modules that come from a source are never purged.
func originOf(m *module.Descriptor) string {
	if m.Origin.Source != "" {
		return OriginSource
	}
	return OriginEmbedded
}
