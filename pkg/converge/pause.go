package converge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/release"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// suspended says that the module is paused, and does what a pass does then: it
// finds out what would be done and keeps the reasons for later. The first pass
// after the pause has them all.
func (p *pass) suspended(ctx context.Context) bool {
	name := p.st.desc().Name
	until, paused := p.st.pausedAt(p.started)
	if !paused {
		p.st.edit(func(st *moduleState) {
			p.why |= st.deferred
			st.deferred = 0
		})
		p.keys.succeeded(name, becausePause)
		return false
	}
	p.keys.after(name, time.Until(until), becausePause)
	p.st.edit(func(st *moduleState) { st.deferred |= p.why & (full | becauseDrift | becauseVerify) })
	switch {
	case p.st.leaves(p.cfg.Instance):
		p.postpone("the module is off and is going to be removed")
	case p.st.on() && p.why.has(full) && p.g != nil:
		p.inputs = p.Loop.inputs(p.st, p.st.wanted(), p.g)
		p.postpone(p.pending(ctx))
		p.settle(nil) // others do not wait for it
	}
	return true
}

// postpone shows what waits for the end of the pause, "" for nothing.
func (p *pass) postpone(what string) {
	p.st.edit(func(st *moduleState) {
		st.failing, st.nextTry, st.sawRevision = time.Time{}, time.Time{}, p.revision
		if what != "" {
			st.attempt, st.reason, st.message = status.Waits, status.ReasonPaused, what
			return
		}
		if st.attempt != status.Succeeded {
			st.reason, st.message = status.ReasonUnchanged, "what is applied is what is wanted"
		}
		st.attempt = status.Succeeded
	})
}

// pending says what an attempt would do, as far as this can be told without running
// hooks; "" for nothing.
func (p *pass) pending(ctx context.Context) string {
	if !p.st.desc().HasChart {
		if p.st.succeeded() {
			return ""
		}
		return "the module's hooks are going to run"
	}
	rel := p.st.installedRelease()
	if !p.ours(rel) {
		return "the module is going to be installed"
	}
	if err := p.follow(ctx); err != nil {
		p.log.Warn("objects of a paused module are not watched", "module", p.st.desc().Name, "error", err)
	}
	if p.unmanaged() {
		return ""
	}
	d, err := p.foresee(ctx)
	switch {
	case err != nil:
		return "what is going to be done cannot be told: " + err.Error()
	case d.Action == release.None:
		return ""
	}
	return fmt.Sprintf("the module is going to be upgraded from revision %d: %s", rel.Revision, d.Why)
}

// foresee is what would be decided about the release, hooks aside.
func (p *pass) foresee(ctx context.Context) (release.Decision, error) {
	req, err := p.request(ctx)
	if err != nil || p.known(req.InputDigest) {
		return release.Decision{Action: release.None}, err
	}
	rendered, err := p.render(ctx, req)
	if err != nil {
		return release.Decision{}, err
	}
	p.st.stopStepTimer()
	d := release.Decide(p.st.installedRelease(), rendered)
	if d.Action == release.None {
		p.st.edit(func(st *moduleState) { st.inputDigest = rendered.InputDigest })
	}
	return d, nil
}

func (st *moduleState) succeeded() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.attempt == status.Succeeded
}

// pausedAt answers the end of the pause that holds at a time.
func (st *moduleState) pausedAt(now time.Time) (until time.Time, paused bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.pausedUntil, now.Before(st.pausedUntil)
}

// applyOperation puts a module's pause and maintenance in force.
func (l *Loop) applyOperation(st *moduleState, next settings.Settings) {
	until, mode := next.PausedUntil[st.desc().Key], next.Maintenance[st.desc().Key]
	pause, maintenance := false, false
	st.edit(func(st *moduleState) {
		pause, maintenance = !st.pausedUntil.Equal(until), st.maintenance != mode
		st.pausedUntil, st.maintenance = until, mode
	})
	if pause {
		l.keys.add(st.desc().Name, becauseHealth)
	}
	if maintenance {
		l.refresh(st)
	}
}

// unrepaired tells which objects of a paused module have drifted.
func unrepaired(drift []object.Drift) string {
	if len(drift) == 0 {
		return ""
	}
	lines := make([]string, len(drift))
	for i, d := range drift {
		lines[i] = d.String()
	}
	return "not repaired during the pause: " + strings.Join(lines, "; ")
}
