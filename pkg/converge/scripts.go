package converge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// scriptPatience is how long the global pass waits for an enabled script before it
// goes on with the module's last decision.
const scriptPatience = 5 * time.Second

// errScriptLasts: the script has not ended; the global pass is run again when it has.
var errScriptLasts = errors.New("it is not known yet")

// scriptRun is a run of an enabled script, which may outlast the global pass that began it.
type scriptRun struct {
	inputs string // digest of the values that it was given
	began  time.Time
	ended  chan struct{} // closed when the rest is written

	on     bool
	reason string
	err    error
}

// script asks a module's enabled script (C-337). One that lasts longer than the
// patience goes on by itself and stops nobody: its answer counts in the global pass
// that its end brings about, unless the values have moved meanwhile.
func (p globalPass) script(ctx context.Context, st *moduleState, d *module.Descriptor, vals, config []byte) (bool, string, error) {
	inputs := values.Digest(append(append([]byte(d.EnabledScript+"\n"+d.Digest+"\n"), vals...), config...))
	st.mu.Lock()
	run := st.script
	st.mu.Unlock()
	patience := scriptPatience
	switch {
	case run == nil:
	case !run.isOver():
		patience = 0 // it was waited for before
	case run.inputs != inputs:
		run = nil
	}
	if run == nil {
		run = p.startScript(ctx, st, d, inputs, vals, config)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-run.ended:
	case <-timer.C:
		// First the note, then another look, so that no end is missed.
		st.edit(func(st *moduleState) { st.scriptLasts = true })
		if !run.isOver() {
			return false, "", fmt.Errorf("%w: the script has run since %s; it is stopped at its deadline, and the module is decided again when it ends",
				errScriptLasts, run.began.UTC().Format(time.TimeOnly))
		}
	}
	st.edit(func(st *moduleState) { st.script = nil })
	return run.on, run.reason, run.err
}

// scriptReason is the reason of a decision without the script's answer.
func scriptReason(err error) string {
	if errors.Is(err, errScriptLasts) {
		return status.ReasonScriptHangs
	}
	return status.ReasonScriptFailed
}

func (r *scriptRun) isOver() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// startScript runs the script beside the pass. When somebody went on without it, its
// end wakes the global pass.
func (p globalPass) startScript(ctx context.Context, st *moduleState, d *module.Descriptor, inputs string, vals, config []byte) *scriptRun {
	run := &scriptRun{inputs: inputs, began: time.Now(), ended: make(chan struct{})}
	st.edit(func(st *moduleState) { st.script, st.scriptLasts = run, false })
	p.scripts.Go(func() {
		run.on, run.reason, run.err = p.executables.Enabled(ctx, d, vals, config)
		close(run.ended)
		awaited := false
		st.edit(func(st *moduleState) { awaited = st.script == run && st.scriptLasts })
		if awaited && ctx.Err() == nil {
			p.keys.add(globalKey, becauseRetry)
		}
	})
	return run
}
