package hooksonly

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
)

// conductor brings the hooks up in order: it gives each its turn, and goes on when
// the attempt has ended or has lasted too long.
type conductor struct {
	*Loop
	work context.Context //nolint:containedctx // of hooks that run; it outlives the context of run
}

// starting is a hook on its way up.
type starting struct {
	hook hook.Hook
	unit *hookrun.Unit
	// onStartup and bindings are the two steps of C-185.
	onStartup, bindings *turn
}

// turn is a step that begins when it is opened.
type turn struct {
	open      chan struct{}
	attempted chan struct{} // closed after the first attempt
	once      sync.Once
	succeeded atomic.Bool
}

func newTurn() *turn { return &turn{open: make(chan struct{}), attempted: make(chan struct{})} }

func (c conductor) run(ctx context.Context) {
	known := map[string]bool{}
	all, err := c.load(ctx, known)
	c.begin(ctx, all)
	if err != nil {
		c.starts.Go(func() { c.loadLater(ctx, known, err) })
	}
	if ctx.Err() == nil {
		c.register(ctx, err == nil)
		c.ready.Store(true)
		c.log.Info("hooks started", "hooks", len(all))
	}
}

// begin starts the hooks and returns when each has been attempted.
func (c conductor) begin(ctx context.Context, all []*starting) {
	for _, s := range all {
		c.starts.Go(func() { c.follow(ctx, s) })
	}
	ordered := slices.Clone(all)
	slices.SortStableFunc(ordered, func(a, b *starting) int {
		return cmp.Compare(a.hook.Spec.Orders[hook.OnStartup], b.hook.Spec.Orders[hook.OnStartup])
	})
	for _, s := range ordered {
		if _, has := s.hook.Spec.Orders[hook.OnStartup]; has {
			c.give(ctx, s.onStartup)
		} else {
			s.onStartup.succeeded.Store(true) // nothing to do
			close(s.onStartup.open)
		}
	}
	for _, s := range all {
		if s.onStartup.succeeded.Load() {
			c.give(ctx, s.bindings)
		} else { // it gets there when it can; the others need not wait
			close(s.bindings.open)
		}
	}
}

// give lets a step begin and waits for the end of its first attempt, with patience.
func (c conductor) give(ctx context.Context, t *turn) {
	close(t.open)
	patience := time.NewTimer(c.cfg.Patience)
	defer patience.Stop()
	select {
	case <-t.attempted:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// load reads the configurations of hooks that are not known yet.
func (c conductor) load(ctx context.Context, known map[string]bool) ([]*starting, error) {
	hooks, err := c.cfg.Ports.Executables.Load(ctx, hook.Standalone, hook.Place{Dir: c.cfg.Dir})
	hooks = slices.DeleteFunc(hooks, func(h hook.Hook) bool { return known[h.Name] })
	units := c.hooks.Units(hook.Standalone, hooks)
	all := make([]*starting, len(hooks))
	for i, h := range hooks {
		known[h.Name] = true
		all[i] = &starting{hook: h, unit: units[i], onStartup: newTurn(), bindings: newTurn()}
		c.note(h.Name, func(s *Status) { s.State = Starting })
	}
	c.mu.Lock()
	c.units = append(c.units, units...)
	c.mu.Unlock()
	for _, failed := range unloaded(err) {
		c.note(failed.Hook.Name, func(s *Status) { s.State, s.LastError = Unreadable, failed.Error() })
	}
	return all, err
}

// unloaded are the hooks whose configuration could not be read.
func unloaded(err error) []*hook.RunError {
	var out []*hook.RunError
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			out = append(out, unloaded(e)...)
		}
		return out
	}
	var one *hook.RunError
	if errors.As(err, &one) {
		out = append(out, one)
	}
	return out
}

