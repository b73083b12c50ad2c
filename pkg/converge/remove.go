package converge

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/order"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// leavers are the modules that are being removed.
type leavers struct {
	mu sync.Mutex
	in map[string]order.Leaving
}

// enter adds a module once and returns everyone who leaves.
func (l *leavers) enter(me order.Leaving) (order.Leaving, []order.Leaving) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.in == nil {
		l.in = map[string]order.Leaving{}
	}
	if have, ok := l.in[me.Name]; ok {
		me = have
	}
	l.in[me.Name] = me
	all := make([]order.Leaving, 0, len(l.in))
	for _, o := range l.in {
		all = append(all, o)
	}
	return me, all
}

// leave takes a module out and returns those that may have waited for it.
func (l *leavers) leave(name string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.in, name)
	out := make([]string, 0, len(l.in))
	for other := range l.in {
		out = append(out, other)
	}
	return out
}

// leaves says whether the pass has to remove the module: it is off and something
// of it is there, or a removal that began has not ended.
func (st *moduleState) leaves(instance string) bool {
	loaded := st.unit.Loaded()
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.removing || st.gone {
		return true
	}
	ours := owned(st.release, instance)
	if st.decided && ours && st.release.Status == installed.Uninstalling {
		return true // an earlier process decided that; a module that is on again is installed anew after it
	}
	return st.decided && !st.decision.On && !st.decision.Held && (loaded || ours || st.owes)
}

// remove uninstalls a module (C-425): delete hooks, Helm, wait for the objects,
// delete hooks, and everything of its unit.
func (p *pass) remove(ctx context.Context) error {
	p.st.edit(func(st *moduleState) { st.removing = true })
	if err := p.awaitLeave(); err != nil {
		return err
	}
	p.step("removing")
	// Whoever comes after this process must know that a removal began.
	if err := p.facts.flush(ctx); err != nil {
		return because(status.ReasonUninstallFailed, fmt.Errorf("facts cannot be saved before the removal: %w", err))
	}
	if err := p.uninstall(ctx); err != nil {
		return err
	}
	if left := remaining(p.cfg.Ports.Tracker.Health(p.st.desc().Name)); left != "" {
		return &waiting{reason: status.ReasonUninstalling, message: "waiting until these objects are gone: " + left}
	}
	if _, err := p.hooks.Phase(ctx, p.st.unit, hook.AfterDeleteHelm, p.hooksOf(p.why, p.g, p.step)); err != nil {
		return because(status.ReasonHookFailed, err)
	}
	if err := p.forgetRelease(ctx); err != nil {
		return because(status.ReasonUninstallFailed, err)
	}
	return p.forget(ctx)
}

// forgetRelease deletes the records that said that the removal had not ended.
func (p *pass) forgetRelease(ctx context.Context) error {
	p.st.mu.Lock()
	records := p.st.records
	p.st.mu.Unlock()
	if !records {
		return nil
	}
	if err := p.cfg.Ports.Installer.Forget(ctx, p.st.desc().Name); err != nil {
		return err
	}
	p.st.edit(func(st *moduleState) { st.records = false })
	return nil
}

// awaitLeave waits for modules that require this one and for higher weights that go too.
func (p *pass) awaitLeave() error {
	d := p.st.desc()
	me, all := p.leaving.enter(leaver(d))
	held := order.HeldBy(me, all, time.Now(), p.patience())
	if len(held) == 0 {
		return nil
	}
	p.keys.after(d.Name, p.patience(), becauseRetry)
	return &waiting{reason: status.ReasonUninstalling, message: "waiting until these modules are removed: " + strings.Join(held, ", ")}
}

// leaver is a module as the others that leave see it.
func leaver(d *module.Descriptor) order.Leaving {
	me := order.Leaving{Name: d.Name, Weight: d.Weight, Since: time.Now()}
	for _, r := range d.Requires {
		me.Requires = append(me.Requires, r.Module)
	}
	return me
}

func (p *pass) patience() time.Duration { return max(0, p.cfg.OrderPatience) }

