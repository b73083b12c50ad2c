package converge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/release"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// install renders the chart when its inputs moved and takes the one action that
// observed and wanted release ask for. The action runs under hooks, which ends when the
// module is switched off: a chart hook may take long.
func (p *pass) install(ctx, hooks context.Context) error {
	began := time.Now()
	defer func() { p.helm += time.Since(began) }()
	if p.unmanaged() {
		return p.follow(ctx)
	}
	if err := p.store.Section(p.st.unit.Owner).CheckHelm(); err != nil {
		return because(status.ReasonValuesInvalid, err)
	}
	req, err := p.request(ctx)
	if err != nil {
		return because(status.ReasonRenderFailed, err)
	}
	p.operated("check-upgrade", began)
	p.input = req.InputDigest
	if p.known(req.InputDigest) {
		p.pardon()
		return p.follow(ctx)
	}
	if release.TurnedDown(p.st.installedRelease(), req.InputDigest) {
		return p.stayBack(ctx)
	}
	rendered, err := p.render(ctx, req)
	if err != nil {
		return because(status.ReasonRenderFailed, err)
	}
	for _, w := range rendered.Warnings {
		p.log.Warn(w, "module", p.st.desc().Name)
	}
	return p.act(ctx, hooks, req, rendered)
}

// operated measures a part of Helm's work (C-508).
func (p *pass) operated(operation string, began time.Time) {
	p.meter.HelmOperation(p.st.desc().Name, p.why.String(), operation, time.Since(began))
}

func (p *pass) request(ctx context.Context) (installed.Request, error) {
	vals, err := p.chartValues(p.st, p.g)
	if err != nil {
		return installed.Request{}, err
	}
	digest, err := p.cfg.Ports.Installer.InputDigest(ctx, p.st.desc(), p.namespace(p.st.desc()), vals)
	if err != nil {
		return installed.Request{}, err
	}
	return installed.Request{Module: p.st.desc(), Namespace: p.namespace(p.st.desc()), Values: vals, InputDigest: digest,
		Maintenance: p.maintained()}, nil
}

// known says that the release in place was rendered from inputs of this digest.
func (p *pass) known(digest string) bool {
	p.st.mu.Lock()
	defer p.st.mu.Unlock()
	rel := p.st.release
	if marked(rel) != (p.st.maintenance != "") {
		return false
	}
	if rel.Status == installed.Deployed && p.st.inputDigest == digest {
		return true
	}
	return rel.Instance == p.cfg.Instance && release.Unmoved(rel, digest)
}

func (p *pass) render(ctx context.Context, req installed.Request) (installed.Rendered, error) {
	if err := p.renders.Acquire(ctx, 1); err != nil {
		return installed.Rendered{}, err
	}
	defer p.renders.Release(1)
	p.step("rendering")
	p.rendered = true
	defer p.operated("template", time.Now())
	rendered, err := p.cfg.Ports.Installer.Render(ctx, req)
	p.st.edit(func(st *moduleState) { st.fromCluster = rendered.ReadsCluster })
	return rendered, err
}

// act performs the action and remembers what came of it.
func (p *pass) act(ctx, hooks context.Context, req installed.Request, rendered installed.Rendered) error {
	have := p.st.installedRelease()
	if release.TurnedDown(have, rendered.InputDigest) { // what lookup read is known only now
		return p.stayBack(ctx)
	}
	d := release.Decide(have, rendered)
	if d.Action == release.None {
		p.st.edit(func(st *moduleState) { st.inputDigest = rendered.InputDigest })
		return p.follow(ctx)
	}
	if err := p.requirements(); err != nil {
		return err
	}
	// What hooks found out must not be lost if this process dies after the action that depends on it.
	if err := p.facts.flush(ctx); err != nil {
		return because(status.ReasonApplyFailed, fmt.Errorf("facts cannot be saved before Helm acts: %w", err))
	}
	p.step(fmt.Sprintf("%s (%s)", d.Action, d.Why))
	if err := p.ensureNamespace(ctx); err != nil {
		return err
	}
	if err := p.applies.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.applies.Release(1)
	name := p.st.desc().Name
	p.cfg.Ports.Tracker.Hold(name, rendered.Objects)
	result, err := p.perform(hooks, d.Action, have, req, rendered)
	var back *installed.RolledBack
	if errors.As(err, &back) {
		return p.rolledBack(ctx, result, back.Error())
	}
	if err != nil {
		p.cfg.Ports.Tracker.Release(name)
		p.reobserve(ctx)
		return because(status.ReasonApplyFailed, err)
	}
	p.cfg.Ports.Tracker.Track(name, result.Objects)
	p.st.edit(func(st *moduleState) {
		st.release, st.inputDigest, st.tracked, st.verify = result.Release, rendered.InputDigest, true, false
	})
	p.action = fmt.Sprintf("%s to revision %d: %s", d.Action, result.Release.Revision, d.Why)
	p.log.Info("release applied", "module", name, "action", string(d.Action), "revision", result.Release.Revision, "why", d.Why)
	if have.Exists() {
		return p.blown()
	}
	return nil
}

// ensureNamespace sees to it that the module's namespace is there.
func (p *pass) ensureNamespace(ctx context.Context) error {
	d := p.st.desc()
	if p.namespace(d) == p.cfg.Namespace {
		return nil
	}
	err := p.cfg.Ports.Cluster.EnsureNamespace(ctx, p.namespace(d), d.PodSecurity, p.cfg.Instance)
	if errors.Is(err, installed.ErrTerminating) {
		return because(status.ReasonTerminating, err)
	}
	return because(status.ReasonApplyFailed, err)
}