// loadLater goes on reading what could not be read, until all is or ctx ends.
func (c conductor) loadLater(ctx context.Context, known map[string]bool, err error) {
	for n := 1; err != nil; n++ {
		wait := hookrun.Backoff(n)
		c.log.Error("hooks cannot be used and are tried again; others go on", "error", err, "in", wait.Round(time.Second))
		if !rest(ctx, wait) {
			return
		}
		var more []*starting
		more, err = c.load(ctx, known)
		c.begin(ctx, more)
	}
}

// follow takes one hook through its steps, each again and again until it succeeds.
func (c conductor) follow(ctx context.Context, s *starting) {
	pass := hookrun.Pass{Activation: "OnStartup"}
	if !c.try(ctx, s, s.onStartup, func() error { return c.hooks.OnStartup(c.work, s.unit, pass) }) {
		return
	}
	started := c.try(ctx, s, s.bindings, func() error {
		begin := time.Now()
		err := c.hooks.Start(ctx, s.unit, pass)
		c.cfg.Ports.Meter.BindingsStarted(s.hook.ID, time.Since(begin), err)
		return err
	})
	if started {
		c.note(s.hook.Name, func(st *Status) { st.State, st.LastError = Running, "" })
	}
}

// try waits for the turn, and reports whether the step has succeeded before ctx ended.
func (c conductor) try(ctx context.Context, s *starting, t *turn, step func() error) bool {
	defer t.once.Do(func() { close(t.attempted) })
	select {
	case <-t.open:
	case <-ctx.Done():
		return false
	}
	for n := 1; ctx.Err() == nil; n++ {
		err := step()
		t.succeeded.Store(err == nil)
		t.once.Do(func() { close(t.attempted) })
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		wait := hookrun.Backoff(n)
		c.note(s.hook.Name, func(st *Status) { st.LastError = err.Error() })
		c.log.Error("hook cannot start and is tried again; others go on", "hook", s.hook.Name, "error", err, "in", wait.Round(time.Second))
		if !rest(ctx, wait) {
			return false
		}
	}
	return false
}

// register hands the webhooks of all hooks over at once, so that those an earlier
// process registered are never without an answer for a moment.
func (c conductor) register(ctx context.Context, complete bool) {
	if c.webhooks == nil {
		return
	}
	c.starts.Go(func() {
		for n := 1; ; n++ {
			err := c.webhooks.open(ctx, complete)
			if err == nil || ctx.Err() != nil {
				return
			}
			c.log.Error("webhooks cannot be registered; trying again", "error", err)
			if !rest(ctx, hookrun.Backoff(n)) {
				return
			}
		}
	})
}

// rest waits and reports whether ctx lasted as long.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// gathering collects webhooks until the first round of starts is over.
type gathering struct {
	to hookrun.Webhooks

	mu     sync.Mutex
	hooks  []hook.Webhook
	opened bool
}

// Register adds the webhooks of some hooks of the owner to those of the others.
func (g *gathering) Register(ctx context.Context, o hook.Owner, hooks []hook.Webhook) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range hooks {
		g.hooks = slices.DeleteFunc(g.hooks, func(have hook.Webhook) bool { return have.Hook == h.Hook })
		g.hooks = append(g.hooks, h)
	}
	slices.SortFunc(g.hooks, func(a, b hook.Webhook) int { return cmp.Compare(a.Hook.Name, b.Hook.Name) })
	if !g.opened {
		return nil
	}
	return g.to.Register(ctx, o, g.hooks)
}

// Unregister is for owners that end; a folder ends with the process.
func (g *gathering) Unregister(ctx context.Context, o hook.Owner) error {
	return g.to.Unregister(ctx, o)
}

// open registers what was gathered. Without any, what an earlier process registered
// is withdrawn, unless a hook could not be read: it may be the one that wants it.
func (g *gathering) open(ctx context.Context, complete bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = true
	if len(g.hooks) == 0 && !complete {
		return nil
	}
	if len(g.hooks) == 0 {
		return g.to.Unregister(ctx, hook.Standalone)
	}
	return g.to.Register(ctx, hook.Standalone, g.hooks)
}
