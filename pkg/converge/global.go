package converge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/enable"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// globalPass is the only place where modules are switched on or off; only the user's
// explicit off acts before it.
type globalPass struct {
	*Loop
}

// afterAllState is when afterAll hooks ran and what came of it.
type afterAllState struct {
	mu sync.Mutex
	// attempted and succeeded are revisions of the global values.
	attempted, succeeded int64
	// failed is the revision whose newest attempt failed, next when it is tried again.
	failed int64
	next   time.Time
	// row counts revisions that afterAll caused one after another.
	row int
}

// afterAllRow is how often in a row afterAll may cause a new revision before it is held back.
const afterAllRow = 5

func (p globalPass) process(ctx context.Context, why reason) {
	if why.has(full) {
		err := p.run(ctx, why)
		p.trouble.note(err)
		if ctx.Err() != nil || errors.Is(err, hookrun.ErrShutdown) {
			return
		}
		if err != nil {
			p.failed(err, p.keys.retry(globalKey, becauseRetry, time.Now()))
			return
		}
		if p.scriptsFailed() {
			p.keys.retry(globalKey, becauseRetry, time.Now())
		} else {
			p.keys.succeeded(globalKey, becauseRetry)
		}
	}
	p.settle(ctx, why)
}

// scriptsFailed says whether a decision has to be made again because a script failed.
func (p globalPass) scriptsFailed() bool {
	for _, st := range p.all() {
		st.mu.Lock()
		failed := st.decision.Err != nil && !errors.Is(st.decision.Err, errScriptLasts) // whose end is waited for
		st.mu.Unlock()
		if failed {
			return true
		}
	}
	return false
}

// run is one global pass: start, beforeAll, decide, publish.
func (p globalPass) run(ctx context.Context, why reason) error {
	if problem := p.configured.unreadGlobal(); problem != "" {
		return fmt.Errorf("key global of ConfigMap %s cannot be used: %s", p.cfg.Instance, problem)
	}
	old := p.published.Load()
	if p.rehook.Load() {
		p.trouble.renew() // a pass that began with the hooks before may have ended well meanwhile
	}
	if p.rehook.Swap(false) {
		p.log.Info("global hooks changed; they start anew")
		p.hooks.Stop(p.global)
		if set := p.Modules(); set.GlobalHooks != "" {
			p.global.Move(hook.Place{Dir: set.GlobalHooks, Account: set.GlobalOrigin.ServiceAccount})
		}
		p.store.Doubt(hook.Global)
	}
	step, done := p.steps()
	defer done()
	if err := p.hooks.Start(ctx, p.global, p.hooksOf(why, old, step)); err != nil {
		return err
	}
	if _, err := p.hooks.Phase(ctx, p.global, hook.BeforeAll, p.hooksOf(why, old, step)); err != nil {
		return err
	}
	if err := p.store.Section(hook.Global).Validate(); err != nil {
		return fmt.Errorf("global values: %w", err)
	}
	next := p.decide(ctx)
	if old != nil && old.Global.Digest() == next.Global.Digest() { // enabledModules included
		next = old
	} else {
		next.Revision = 1
		if old != nil {
			next.Revision = old.Revision + 1
		}
		p.published.Store(next)
		p.log.Info("global values published", "revision", next.Revision, "enabled", len(next.Enabled))
		p.tellOverride(old, next)
	}
	p.ensureCRDs(ctx, next)
	p.fanOut(next, next != old)
	return nil
}

// tellOverride says which facts the user's global.discoveryOverride replaces, when that changed.
func (p globalPass) tellOverride(old, next *Published) {
	paths := func(g *Published) string {
		if g == nil {
			return ""
		}
		over, _ := g.Global.Get("discoveryOverride")
		return strings.Join(values.Leaves(over), ", ")
	}
	now := paths(next)
	if now == paths(old) {
		return
	}
	message := "global.discoveryOverride no longer replaces any fact"
	if now != "" {
		message = "global.discoveryOverride of the ConfigMap replaces these facts below global.discovery: " + now
	}
	p.log.Info(message)
	p.cfg.Ports.Reporter.Event("", false, "DiscoveryOverridden", message)
}

// decide asks the policy chain for every module in order (C-335); each script
// sees the modules found on before it (C-338).
func (p globalPass) decide(ctx context.Context) *Published {
	conf := p.configured.newest()
	global := p.store.Section(hook.Global).Values
	missing := p.configMissed()
	if missing {
		p.log.Warn("there is no ConfigMap although modules are installed; the last decisions stand", "configmap", p.cfg.Instance)
		p.cfg.Ports.Reporter.Event("", true, status.ReasonConfigMissing, "there is no ConfigMap "+p.cfg.Instance+
			" although modules are installed; the last decisions stand until it is back")
	}
	g := &Published{Decisions: map[string]enable.Decision{}}
	for _, st := range p.all() {
		d := enable.Decide(p.enableInput(ctx, st, conf, missing, func() *Published {
			return &Published{Global: withEnabled(global, g.Enabled), Enabled: g.Enabled}
		}))
		g.Decisions[st.desc().Name] = d
		if d.On {
			g.Enabled = append(g.Enabled, st.desc().Name)
		}
		p.record(st, d)
	}
	g.Global = withEnabled(global, g.Enabled)
	return g
}

