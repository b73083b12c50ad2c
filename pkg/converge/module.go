package converge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/order"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// pass is one run of a module's key.
type pass struct {
	*Loop
	st      *moduleState
	why     reason
	started time.Time
	// g is the global revision that the whole pass sees.
	g *Published
	// inputs are those of the beginning, revision is the ledger's then.
	inputs   inputs
	revision int
	helm     time.Duration
	action   string
	// For the account of the pass: the digest of what the chart reads, whether it was
	// rendered, which objects were repaired, and what took how long.
	input    string
	rendered bool
	repaired string
	steps    steps
	renewed  bool // the health checks are looked at anew after the action
}

// waiting ends a pass without failure: somebody will wake the module.
type waiting struct {
	reason, message string
	// turn: the attempt has not begun, for modules of lower weight are first.
	turn bool
}

func (w *waiting) Error() string { return w.message }

// failure is an error with the reason that status shows.
type failure struct {
	reason string
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func because(reason string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{reason, err}
}

// afterHelmRounds is how often a pass starts over because afterHelm changed values.
const afterHelmRounds = 3

func newPass(l *Loop, st *moduleState, why reason) *pass {
	// First the ledger's revision: what is published after it makes the module dirty again.
	revision := l.ledger.seen(st.desc().Name)
	return &pass{Loop: l, st: st, why: why, started: time.Now(), revision: revision, g: l.published.Load()}
}

// process runs the pass and turns its outcome into status and the next try.
func (p *pass) process(ctx context.Context) {
	defer p.st.stopStepTimer()
	if _, paused := p.st.pausedAt(time.Now()); !paused {
		if next := p.st.next.Swap(nil); next != nil {
			p.adopt(next)
		}
	}
	p.cfg.Ports.Tracker.Configure(p.st.desc().Name, p.st.desc().Health, p.st.desc().Drift)
	p.probe()
	var err error
	switch {
	case p.suspended(ctx):
	case p.st.leaves(p.cfg.Instance):
		err = p.leave(ctx)
	case p.st.on():
		err = p.stay(ctx)
	}
	if ctx.Err() == nil && !errors.Is(err, hookrun.ErrShutdown) {
		p.probe()
		p.report(p.st)
	}
}

// leave removes a module. One that is on again counts as attempted: it holds up nobody while it goes.
func (p *pass) leave(ctx context.Context) error {
	err := p.remove(ctx)
	if ctx.Err() != nil {
		return err
	}
	p.st.stopStepTimer()
	if err == nil {
		p.removed()
		return nil
	}
	if p.st.on() && p.g != nil {
		p.inputs = p.Loop.inputs(p.st, p.st.desc(), p.g)
		p.settle(err)
	}
	if w := (*waiting)(nil); !errors.As(err, &w) {
		p.meter.ModuleDeleteFailed(p.st.desc().Name)
	}
	p.finish(err)
	return err
}

// stay does for an enabled module what the reasons ask for.
func (p *pass) stay(ctx context.Context) error {
	var err error
	attempted := p.why.has(full) && p.g != nil
	if attempted {
		p.inputs = p.Loop.inputs(p.st, p.st.desc(), p.g)
		p.st.edit(func(st *moduleState) { st.ownConfig = "" })
		hooks, release := p.st.interruptible(ctx)
		err = p.attempt(ctx, hooks)
		off := errors.Is(context.Cause(hooks), errSwitchedOff)
		release()
		if off && ctx.Err() == nil { // the next pass removes the module
			p.keys.add(p.st.desc().Name, becauseInputs)
			p.settle(err)
			return err
		}
		if ctx.Err() != nil || errors.Is(err, hookrun.ErrShutdown) {
			return err // the process ends; nothing was lost
		}
		p.st.stopStepTimer()
		p.finish(err)
		p.probe()
		p.report(p.st) // before others start that may require this module to be Ready
		p.settle(err)
	}
	if p.why.has(becauseDrift|becauseVerify) && p.action == "" {
		p.finishRepair(p.repair(ctx))
	} else {
		p.settleRepair()
		p.leftDrift()
	}
	return err
}

// attempt takes an enabled module to what is wanted. Its hooks run under a context
// of their own, which ends when the module is switched off.
func (p *pass) attempt(ctx, hooks context.Context) error {
	if blockers := p.ledger.begin(p.st.desc().Name, p.started); len(blockers) > 0 {
		return &waiting{status.ReasonWaitingForModule, order.Describe(blockers), true}
	}
	if p.held() {
		return p.oscillates()
	}
	p.st.edit(func(st *moduleState) { st.seen = p.g.Revision })
	if p.st.unusable() {
		return p.unusable(ctx)
	}
	p.step("starting")
	if err := p.ready(ctx); err != nil {
		return err
	}
	if err := p.hooks.Start(hooks, p.st.unit, p.hooksOf(p.why, p.g, p.step)); err != nil {
		return because(status.ReasonHookFailed, err)
	}
	for range afterHelmRounds {
		again, err := p.round(ctx, hooks)
		if err != nil || !again {
			return err
		}
	}
	p.keys.add(p.st.desc().Name, becauseInputs) // the release must show what afterHelm changed last
	return nil
}

// unusable is the wait of a module whose settings could not be read since the
// process began. What is installed stays watched.
func (p *pass) unusable(ctx context.Context) error {
	if p.ours(p.st.installedRelease()) {
		if err := p.follow(ctx); err != nil {
			return err
		}
	}
	if p.configMissed() {
		return &waiting{reason: status.ReasonConfigMissing, message: "there is no ConfigMap " + p.cfg.Instance + "; nothing is changed until it is back"}
	}
	return &waiting{reason: status.ReasonConfigInvalid, message: "the module's settings in the ConfigMap cannot be used; nothing is changed until they are corrected"}
}

// ready sees to what must be there before the first hook: CRDs, and for a first
// install the required modules.
func (p *pass) ready(ctx context.Context) error {
	if len(p.st.desc().CRDs) > 0 {
		if err := p.crds(ctx); err != nil {
			return because(status.ReasonCRDFailed, err)
		}
	}
	if !p.st.installedRelease().Exists() {
		return p.requirements()
	}
	return nil
}

// crds answers how the module's CRDs are, and applies them again when they failed or were changed.
func (p *pass) crds(ctx context.Context) error {
	p.st.mu.Lock()
	crds := p.st.crds
	p.st.mu.Unlock()
	if crds.digest == p.st.desc().Digest && crds.err == nil {
		return nil
	}
	p.step("applying CRDs")
	p.ensureModuleCRDs(ctx, p.st, p.st.desc())
	p.st.mu.Lock()
	defer p.st.mu.Unlock()
	return p.st.crds.err
}

// requirements returns a wait while required modules are not Ready. The wait is
// noted before it is evaluated, so that no wake-up is lost.
func (p *pass) requirements() error {
	if len(p.st.desc().Requires) == 0 {
		return nil
	}
	if err := p.circular(p.st.desc().Name); err != nil {
		return err
	}
	p.st.edit(func(st *moduleState) { st.waits = true })
	message, missing := order.Unmet(p.st.desc().Requires, p.other)
	if message == "" {
		p.st.edit(func(st *moduleState) { st.waits = false })
		return nil
	}
	if missing {
		return &waiting{reason: status.ReasonRequirement, message: message}
	}
	return &waiting{reason: status.ReasonWaitingForModule, message: message}
}

// other is a module as a requirement sees it.
func (l *Loop) other(name string) order.Other {
	st := l.state(name)
	if st == nil {
		return order.Other{}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return order.Other{Exists: true, On: st.decision.On, Ready: st.ready, Version: st.desc().Version, Why: st.why}
}

// round is beforeHelm, Helm, afterHelm. It reports whether afterHelm changed values.
func (p *pass) round(ctx, hooks context.Context) (again bool, err error) {
	before, err := p.hooks.Phase(hooks, p.st.unit, hook.BeforeHelm, p.hooksOf(p.why, p.g, p.step))
	if err != nil {
		return false, because(status.ReasonHookFailed, err)
	}
	if before.Values {
		if err := p.blown(); err != nil {
			return false, err
		}
	}
	if p.st.desc().HasChart {
		if err := p.install(ctx, hooks); err != nil {
			return false, err
		}
	}
	after, err := p.hooks.Phase(hooks, p.st.unit, hook.AfterHelm, p.hooksOf(p.why, p.g, p.step))
	if err != nil {
		return false, because(status.ReasonHookFailed, err)
	}
	if after.Values {
		return true, p.blown()
	}
	return false, nil
}

// blown counts a change that the module made itself and fails when that happens too often.
func (p *pass) blown() error {
	var blown bool
	p.st.edit(func(st *moduleState) { blown = st.fuse.note(time.Now()) })
	if !blown {
		return nil
	}
	return p.oscillates()
}

func (p *pass) oscillates() error {
	what := "its release or values moved"
	cause := "its chart renders something new each time; look for now, randAlphaNum or lookup in the templates"
	if c := p.changes.contests(time.Now().Add(-fuseMemory), p.st.unit.Owner, hook.Global); c != "" {
		cause = c + "; let one hook alone write a value, and only what follows from its inputs: no time, nothing random"
	}
	return &failure{status.ReasonOscillating, fmt.Errorf("%s more than %d times within a minute without a change from outside: %s; "+
		"a change of the ConfigMap or of the module is tried at once", what, fuseLimit, cause)}
}

// held says that the fuse has blown and nothing came from outside since.
func (p *pass) held() (held bool) {
	p.st.edit(func(st *moduleState) { held = st.fuse.blown(time.Now()) })
	return held
}

// step shows what runs, when it has lasted.
func (p *pass) step(what string) {
	since := time.Now()
	p.steps.begin(what, since)
	p.st.stopStepTimer()
	p.st.edit(func(st *moduleState) {
		st.step = what
		var timer *time.Timer
		timer = time.AfterFunc(stepShownAfter, func() {
			shown := false
			st.edit(func(st *moduleState) {
				if shown = st.timer == timer; !shown {
					return // the step ended meanwhile
				}
				if shown = p.shows.Allow(); !shown {
					timer.Reset(stepShownAfter) // many modules are at work; it is shown if it still lasts then
					return
				}
				st.attempt, st.reason = status.InProgress, status.ReasonRunning
				st.message = fmt.Sprintf("%s since %s", what, since.UTC().Format(time.TimeOnly))
			})
			if !shown {
				return
			}
			p.report(st)
			for _, name := range p.ledger.waiting() { // they say whom they wait for
				p.keys.add(name, becauseHealth)
			}
		})
		st.timer = timer
	})
}

const (
	stepShownAfter = 2 * time.Second
	// stepsShown is how many steps a second are shown: with a thousand modules at work,
	// telling what each of them waits for would be most of the work.
	stepsShown, stepsShownAtOnce = 20, 50
)

// settle tells the ledger that the attempt ended, unless the module still waits for its turn.
func (p *pass) settle(err error) {
	var w *waiting
	if errors.As(err, &w) && w.turn {
		return
	}
	in := p.inputs
	p.st.edit(func(st *moduleState) { in.config = cmp.Or(st.ownConfig, in.config) })
	p.ledger.end(p.st.desc().Name, in.digest(), p.revision)
	p.wakeDependents(p.st.desc().Name)
	if p.ledger.unsettled() == 0 {
		p.keys.add(globalKey, becauseSettled)
	}
}

// removed writes down that nothing of the module is left.
func (p *pass) removed() {
	p.noteRemoved()
	p.keys.succeeded(p.st.desc().Name, becauseRetry)
	p.st.edit(func(st *moduleState) {
		st.attempt, st.reason, st.message = status.NotYet, "", ""
		if !st.decision.On {
			st.reason = status.ReasonDisabled
		}
		st.failing, st.nextTry = time.Time{}, time.Time{}
	})
}

// finish writes the outcome into the state and appoints the next try.
func (p *pass) finish(err error) {
	name := p.st.desc().Name
	p.st.edit(func(st *moduleState) {
		st.sawRevision = p.revision
		st.attempts.note(err)
		st.unreached = unreachable(err)
	})
	p.note(err)
	var w *waiting
	switch {
	case err == nil:
		p.keys.succeeded(name, becauseRetry)
		reason, message := status.ReasonUnchanged, "what is applied is what is wanted"
		if p.action != "" {
			reason, message = status.ReasonApplied, p.action
			p.cfg.Ports.Reporter.Event(name, false, reason, message)
		}
		p.st.edit(func(st *moduleState) {
			if st.attempt != status.Succeeded || p.action != "" {
				st.reason, st.message = reason, message
			}
			st.attempt, st.failing, st.nextTry = status.Succeeded, time.Time{}, time.Time{}
		})
	case errors.As(err, &w):
		p.st.edit(func(st *moduleState) {
			st.attempt, st.reason, st.message, st.nextTry = status.Waits, w.reason, w.message, time.Time{}
		})
	case p.gaveUp(err):
	default:
		p.fail(err)
	}
	p.meter.ModuleRun(ModuleRun{Module: name, Activation: p.why.String(), Took: time.Since(p.started), Helm: p.helm,
		Action: p.action, Failed: err != nil && w == nil})
}

// reasonOf is the reason that status shows for an error.
func reasonOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.reason
	}
	return status.ReasonApplyFailed
}

// patienceOf bounds the backoff after a failure: the end of a namespace wakes nobody,
// and asking for it costs little.
func patienceOf(reason string) time.Duration {
	if reason == status.ReasonTerminating {
		return terminatingRetry
	}
	return lastRetry
}

const terminatingRetry = 15 * time.Second

func (p *pass) fail(err error) {
	name, reason := p.st.desc().Name, reasonOf(err)
	message := status.Explain(err.Error())
	now := time.Now()
	var next time.Time
	if reason == status.ReasonOscillating {
		p.st.edit(func(st *moduleState) { next = st.fuse.until })
		p.keys.after(name, next.Sub(now), becauseRetry)
	} else {
		next = p.keys.retryWithin(name, becauseRetry, now, patienceOf(reason))
	}
	p.log.Error("module failed", "module", name, "reason", reason, "error", err, "nextTry", next.Round(time.Second))
	p.cfg.Ports.Reporter.Event(name, true, reason, message)
	p.st.edit(func(st *moduleState) {
		if st.failing.IsZero() {
			st.failing = now
		}
		st.attempt, st.reason, st.message, st.nextTry = status.Failed, reason, message, next
	})
}
