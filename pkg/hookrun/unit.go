package hookrun

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Unit is the running side of one owner, or of a part of its hooks: hooks,
// monitors, schedules and webhooks.
type Unit struct {
	Owner hook.Owner
	// phases is held by the hook phases of the owner's pass and by runs of its
	// main lane: they exclude each other.
	phases *sync.Mutex

	mu      sync.Mutex // guards the rest
	at      hook.Place
	hooks   []*boundHook
	stage   stage
	waiting int   // waited Synchronizations that have not succeeded
	syncErr error // of the newest failed one
	synced  chan struct{}
	removes []func() // of schedules
	served  bool     // webhooks were registered
}

// NewUnit makes the unit of an owner whose hooks lie at a place.
func NewUnit(o hook.Owner, at hook.Place) *Unit {
	return &Unit{Owner: o, at: at, phases: &sync.Mutex{}}
}

// Move has the unit read its hooks from another place the next time it starts.
func (u *Unit) Move(to hook.Place) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.at = to
}

func (u *Unit) place() hook.Place {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.at
}

// Loaded says whether the unit knows its hooks.
func (u *Unit) Loaded() bool { return u.reached(stageLoaded) }

// Started says whether the unit's start has come to its end.
func (u *Unit) Started() bool { return u.reached(stageStarted) }

// stage is how far an owner's start has come; each is done once per enablement.
type stage int

const (
	stageNew stage = iota
	stageLoaded
	stageOnStartup
	stageWatching
	stageServing
	stageSynced
	stageStarted
)

// boundHook is a hook of a running unit.
type boundHook struct {
	hook.Hook
	run hook.Func
	// one is held while the hook runs: a hook never overlaps itself.
	one sync.Mutex
	// gate is held while an output is put in force; closed says that no more may be.
	gate   sync.Mutex
	closed bool

	mu       sync.Mutex // guards the rest
	monitors []*monitor // by binding; nil where none runs yet
	// due are start bindings that have not succeeded; when the last one does, the
	// hook's provisional facts end. Nil after that.
	due    map[string]bool
	tokens bucket
}

// monitor is a kubernetes binding being watched.
type monitor struct {
	index   int // of the binding
	binding hook.Kubernetes
	watch   hook.Watch
}

func newBoundHook(h hook.Hook, run hook.Func) *boundHook {
	b := &boundHook{Hook: h, run: run, monitors: make([]*monitor, len(h.Spec.Kubernetes)), due: startBindings(h.Spec)}
	b.tokens = bucket{every: h.Spec.MinInterval, burst: max(1, h.Spec.Burst)}
	return b
}

// startBindings are the bindings that run at the start of an enablement. A hook
// with none of them settles at its first success, whatever it is.
func startBindings(s hook.Spec) map[string]bool {
	due := map[string]bool{}
	for _, b := range []hook.Binding{hook.OnStartup, hook.BeforeAll, hook.BeforeHelm} {
		if _, ok := s.Orders[b]; ok {
			due[string(b)] = true
		}
	}
	for i, k := range s.Kubernetes {
		if k.OnSynchronization && s.Version != "v0" {
			due[syncKey(i)] = true
		}
	}
	return due
}

func syncKey(binding int) string { return fmt.Sprintf("synchronization/%d", binding) }

// succeededAt notes the success of bindings and reports whether the hook's
// provisional facts end with it.
func (b *boundHook) succeededAt(bindings ...string) (settled bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.due == nil {
		return false
	}
	for _, name := range bindings {
		delete(b.due, name)
	}
	if len(b.due) > 0 {
		return false
	}
	b.due = nil
	return true
}

// monitor is that of the first binding of a name (C-133), or nil.
func (b *boundHook) monitor(binding string) *monitor {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, k := range b.Spec.Kubernetes {
		if k.Name == binding {
			return b.monitors[i]
		}
	}
	return nil
}

// monitorAt is that of the binding with an index, or nil.
func (b *boundHook) monitorAt(index int) *monitor {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.monitors[index]
}

func (b *boundHook) stopped() bool {
	b.gate.Lock()
	defer b.gate.Unlock()
	return b.closed
}

// close ends the hook: what a run still brings does not count. It returns the monitors to stop.
func (b *boundHook) close() []*monitor {
	b.gate.Lock()
	b.closed = true
	b.gate.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	monitors := b.monitors
	b.monitors = make([]*monitor, len(monitors))
	return slices.DeleteFunc(monitors, func(m *monitor) bool { return m == nil })
}

// bucket is a token bucket (C-188); the zero value never waits.
type bucket struct {
	every  time.Duration
	burst  int
	tokens float64
	last   time.Time
}

// next takes a token and says how long to wait for it.
func (k *bucket) next(now time.Time) time.Duration {
	if k.every <= 0 {
		return 0
	}
	if k.last.IsZero() {
		k.tokens = float64(k.burst)
	} else {
		k.tokens = min(float64(k.burst), k.tokens+float64(now.Sub(k.last))/float64(k.every))
	}
	k.last = now
	k.tokens--
	if k.tokens >= 0 {
		return 0
	}
	return time.Duration(-k.tokens * float64(k.every))
}

// waitForRate keeps the hook's execution rate; Synchronizations are not limited. It reports
// false when ctx ended first.
func (b *boundHook) waitForRate(ctx context.Context, head *task) bool {
	if head.sync != nil {
		return true
	}
	b.mu.Lock()
	d := b.tokens.next(time.Now())
	b.mu.Unlock()
	if d > 0 {
		pause(ctx, d, nil)
	}
	return ctx.Err() == nil
}

// Snapshots is what the bindings of the unit's hooks hold, by hook and binding.
func (u *Unit) Snapshots() map[string]map[string]hook.Held {
	u.mu.Lock()
	hooks := u.hooks
	u.mu.Unlock()
	out := map[string]map[string]hook.Held{}
	for _, h := range hooks {
		out[h.Name] = map[string]hook.Held{}
		for _, k := range h.Spec.Kubernetes {
			if m := h.monitor(k.Name); m != nil {
				out[h.Name][k.Name] = m.watch.Peek()
			}
		}
	}
	return out
}

// by returns the unit's hooks that declare a binding, by order and name (C-081).
func (u *Unit) by(binding hook.Binding) []*boundHook {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []*boundHook
	for _, h := range u.hooks {
		if _, ok := h.Spec.Orders[binding]; ok {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b *boundHook) int {
		return cmp.Or(cmp.Compare(a.Spec.Orders[binding], b.Spec.Orders[binding]), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func (u *Unit) reached(s stage) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stage >= s
}

func (u *Unit) reach(s stage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stage = s
}
