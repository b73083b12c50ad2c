package converge

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/addon-operator/addon-operator/pkg/enable"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// moduleState is what a Loop knows of one module. Its key's pass writes most of
// it; others read it for status and for the conditions of other modules.
type moduleState struct {
	artifact atomic.Pointer[module.Descriptor] // what is in force; its pass changes it
	next     atomic.Pointer[module.Descriptor] // what its next pass puts in force; nil when there is nothing new
	unit     *hookrun.Unit

	reporting sync.Mutex // held while a status is derived and handed over

	mu            sync.Mutex // guards the rest
	decision      enable.Decision
	decided       bool  // a global pass of this process has decided
	last          *bool // the decision before, maybe of an earlier process
	configProblem string
	filesProblem  string // why what lies in its directory is not in force
	configMissed  bool
	configured    bool // a reading of the ConfigMap came in
	unread        bool // and none of this process had a valid section
	crds          crdState
	pausedUntil   time.Time // zero or past: not paused
	deferred      reason    // what passes were asked for during the pause
	maintenance   string    // the mode of C-355, "" for none

	ownConfig string // digest of the ConfigMap section as the module's own hooks left it; "" when others wrote too

	attempt status.Attempt
	reason  string
	message string
	failing time.Time // since when attempts fail in a row
	nextTry time.Time
	seen    int64 // revision of the global values that the last attempt saw
	// sawRevision is the ledger's when the last attempt began.
	sawRevision int
	// unready is since when the module is on, or leaving, and not Ready.
	unready time.Time

	release     installed.Release
	inputDigest string // of inputs that the release is known to fit; "" if not known
	fromCluster bool   // the last render read capabilities or objects of the cluster
	tracked     bool   // the tracker follows its objects
	probed      bool   // health checks by HTTP and hook are made
	verify      bool   // the release was found at start and is compared with the cluster once
	removing    bool   // an uninstall is under way
	gone        bool   // Helm has uninstalled; objects may be left
	records     bool   // and the release's records are there until all has ended
	owes        bool   // it was on, in this process or an earlier one, and no removal has ended since

	waits bool // an attempt waits for another module to be Ready
	ready bool
	why   string // why it is not ready
	// healthReason and healthMessage say why a repair did not help; empty when there is nothing to say.
	healthReason, healthMessage string
	repairs                     repairs
	runs                        hookTroubles
	history                     history
	attempts                    attempts // with the version in force
	unreached                   bool     // what failed last, attempt or repair, got no answer from the API server
	fuse                        fuse
	// script is the run of the enabled script whose answer was not taken yet; scriptLasts: a global pass went on without it.
	script      *scriptRun
	scriptLasts bool
	timer       *time.Timer // shows a step that lasts
	step        string      // what the pass does now; of no meaning without one
	// interrupt ends the hooks of the running attempt; nil while there is none.
	interrupt context.CancelCauseFunc
}

// crdState is how far a module's CRDs are.
type crdState struct {
	digest string // of the descriptor whose CRDs were applied
	err    error
}

func newModuleState(d *module.Descriptor) *moduleState {
	st := &moduleState{unit: hookrun.NewUnit(hook.Owner{Module: d.Name}, placeOf(d))}
	st.artifact.Store(d)
	return st
}

// placeOf is where a module's hooks lie and who they act as.
func placeOf(d *module.Descriptor) hook.Place {
	return hook.Place{Dir: d.HooksDir, Account: d.Origin.ServiceAccount}
}

// desc is the module as it is in force. It does not change within a pass of its key.
func (st *moduleState) desc() *module.Descriptor { return st.artifact.Load() }

// wanted is the module as it was read last.
func (st *moduleState) wanted() *module.Descriptor {
	if next := st.next.Load(); next != nil {
		return next
	}
	return st.desc()
}

// namespace is where a module's objects live.
func (l *Loop) namespace(d *module.Descriptor) string { return cmp.Or(d.Namespace, l.cfg.Namespace) }

func (st *moduleState) on() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.decision.On
}

