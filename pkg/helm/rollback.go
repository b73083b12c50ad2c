package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	helmtime "helm.sh/helm/v3/pkg/time"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
)

// errNoWayBack: there is no revision that was deployed.
var errNoWayBack = errors.New("no deployed revision to roll back to")

// Rollback applies the last deployed revision as it is stored, with the values it had,
// as a new revision, and removes what failed revisions after it brought. rejected is the
// input digest that is not to be tried again and because why; both are kept with the
// revision. An upgrade of a module with onFailure: rollback does this by itself; call it
// when that was cut short.
func (c *Client) Rollback(ctx context.Context, name, rejected, because string) (installed.Result, error) {
	ctx, warned := withWarnings(ctx)
	res, err := c.rollBack(ctx, name, rejected, because)
	res.Warnings = c.report(name, warned)
	if err != nil {
		return res, fmt.Errorf("roll back release %s: %w", name, err)
	}
	return res, nil
}

func (c *Client) rollBack(ctx context.Context, name, rejected, because string) (installed.Result, error) {
	history, err := c.records.index(ctx, name)
	if err != nil {
		return installed.Result{}, err
	}
	if c, err = c.asInstalled(history); err != nil {
		return installed.Result{}, err
	}
	a := &applying{Client: c, history: history}
	if len(a.history) > 0 && a.history[0].Status.Pending() {
		return installed.Result{}, fmt.Errorf("revision %d is %s: %w", a.history[0].Revision, a.history[0].Status, ErrPending)
	}
	if a.before, err = c.readBefore(ctx, c.kinds(), a.history); err != nil {
		return installed.Result{}, err
	}
	to := a.before.deployed
	if to == nil {
		return installed.Result{}, errNoWayBack
	}
	a.who = claim{name: name, namespace: to.Namespace}
	if err := a.backTo(to); err != nil {
		return installed.Result{}, err
	}
	if err := a.ask(ctx); err != nil {
		return installed.Result{}, err
	}
	a.done = fmt.Sprintf("Rollback to %d", to.Version)
	rec, err := a.begin(ctx, a.backRelease(to, rejected), shorten(because))
	if err != nil {
		return installed.Result{}, err
	}
	return a.settle(ctx, rec, a.writeBack(ctx, rec.Release))
}

// backTo compares what failed revisions applied with the revision that is wanted again.
func (a *applying) backTo(to *record) error {
	var err error
	if a.target, _, err = a.itemsOf(to); err != nil {
		return err
	}
	failed := &before{items: map[key]*item{}, unsure: map[key]bool{}}
	for _, rec := range a.before.newer {
		if err := failed.add(a.Client, a.kinds(), rec, true); err != nil {
			return err
		}
	}
	for _, it := range a.target {
		it.base = it.want
		if f := failed.items[it.key()]; f != nil {
			it.base = f.want
			delete(failed.items, it.key())
		}
	}
	a.before.items, a.before.unsure = failed.items, failed.unsure
	a.removed = slices.SortedFunc(maps.Values(failed.items), func(x, y *item) int { return x.Ref.Compare(y.Ref) })
	sortItems(a.removed, releaseutil.UninstallOrder)
	return nil
}

func (a *applying) backRelease(to *record, rejected string) *release.Release {
	now := helmtime.Time{Time: a.cfg.Now()}
	l := maps.Clone(to.Labels)
	if l == nil {
		l = map[string]string{}
	}
	maps.Copy(l, map[string]string{LabelInstance: a.cfg.Instance, LabelOrigin: cmp.Or(l[LabelOrigin], OriginEmbedded), LabelRejected: rejected})
	a.sign(l)
	hooks := make([]*release.Hook, 0, len(to.Hooks))
	for _, h := range to.Hooks {
		again := *h
		again.LastRun = release.HookExecution{}
		hooks = append(hooks, &again)
	}
	return &release.Release{
		Name: to.Name, Namespace: to.Namespace, Version: a.history[0].Revision + 1,
		Chart: to.Chart, Config: to.Config, Manifest: to.Manifest, Hooks: hooks, Labels: l,
		Info: &release.Info{FirstDeployed: to.Info.FirstDeployed, LastDeployed: now, Status: release.StatusPendingRollback, Description: a.done},
	}
}

func (a *applying) writeBack(ctx context.Context, rel *release.Release) error {
	if err := a.chartHooks(rel).run(ctx, release.HookPreRollback); err != nil {
		return err
	}
	err := a.objects.eachKind(a.target, func(it *item) error { return a.objects.apply(ctx, it, a.who) })
	if err != nil {
		return err
	}
	if a.kept, err = a.sweep(ctx, a.removed, a.before); err != nil {
		return err
	}
	return a.chartHooks(rel).run(ctx, release.HookPostRollback)
}

// orRollBack follows the module's policy when an upgrade has failed and its revision is
// recorded as failed. What the cluster may take a moment later is only tried again.
func (a *applying) orRollBack(ctx context.Context, res installed.Result, failure error) (installed.Result, error) {
	if failure == nil || a.req.Module.OnFailure != module.RollBack || a.before.deployed == nil ||
		res.Release.Status != installed.Failed || ctx.Err() != nil || transient(failure) {
		return res, failure
	}
	undone := &installed.RolledBack{Failed: res.Release.Revision, To: a.before.deployed.Version, Digest: a.rendered.InputDigest, Cause: failure}
	back, err := a.rollBack(ctx, res.Release.Name, undone.Digest, undone.Error())
	if err != nil {
		return back, errors.Join(failure, fmt.Errorf("and the rollback failed: %w", err))
	}
	return back, undone
}

// RejectedBecause reads why the newest revision turned an input digest down, "" when it is no rollback of ours.
func (c *Client) RejectedBecause(ctx context.Context, name string) (string, error) {
	history, err := c.records.index(ctx, name)
	if err != nil || len(history) == 0 || history[0].Rejected == "" {
		return "", err
	}
	rec, err := c.readable(ctx, history[0])
	if err != nil || rec == nil {
		return "", err
	}
	return rec.because, nil
}