func (p globalPass) enableInput(ctx context.Context, st *moduleState, conf settings.Settings, missing bool, sofar func() *Published) enable.Input {
	in := enable.Input{Module: st.desc().Name, Static: st.wanted().StaticEnabled, ConfigMissing: missing}
	if f, provisional, ok := p.store.Flag(st.desc().Key); ok {
		in.Dynamic, in.DynamicBy, in.DynamicProvisional = &f.On, f.Hook, provisional
	}
	if on, ok := conf.Enabled[st.desc().Key]; ok {
		in.Config = &on
	}
	for _, problem := range conf.Problems {
		if problem.Key == st.desc().Key+hook.EnabledSuffix {
			in.ConfigMissing = true
		}
	}
	st.mu.Lock()
	in.Last = st.last
	if in.Last == nil && p.ours(st.release) {
		on := st.release.Status != installed.Uninstalling // a release without a remembered decision was on
		in.Last = &on
	}
	st.mu.Unlock()
	if d := st.wanted(); d.EnabledScript != "" {
		in.Script = func() (bool, string, error) {
			vals, config := host(p).hookValues(st.unit.Owner, sofar())
			return p.script(ctx, st, d, vals, config)
		}
	}
	return in
}

// record keeps a decision with the module. The user may have switched it off since
// the decision began, and that acts at once.
func (p globalPass) record(st *moduleState, d enable.Decision) {
	if on, ok := p.configured.newest().Enabled[st.desc().Key]; ok && !on && d.On {
		d = enable.ByUser(d.Voices)
	}
	turned := false
	st.edit(func(st *moduleState) {
		turned = st.last == nil || *st.last != d.On
		st.decision, st.decided = d, true
		on := d.On
		st.last, st.owes = &on, st.owes || on
		if !d.On && !d.Held && st.interrupt != nil {
			st.interrupt(errSwitchedOff)
		}
	})
	if turned {
		p.facts.touch()
		p.log.Info("module decided", "module", st.desc().Name, "on", d.On, "why", d.Why)
	}
	if d.Err != nil {
		p.meter.DiscoverFailed()
		p.log.Error("enabled script gave no answer", "module", st.desc().Name, "error", d.Err)
		p.cfg.Ports.Reporter.Event(st.desc().Name, true, scriptReason(d.Err), d.Err.Error())
		p.keys.add(st.desc().Name, becauseHealth)
	}
}

// ensureCRDs applies the CRDs of enabled modules in parallel, before their first
// pass; one that fails concerns its own module.
func (p globalPass) ensureCRDs(ctx context.Context, g *Published) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, st := range p.all() {
		d := st.wanted()
		if _, paused := st.pausedAt(time.Now()); paused || !g.Decisions[d.Name].On || len(d.CRDs) == 0 {
			continue
		}
		st.mu.Lock()
		applied := st.crds.digest == d.Digest && st.crds.err == nil
		st.mu.Unlock()
		if !applied {
			wg.Go(func() { p.ensureModuleCRDs(ctx, st, d) })
		}
	}
	wg.Wait()
}

func (l *Loop) ensureModuleCRDs(ctx context.Context, st *moduleState, d *module.Descriptor) {
	err := l.cfg.Ports.Cluster.EnsureCRDs(ctx, d, l.cfg.CRDLabels)
	st.edit(func(st *moduleState) { st.crds = crdState{digest: d.Digest, err: err} })
	if err != nil {
		l.log.Error("CRDs of module cannot be applied", "module", d.Name, "error", err)
	}
}

// fanOut records what is wanted for every module and wakes those that are to act.
func (p globalPass) fanOut(g *Published, moved bool) {
	// First all, then the wake-ups: the order by weight must know every dirty module
	// and every one that leaves.
	var due []*moduleState
	for _, st := range p.all() {
		leaves := st.leaves(p.cfg.Instance)
		if leaves {
			p.leaving.enter(leaver(st.desc()))
		}
		d := st.wanted()
		moves := p.ledger.want(d.Name, d.Weight, st.on(), p.inputs(st, d, g).digest())
		if moves || leaves || (!st.on() && moved) {
			due = append(due, st)
		}
	}
	for _, st := range due {
		p.keys.add(st.desc().Name, becauseInputs)
	}
}