// uninstall runs beforeDeleteHelm and Helm, once.
func (p *pass) uninstall(ctx context.Context) error {
	name := p.st.desc().Name
	p.st.mu.Lock()
	gone, exists, removed := p.st.gone, p.ours(p.st.release), p.st.release.Removed()
	p.st.mu.Unlock()
	if gone {
		return nil
	}
	if !p.st.unit.Loaded() { // disabled while the operator was away (B-09)
		if err := p.hooks.Load(ctx, p.st.unit); err != nil {
			return because(status.ReasonHookFailed, err)
		}
	}
	if exists && !removed {
		if _, err := p.hooks.Phase(ctx, p.st.unit, hook.BeforeDeleteHelm, p.hooksOf(p.why, p.g, p.step)); err != nil {
			return because(status.ReasonHookFailed, err)
		}
	}
	if exists {
		p.cfg.Ports.Tracker.Forget(name) // its objects go on purpose
		result, err := p.cfg.Ports.Installer.Uninstall(ctx, name)
		if err != nil {
			p.reobserve(ctx)
			return because(status.ReasonUninstallFailed, err)
		}
		p.awaitGone(result)
	}
	p.st.edit(func(st *moduleState) {
		st.gone, st.tracked, st.records = true, false, exists
		st.release, st.inputDigest = installedNothing, ""
	})
	p.log.Info("release uninstalled", "module", name)
	return nil
}

// forget drops everything of a removed module: hooks, monitors, facts, metrics, and its
// namespace when it is ours and empty.
func (p *pass) forget(ctx context.Context) error {
	name := p.st.desc().Name
	if err := p.hooks.Withdraw(ctx, p.st.unit); err != nil {
		return because(status.ReasonUninstallFailed, err)
	}
	p.hooks.Stop(p.st.unit)
	if err := p.store.Drop(p.st.unit.Owner); err != nil {
		return err
	}
	p.changes.forget(p.st.unit.Owner)
	p.meter.Forget(p.st.unit.Owner)
	p.cfg.Ports.Tracker.Forget(name)
	p.removeNamespace(ctx)
	p.st.edit(func(st *moduleState) {
		st.removing, st.gone, st.ready, st.verify = false, false, false, false
		st.healthReason, st.healthMessage, st.repairs = "", "", nil
		st.crds = crdState{}
		st.runs = nil
		st.owes = st.decision.On
	})
	p.facts.touch()
	p.cfg.Ports.Reporter.Event(name, false, "Uninstalled", "the module is off and its release is removed")
	for _, other := range p.leaving.leave(name) {
		p.keys.add(other, becauseRetry)
	}
	if p.st.on() { // enabled again meanwhile
		p.ledger.forget(name)
		p.refresh(p.st)
	}
	return nil
}

func (p *pass) removeNamespace(ctx context.Context) {
	ns := p.namespace(p.st.desc())
	if ns == p.cfg.Namespace {
		return
	}
	for _, other := range p.all() {
		if other != p.st && p.namespace(other.desc()) == ns && (other.on() || other.installedRelease().Exists()) {
			return
		}
	}
	removed, why, err := p.cfg.Ports.Cluster.RemoveNamespace(ctx, ns, p.cfg.Instance)
	switch {
	case err != nil:
		p.log.Warn("namespace cannot be removed", "module", p.st.desc().Name, "namespace", ns, "error", err)
	case removed:
		p.log.Info("namespace removed", "module", p.st.desc().Name, "namespace", ns)
	default:
		p.log.Info("namespace stays", "module", p.st.desc().Name, "namespace", ns, "why", why)
	}
}

// remaining names objects that are still there, finalizers included.
func remaining(objs []object.Health) string {
	var out []string
	for _, o := range objs {
		if o.State == object.Missing {
			continue
		}
		line := o.String()
		if o.Message != "" && o.State == object.Terminating {
			line += " (" + o.Message + ")"
		}
		out = append(out, line)
	}
	if len(out) > 5 {
		out = append(out[:5], fmt.Sprintf("and %d more", len(out)-5))
	}
	return strings.Join(out, ", ")
}
