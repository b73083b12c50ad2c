package converge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// final is a failure that is not tried again until an input changes.
type final struct{ reason, message string }

func (f *final) Error() string { return f.message }

// gaveUp notes a final failure, and tells of it once.
func (p *pass) gaveUp(err error) bool {
	var f *final
	if !errors.As(err, &f) {
		return false
	}
	name := p.st.desc().Name
	p.keys.succeeded(name, becauseRetry)
	news := false
	p.st.edit(func(st *moduleState) {
		news = st.reason != f.reason || st.message != f.message
		if st.failing.IsZero() {
			st.failing = time.Now()
		}
		st.attempt, st.reason, st.message, st.nextTry = status.Failed, f.reason, f.message, time.Time{}
	})
	if news {
		p.log.Error("module failed and is not tried again until an input changes", "module", name, "reason", f.reason, "error", f.message)
		p.cfg.Ports.Reporter.Event(name, true, f.reason, f.message)
	}
	return true
}

// rolledBack takes over the release that a failed upgrade was rolled back to.
func (p *pass) rolledBack(ctx context.Context, result installed.Result, message string) error {
	p.cfg.Ports.Tracker.Track(p.st.desc().Name, result.Objects)
	p.st.edit(func(st *moduleState) {
		st.release, st.inputDigest, st.tracked, st.verify = result.Release, "", true, false
	})
	return p.turnedDown(ctx, message)
}

// stayBack keeps the release as it is: the wanted inputs were turned down by a rollback.
// One that was cut short is finished first.
func (p *pass) stayBack(ctx context.Context) error {
	have, inst, name := p.st.installedRelease(), p.cfg.Ports.Installer, p.st.desc().Name
	if have.RejectedBecause == "" { // an earlier process rolled back
		why, err := inst.RejectedBecause(ctx, name)
		if err != nil {
			return because(status.ReasonApplyFailed, err)
		}
		have.RejectedBecause = cmp.Or(why, "an upgrade failed and was rolled back")
		p.st.edit(func(st *moduleState) { st.release.RejectedBecause = have.RejectedBecause })
	}
	if have.Status == installed.Deployed {
		return p.turnedDown(ctx, have.RejectedBecause)
	}
	if err := p.applies.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.applies.Release(1)
	p.step("rolling back")
	if have.Status.Pending() {
		if err := inst.Recover(ctx, name); err != nil {
			return because(status.ReasonApplyFailed, err)
		}
	}
	result, err := inst.Rollback(ctx, name, have.Rejected, have.RejectedBecause)
	if err != nil {
		p.reobserve(ctx)
		return because(status.ReasonApplyFailed, err)
	}
	return p.rolledBack(ctx, result, have.RejectedBecause)
}

func (p *pass) turnedDown(ctx context.Context, why string) error {
	if err := p.follow(ctx); err != nil {
		return err
	}
	rel := p.st.installedRelease()
	return &final{status.ReasonRolledBack, fmt.Sprintf("%s; revision %d has the objects and values of before and stays until the module's values or chart change (inputs %s are not tried again)",
		why, rel.Revision, rel.Rejected)}
}

// pardon forgets in this process what was turned down: the inputs have changed since, so
// that going to them once more is a new wish.
func (p *pass) pardon() {
	p.st.edit(func(st *moduleState) { st.release.Rejected, st.release.RejectedBecause = "", "" })
}