func (p *pass) perform(ctx context.Context, a release.Action, have installed.Release, req installed.Request, r installed.Rendered) (installed.Result, error) {
	defer p.operated("upgrade", time.Now())
	inst := p.cfg.Ports.Installer
	switch a {
	case release.Install:
		return inst.Install(ctx, req, r)
	case release.Uninstall:
		// An uninstall was cut short; it is finished before the module is installed anew.
		if _, err := inst.Uninstall(ctx, have.Name); err != nil {
			return installed.Result{}, err
		}
		if err := inst.Forget(ctx, have.Name); err != nil {
			return installed.Result{}, err
		}
		return inst.Install(ctx, req, r)
	case release.Recover:
		if err := inst.Recover(ctx, have.Name); err != nil {
			return installed.Result{}, err
		}
	}
	return inst.Upgrade(ctx, req, r)
}

// reobserve reads the release again after a failed action: what was stored counts,
// not what the action returned.
func (p *pass) reobserve(ctx context.Context) {
	rel, err := p.cfg.Ports.Installer.Observe(ctx, p.st.desc().Name)
	if err != nil {
		p.log.Warn("cannot read the release after a failed action", "module", p.st.desc().Name, "error", err)
		return
	}
	p.st.edit(func(st *moduleState) { st.release, st.inputDigest = rel, "" })
}

// follow makes sure that the objects of an unchanged release are watched.
func (p *pass) follow(ctx context.Context) error {
	p.st.mu.Lock()
	tracked := p.st.tracked
	p.st.mu.Unlock()
	if tracked {
		return nil
	}
	objs, err := p.cfg.Ports.Installer.Objects(ctx, p.st.desc().Name)
	if err != nil {
		return because(status.ReasonApplyFailed, err)
	}
	p.cfg.Ports.Tracker.Track(p.st.desc().Name, objs)
	p.st.edit(func(st *moduleState) { st.tracked = true })
	return nil
}

// repair brings back objects that are gone or changed, without a new revision.
// Objects that somebody else keeps changing are left alone, the others are not.
func (p *pass) repair(ctx context.Context) error {
	if !p.st.installedRelease().Exists() || p.maintained() {
		return nil
	}
	if p.why.has(becauseVerify) {
		if err := p.restore(ctx, nil); err != nil {
			return err
		}
		p.st.edit(func(st *moduleState) { st.verify = false })
		return nil
	}
	todo, contested := p.drifted()
	if len(todo) > 0 {
		if err := p.restore(ctx, todo); err != nil {
			return err
		}
	}
	still, lines := p.rewritten()
	p.announceRepairs(todo, still)
	if contested = append(contested, lines...); len(contested) > 0 {
		return &errContested{strings.Join(contested, "; ")}
	}
	return nil
}

// restore repairs what drifted, or looks at all of the release when that is nil.
func (p *pass) restore(ctx context.Context, drift []object.Drift) error {
	name := p.st.desc().Name
	var refs []object.Ref
	for _, d := range drift {
		refs = append(refs, d.Ref)
	}
	result, err := p.bringBack(ctx, refs)
	if err != nil && p.namespace(p.st.desc()) != p.cfg.Namespace { // which may have gone with the objects
		if err := p.ensureNamespace(ctx); err != nil {
			return err
		}
		result, err = p.bringBack(ctx, refs)
	}
	if err != nil {
		return err
	}
	p.cfg.Ports.Tracker.Track(name, result.Objects)
	now := time.Now()
	p.st.edit(func(st *moduleState) {
		for _, d := range drift {
			st.repairs.note(repairOf(d), now)
		}
	})
	return nil
}

func (p *pass) bringBack(ctx context.Context, refs []object.Ref) (installed.Result, error) {
	if err := p.applies.Acquire(ctx, 1); err != nil {
		return installed.Result{}, err
	}
	defer p.applies.Release(1)
	return p.cfg.Ports.Installer.Repair(ctx, p.st.desc().Name, refs)
}

func orUnknown(manager string) string {
	if manager == "" {
		return "somebody else"
	}
	return manager
}

// contestBackoff is how long a contested object is left alone.
const contestBackoff = 5 * time.Minute

// finishRepair notes how a repair ended.
func (p *pass) finishRepair(err error) {
	name, why := p.st.desc().Name, p.why&(becauseDrift|becauseVerify)
	reason, message := "", ""
	var contested *errContested
	switch {
	case err == nil:
		p.noteRepaired()
		p.keys.succeeded(name, why)
	case errors.As(err, &contested):
		reason, message = status.ReasonContested, contested.message
		p.keys.after(name, contestBackoff, becauseDrift)
	default:
		reason, message = reasonOf(err), status.Explain("repair failed: "+err.Error())
		p.keys.retryWithin(name, why, time.Now(), patienceOf(reason))
	}
	var news bool
	p.st.edit(func(st *moduleState) {
		news = reason != "" && st.healthReason != reason
		st.unreached = st.unreached && st.attempt == status.Failed || unreachable(err)
		st.healthReason, st.healthMessage = reason, message
	})
	if news {
		p.log.Warn("repair did not help", "module", name, "reason", reason, "message", message)
		p.cfg.Ports.Reporter.Event(name, true, reason, message)
	}
}