func (st *moduleState) rendersFromCluster() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.decision.On && st.fromCluster
}

// missesKind is what may have failed because the cluster lacks a kind.
func (st *moduleState) missesKind() (why reason) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.attempt == status.Failed && (st.reason == status.ReasonApplyFailed || st.reason == status.ReasonRenderFailed) {
		why |= becauseRetry
	}
	if st.healthReason == status.ReasonApplyFailed {
		why |= becauseDrift
	}
	return why
}

// unusable says that the module's settings could not be used since the process began.
func (st *moduleState) unusable() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.unread
}

func (st *moduleState) forgetCRDs() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.crds.digest = ""
}

func (st *moduleState) stopStepTimer() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.step = ""
	if st.timer != nil {
		st.timer.Stop()
		st.timer = nil
	}
}

// errSwitchedOff ends the hooks of an attempt whose module was switched off.
var errSwitchedOff = errors.New("the module was switched off")

// interruptible returns a context for the hooks of an attempt; interrupt ends it.
func (st *moduleState) interruptible(ctx context.Context) (hooks context.Context, release func()) {
	hooks, cancel := context.WithCancelCause(ctx)
	st.edit(func(st *moduleState) { st.interrupt = cancel })
	return hooks, func() {
		st.edit(func(st *moduleState) { st.interrupt = nil })
		cancel(nil)
	}
}

// edit changes the state under its lock.
func (st *moduleState) edit(f func(*moduleState)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	f(st)
}

// repairs remembers when objects were repaired, to notice a contest.
type repairs map[repaired][]time.Time

// repaired is what was repaired: an object that was gone, or fields of one.
type repaired struct {
	ref       object.Ref
	fields    string
	rewritten bool
}

func repairOf(d object.Drift) repaired {
	return repaired{d.Ref, strings.Join(d.Paths, ","), d.Rewritten}
}

const (
	contestWindow = 10 * time.Minute
	contestLimit  = 3
)

// note records a repair.
func (r *repairs) note(what repaired, now time.Time) {
	if *r == nil {
		*r = repairs{}
	}
	(*r)[what] = append(recentTimes((*r)[what], now, contestWindow), now)
}

// contested says that the same was repaired so often that others must be undoing it,
// or once a short time ago when the API server itself does not take it. A repair that
// failed does not count.
func (r repairs) contested(what repaired, now time.Time) bool {
	if what.rewritten {
		return len(recentTimes(r[what], now, contestBackoff)) > 0
	}
	return len(recentTimes(r[what], now, contestWindow)) >= contestLimit
}

func recentTimes(times []time.Time, now time.Time, window time.Duration) []time.Time {
	var out []time.Time
	for _, t := range times {
		if now.Sub(t) < window {
			out = append(out, t)
		}
	}
	return out
}

// fuse notices a key that changes something again and again although nothing
// came from outside.
type fuse struct {
	times []time.Time
	// blows counts how often it blew in a row, until is when it is mended.
	blows int
	until time.Time
}

const (
	fuseWindow = time.Minute
	fuseLimit  = 20
	// longestFuse bounds how long a fuse stays blown; a calm of that length ends a row.
	longestFuse = 16 * time.Minute
	// fuseMemory is how old a change of values may be to count as a cause.
	fuseMemory = longestFuse + 2*fuseWindow
)

// reset is for a change that came from outside.
func (f *fuse) reset() { *f = fuse{} }

// note counts a change by the key itself and reports whether that is too often.
func (f *fuse) note(now time.Time) bool {
	f.times = append(recentTimes(f.times, now, fuseWindow), now)
	if len(f.times) <= fuseLimit {
		return false
	}
	if now.Sub(f.until) > longestFuse {
		f.blows = 0
	}
	f.until = now.Add(min(fuseWindow<<f.blows, longestFuse))
	f.times = nil
	f.blows = min(f.blows+1, 10)
	return true
}

// blown says that changes were too many not long ago. It stays blown for a minute at
// first, and twice as long each time after.
func (f *fuse) blown(now time.Time) bool { return now.Before(f.until) }
