package converge

import (
	"time"

	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/order"
	"github.com/addon-operator/addon-operator/pkg/status"
)

var installedNothing = installed.Release{}

// awaitGone follows the objects of an uninstalled release until they are gone;
// what Helm kept is not waited for.
func (p *pass) awaitGone(result installed.Result) {
	refs := make([]object.Ref, len(result.Objects))
	for i, o := range result.Objects {
		refs[i] = o.Ref
	}
	p.cfg.Ports.Tracker.AwaitGone(p.st.desc().Name, refs)
	if len(result.Kept) > 0 {
		p.cfg.Ports.Reporter.Event(p.st.desc().Name, false, "ObjectsKept", "the uninstall left these objects in place: "+join(result.Kept))
	}
}

func join(refs []object.Ref) string {
	text := ""
	for i, r := range refs {
		if i > 0 {
			text += ", "
		}
		text += r.String()
	}
	return text
}

// report derives the module's status, hands it to the reporter, and wakes
// modules that waited for this one to be Ready.
func (l *Loop) report(st *moduleState) {
	if l.show(st) {
		l.wakeWaiting(st.desc().Name)
	}
}

// show reports one status after another, and says whether the module is Ready.
func (l *Loop) show(st *moduleState) bool {
	st.reporting.Lock()
	defer st.reporting.Unlock()
	m := l.summarize(st)
	ready, why := false, ""
	for _, c := range m.Conditions {
		if c.Type == status.Ready {
			ready, why = c.Status, c.Reason+": "+c.Message
		}
	}
	moved := false
	serving := m.Serving() // others need not wait for a correction of settings
	st.edit(func(st *moduleState) {
		moved = st.why != why
		st.ready, st.why = serving, why
	})
	l.timeUnready(st, ready)
	l.cfg.Ports.Reporter.Report(m)
	if moved && !serving {
		l.tellWaiting(st.desc().Name)
	}
	return serving
}

// timeUnready notes since when a module is not Ready, and appoints a look at it when
// that is Stalled.
func (l *Loop) timeUnready(st *moduleState, ready bool) {
	now := time.Now()
	began, ended := false, false
	st.edit(func(st *moduleState) {
		counts := !ready && (st.decision.On || st.removing) && !now.Before(st.pausedUntil)
		began, ended = counts && st.unready.IsZero(), !counts && !st.unready.IsZero()
		switch {
		case began:
			st.unready = now
		case ended:
			st.unready = time.Time{}
		}
	})
	switch {
	case began:
		l.keys.after(st.desc().Name, l.cfg.StalledAfter, becauseHealth)
	case ended:
		l.keys.succeeded(st.desc().Name, becauseHealth)
	}
}

// tellWaiting has the modules that wait for the given one say what it waits for itself.
func (l *Loop) tellWaiting(name string) {
	for _, other := range l.dependents(name) {
		if other.isWaiting() {
			l.keys.add(other.desc().Name, becauseHealth)
		}
	}
}

func (st *moduleState) isWaiting() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.waits && st.attempt == status.Waits
}

// waitsFor is for whom a module waits now, "" for nobody.
func (l *Loop) waitsFor(st *moduleState) string {
	if blockers := l.ledger.blockers(st.desc().Name); len(blockers) > 0 {
		return order.Describe(blockers)
	}
	if !st.isWaiting() {
		return ""
	}
	message, _ := order.Unmet(st.desc().Requires, l.other)
	return message
}

// wakeWaiting adds the modules whose attempt waits for the given one.
func (l *Loop) wakeWaiting(name string) {
	for _, other := range l.dependents(name) {
		waits := false
		other.edit(func(st *moduleState) { waits, st.waits = st.waits, false })
		if waits {
			l.keys.add(other.desc().Name, becauseRetry)
		}
	}
}

// summary is the status without the account of why it is so.
func (l *Loop) summary(st *moduleState) status.Module {
	var objs []object.Health
	st.mu.Lock()
	tracked := st.tracked
	st.mu.Unlock()
	if tracked {
		objs = l.cfg.Ports.Tracker.Health(st.desc().Name)
	}
	waitsFor := l.waitsFor(st)
	now := time.Now()
	var drift string
	if _, paused := st.pausedAt(now); paused && tracked {
		drift = unrepaired(l.cfg.Ports.Tracker.Drift(st.desc().Name))
	}
	due := l.keys.due(st.desc().Name, full)
	st.mu.Lock()
	defer st.mu.Unlock()
	f := status.Facts{
		Name: st.desc().Name, Weight: st.desc().Weight, Version: st.desc().Version, Namespace: l.namespace(st.desc()),
		On: st.decision.On, Why: st.decision.Why, Undecided: !st.decided, FilesProblem: st.filesProblem, ConfigProblem: st.configProblem, ConfigMissing: st.configMissed,
		Attempt: st.attempt, Reason: st.reason, Message: st.message,
		FailingSince: st.failing, StalledAfter: l.cfg.StalledAfter, Now: now, NextTry: st.nextTry,
		Installed: st.release.Exists(), Uninstalling: st.removing, Revision: st.release.Revision, Global: st.seen,
		HasChart: st.desc().HasChart, Objects: objs, Checks: l.cfg.Ports.Prober.Results(st.desc().Name),
		HealthReason: st.healthReason, HealthMessage: st.healthMessage,
		Behind: due || l.ledger.behind(st.desc().Name, st.sawRevision), UnreadySince: st.unready,
		Maintenance: st.maintenance,
	}
	f.ConfigUnread, f.GlobalUnread = st.unread, l.published.Load() == nil
	if problem := l.globalProblem.Load(); problem != nil {
		f.GlobalProblem = *problem
	}
	if now.Before(st.pausedUntil) {
		f.PausedUntil, f.PausedDrift = st.pausedUntil, drift
	}
	f.FailingHooks, f.HangingHooks = st.runs.lines()
	if waitsFor != "" && st.attempt == status.Waits && st.reason != status.ReasonPaused {
		f.Message = waitsFor
	}
	if st.decision.Err != nil {
		f.DecisionReason, f.DecisionMessage = scriptReason(st.decision.Err), st.decision.Why+": "+st.decision.Err.Error()
	}
	return status.Summarize(f)
}

// Status is the newest status of every module, by weight and name.
func (l *Loop) Status() []status.Module {
	out := make([]status.Module, len(l.all()))
	for i, st := range l.all() {
		out[i] = l.summarize(st)
	}
	return out
}

// Progress says how far convergence is: published, converged for the first time,
// and how many modules are unsettled (C-492, C-493).
func (l *Loop) Progress() (published, converged bool, unsettled int) {
	return l.published.Load() != nil, l.converged.Load(), l.ledger.unsettled()
}

// Published is the newest revision of the global values, nil before the first.
func (l *Loop) Published() *Published { return l.published.Load() }

// Queues are the lanes in which hooks run.
func (l *Loop) Queues() []hookrun.Queue { return l.hooks.Queues() }