// settle runs afterAll hooks once per revision, when every enabled module is settled.
func (p globalPass) settle(ctx context.Context, why reason) {
	g := p.published.Load()
	if g == nil || p.ledger.unsettled() > 0 {
		return
	}
	p.afterAll.mu.Lock()
	backoff := p.afterAll.failed == g.Revision && time.Now().Before(p.afterAll.next)
	due := p.afterAll.succeeded < g.Revision && !backoff
	p.afterAll.attempted = g.Revision
	p.afterAll.mu.Unlock()
	if !due {
		if !backoff {
			p.converges()
		}
		return
	}
	before := p.store.Section(hook.Global).Values.Digest()
	eff, err := p.hooks.Phase(ctx, p.global, hook.AfterAll, p.hooksOf(why, g, nil))
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		p.log.Error("afterAll hook failed", "error", err)
		p.cfg.Ports.Reporter.Event("", true, status.ReasonHookFailed, err.Error())
		next := p.keys.retry(globalKey, becauseSettled, time.Now())
		p.afterAll.mu.Lock()
		p.afterAll.failed, p.afterAll.next = g.Revision, next
		p.afterAll.mu.Unlock()
	} else {
		p.keys.succeeded(globalKey, becauseSettled)
		p.converges()
		p.finishAfterAll(g, eff.Flags || before != p.store.Section(hook.Global).Values.Digest())
	}
	if p.converged.CompareAndSwap(false, true) {
		p.log.Info("converged for the first time", "revision", g.Revision, "enabled", len(g.Enabled))
		p.verifyReleases()
	}
}

// finishAfterAll starts a new revision when afterAll changed global values (C-409).
func (p globalPass) finishAfterAll(g *Published, moved bool) {
	p.afterAll.mu.Lock()
	defer p.afterAll.mu.Unlock()
	p.afterAll.succeeded = g.Revision
	switch {
	case !moved:
		p.afterAll.row = 0
	case p.afterAll.row >= afterAllRow:
		message := fmt.Sprintf("afterAll hooks changed global values %d times in a row; the next round waits a minute", p.afterAll.row)
		if c := p.changes.contests(time.Now().Add(-fuseMemory), hook.Global); c != "" {
			message += ": " + c + "; let one hook alone write a value, and only what follows from its inputs: no time, nothing random"
		}
		p.log.Error(message)
		p.cfg.Ports.Reporter.Event("", true, status.ReasonOscillating, message)
		p.keys.after(globalKey, time.Minute, becauseInputs)
	default:
		p.afterAll.row++
		p.convergence.begin(causeGlobal)
		p.keys.add(globalKey, becauseInputs)
	}
}

// verifyReleases compares every release that was found in place with the cluster, once.
func (p globalPass) verifyReleases() {
	for _, st := range p.all() {
		due := false
		st.edit(func(st *moduleState) { due = st.decision.On && st.verify })
		if due {
			p.keys.add(st.desc().Name, becauseVerify)
		}
	}
}

// failed reports a global pass that could not publish. What was published stays
// in force; where nothing was, modules wait and say for whom.
func (p globalPass) failed(err error, next time.Time) {
	p.log.Error("global pass failed", "error", err, "nextTry", next)
	reason, waits := status.ReasonHookFailed, status.ReasonWaitingForGlobal
	if p.configured.unreadGlobal() != "" {
		reason, waits = status.ReasonConfigInvalid, status.ReasonConfigInvalid
	}
	p.cfg.Ports.Reporter.Event("", true, reason, err.Error())
	p.explicitlyOff()
	message := err.Error()
	var failed *hook.RunError
	if errors.As(err, &failed) {
		message = fmt.Sprintf("global hook %s has not succeeded yet: %s", failed.Hook.Name, message)
	}
	p.undecided(waits, message, next)
}

// undecided tells the modules what keeps the first global pass, until there was one.
func (p globalPass) undecided(reason, message string, next time.Time) {
	if p.published.Load() != nil {
		return
	}
	for _, st := range p.all() {
		waits := false
		st.edit(func(st *moduleState) {
			if waits = !st.decided; !waits {
				return
			}
			st.attempt, st.reason, st.message, st.nextTry = status.Waits, reason, message, next
			if st.last != nil {
				st.decision.On, st.decision.Why = *st.last, "the last decision stands until global hooks have spoken"
			}
		})
		if waits {
			p.report(st)
		}
	}
}

// steps shows the modules a step of the first global pass that lasts. done ends that.
func (p globalPass) steps() (step func(string), done func()) {
	timer := time.AfterFunc(0, func() {})
	step = func(what string) {
		timer.Stop()
		p.trouble.doing(what)
		since := time.Now()
		timer = time.AfterFunc(stepShownAfter, func() {
			p.undecided(status.ReasonWaitingForGlobal, fmt.Sprintf("global hooks have not spoken yet: %s since %s", what, since.UTC().Format(time.TimeOnly)), time.Time{})
		})
	}
	return step, func() { timer.Stop() }
}

// explicitlyOff acts at once on every `<module>Enabled: "false"` of the user: that
// needs no global hook.
func (l *Loop) explicitlyOff() {
	conf := l.configured.newest()
	var off []*moduleState
	for _, st := range l.all() {
		if on, ok := conf.Enabled[st.desc().Key]; !ok || on {
			continue
		}
		globalPass{l}.record(st, enable.ByUser(st.voices()))
		l.refresh(st)
		if st.leaves(l.cfg.Instance) {
			l.leaving.enter(leaver(st.desc()))
			off = append(off, st)
		}
	}
	for _, st := range off {
		l.keys.add(st.desc().Name, becauseInputs)
	}
}
