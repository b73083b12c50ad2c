package hookrun

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// watchLists bounds how many first lists of one owner run at once.
const watchLists = 8

// Start takes a unit through its start, once per enablement (C-415). A start that
// failed goes on from the stage that failed (C-416).
func (e *Engine) Start(ctx context.Context, u *Unit, p Pass) error {
	for _, s := range []struct {
		to   stage
		step string
		do   func() error
	}{
		{stageLoaded, "loading hooks", func() error { return e.Load(ctx, u) }},
		{stageOnStartup, "", func() error { return e.OnStartup(ctx, u, p) }},
		{stageWatching, "starting monitors", func() error { return e.watch(ctx, u) }},
		{stageServing, "", func() error { return e.serve(ctx, u, p) }},
		{stageSynced, "waiting for Synchronization", func() error { return e.awaitSynchronization(ctx, u) }},
		{stageStarted, "", func() error { return e.schedule(u) }},
	} {
		if u.reached(s.to) {
			continue
		}
		if s.step != "" {
			p.step(s.step)
		}
		if err := s.do(); err != nil {
			return err
		}
		u.reach(s.to)
	}
	return nil
}

// Load reads the configurations of the unit's hooks, once.
func (e *Engine) Load(ctx context.Context, u *Unit) error {
	if u.Loaded() {
		return nil
	}
	hooks, err := e.cfg.Executables.Load(ctx, u.Owner, u.place())
	if err != nil {
		return err
	}
	if err := e.cfg.Host.Loaded(u.Owner, hooks); err != nil {
		return err
	}
	e.adopt(u, hooks)
	return nil
}

func (e *Engine) adopt(u *Unit, hooks []hook.Hook) {
	bound := make([]*boundHook, len(hooks))
	for i, h := range hooks {
		bound[i] = newBoundHook(h, e.cfg.Executables.Bind(h))
	}
	u.mu.Lock()
	u.hooks, u.stage = bound, stageLoaded
	u.mu.Unlock()
}

// Units makes a loaded unit of each hook of one owner. Their starts are apart; their
// main lane is one.
func (e *Engine) Units(o hook.Owner, hooks []hook.Hook) []*Unit {
	units := make([]*Unit, len(hooks))
	var phases sync.Mutex
	for i := range hooks {
		units[i] = &Unit{Owner: o, phases: &phases}
		e.adopt(units[i], hooks[i:i+1])
	}
	return units
}

// OnStartup runs the unit's onStartup hooks, unless they have succeeded.
func (e *Engine) OnStartup(ctx context.Context, u *Unit, p Pass) error {
	if u.reached(stageOnStartup) {
		return nil
	}
	if _, err := e.Phase(ctx, u, hook.OnStartup, p); err != nil {
		return err
	}
	u.reach(stageOnStartup)
	return nil
}

// serve has the reviews of the unit's hooks answered. Their snapshots are there: the monitors run.
func (e *Engine) serve(ctx context.Context, u *Unit, p Pass) error {
	var webhooks []hook.Webhook
	for _, h := range u.hooks {
		if len(h.Spec.Admissions)+len(h.Spec.Conversions) > 0 {
			webhooks = append(webhooks, hook.Webhook{Hook: h.ID, Account: h.Account, Admissions: h.Spec.Admissions, Conversions: h.Spec.Conversions, Answer: e.answer(h)})
		}
	}
	switch {
	case len(webhooks) == 0 && (e.cfg.Webhooks == nil || u.Owner.IsStandalone()): // a folder is one owner of many units
		return nil
	case len(webhooks) == 0: // an earlier version of the module may have had some
		if err := e.cfg.Webhooks.Unregister(ctx, u.Owner); err != nil {
			e.log.Warn("webhooks of an earlier process cannot be withdrawn", "owner", u.Owner.String(), "error", err)
		}
		return nil
	case e.cfg.Webhooks == nil:
		e.log.Warn("admission and conversion bindings are not served by this process", "owner", u.Owner.String())
		return nil
	}
	p.step("registering webhooks")
	u.mu.Lock()
	u.served = true
	u.mu.Unlock()
	return e.cfg.Webhooks.Register(ctx, u.Owner, webhooks)
}

// Withdraw takes the webhooks of a unit's owner out of the cluster; the unit goes
// on otherwise. An error is about webhooks that this process registered.
func (e *Engine) Withdraw(ctx context.Context, u *Unit) error {
	if e.cfg.Webhooks == nil {
		return nil
	}
	u.mu.Lock()
	served := u.served
	u.mu.Unlock()
	err := e.cfg.Webhooks.Unregister(ctx, u.Owner)
	if err != nil && !served {
		e.log.Warn("webhooks of an earlier process cannot be withdrawn", "owner", u.Owner.String(), "error", err)
		return nil
	}
	if err == nil {
		u.mu.Lock()
		u.served = false
		u.mu.Unlock()
	}
	return err
}

// watch starts the monitors that do not run yet and queues their Synchronization.
func (e *Engine) watch(ctx context.Context, u *Unit) error {
	var group errgroup.Group
	group.SetLimit(watchLists)
	for _, h := range u.hooks {
		for i := range h.Spec.Kubernetes {
			if h.monitorAt(i) != nil {
				continue
			}
			group.Go(func() error { return e.watchOne(ctx, u, h, i) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	// Snapshots of one hook may show all of its bindings, so no Synchronization
	// runs before every list is there; and they run in the order of the bindings.
	var tasks []*task
	for _, h := range u.hooks {
		for i := range h.Spec.Kubernetes {
			if t := e.synchronization(u, h, h.monitorAt(i), true); t != nil {
				tasks = append(tasks, t)
			}
		}
	}
	e.lanes.push(tasks...)
	return nil
}

func (e *Engine) watchOne(ctx context.Context, u *Unit, h *boundHook, index int) error {
	b := h.Spec.Kubernetes[index]
	m := &monitor{index: index, binding: b}
	handler := hook.WatchHandler{
		Account: h.Account,
		Event:   func(ev hook.WatchEvent, item hook.Item) { e.event(u, h, b, ev, item) },
		Room:    func() <-chan struct{} { return e.lanes.room(laneName(u.Owner, b.Queue)) },
		Appeared: func() {
			// Before the monitor is known, the start's own Synchronization is still to come.
			if known := h.monitorAt(index); known != nil {
				if t := e.synchronization(u, h, known, false); t != nil {
					e.lanes.push(t)
				}
			}
		},
		Failed: func(err error) {
			if err != nil {
				e.log.Warn("watch failed and is tried again", "hook", h.ID.String(), "binding", b.Name, "error", err)
			}
		},
	}
	w, err := e.cfg.Watcher.Watch(ctx, h.ID, b, handler)
	if err != nil {
		return &hook.RunError{Hook: h.ID, Cause: fmt.Sprintf("kubernetes binding %q: %v", b.Name, err)}
	}
	m.watch = w
	h.mu.Lock()
	h.monitors[index] = m
	h.mu.Unlock()
	return nil
}

// synchronization is the run with all existing objects; nil when the binding wants
// none, and then events are unlocked (C-153, C-154).
func (e *Engine) synchronization(u *Unit, h *boundHook, m *monitor, start bool) *task {
	b := m.binding
	if !b.OnSynchronization || h.Spec.Version == "v0" {
		m.watch.Unlock()
		return nil
	}
	t := newTask(u, h, b.Route, hook.Context{Type: hook.TypeSynchronization})
	t.sync = m
	t.waited = start && b.WaitForSynchronization && !u.Owner.IsStandalone() // C-187
	if u.Owner.IsStandalone() {
		t.queue = mainQueue // C-185
	}
	if t.waited {
		u.expect()
		t.ended = func(err error) {
			if err != nil && t.allowFailure {
				err = nil
			}
			u.synchronized(err)
		}
	}
	return t
}

// newTask is a run that a binding asks for. A group hides what happened (C-125).
func newTask(u *Unit, h *boundHook, r hook.Route, c hook.Context) *task {
	if r.Group != "" {
		c = hook.Context{Type: hook.TypeGroup, Group: r.Group}
	}
	c.Binding, c.Snapshots = r.Name, r.Snapshots
	return &task{unit: u, hook: h, context: c, queue: r.Queue, allowFailure: r.AllowFailure}
}

func (e *Engine) event(u *Unit, h *boundHook, b hook.Kubernetes, ev hook.WatchEvent, item hook.Item) {
	e.lanes.push(newTask(u, h, b.Route, hook.Context{Type: hook.TypeEvent, WatchEvent: ev, Item: item}))
}

// awaitSynchronization waits until every waited Synchronization succeeded, or
// until one fails: its lane goes on trying, and the next pass waits again.
func (e *Engine) awaitSynchronization(ctx context.Context, u *Unit) error {
	for {
		u.mu.Lock()
		left, err, changed := u.waiting, u.syncErr, u.syncedLocked()
		u.syncErr = nil
		u.mu.Unlock()
		if left == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-e.lanes.ended(): // nobody will run it
			return ErrShutdown
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (u *Unit) syncedLocked() chan struct{} {
	if u.synced == nil {
		u.synced = make(chan struct{})
	}
	return u.synced
}

func (u *Unit) expect() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting++
}

// synchronized counts the end of an attempt of a waited Synchronization.
func (u *Unit) synchronized(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		u.waiting--
	}
	u.syncErr = err
	close(u.syncedLocked())
	u.synced = nil
}

// schedule opens the owner's schedules. Ticks before the first convergence are
// not run (C-190).
func (e *Engine) schedule(u *Unit) error {
	var removes []func()
	var errs []error
	for _, h := range u.hooks {
		for _, b := range h.Spec.Schedules {
			remove, err := e.cfg.Scheduler.Add(b.Crontab, func() { e.tick(u, h, b) })
			if err != nil {
				errs = append(errs, &hook.RunError{Hook: h.ID, Cause: fmt.Sprintf("schedule binding %q: %v", b.Name, err)})
				continue
			}
			removes = append(removes, remove)
		}
	}
	u.mu.Lock()
	u.removes = append(u.removes, removes...)
	u.mu.Unlock()
	return errors.Join(errs...)
}

func (e *Engine) tick(u *Unit, h *boundHook, b hook.Schedule) {
	if !e.cfg.Ticks() {
		return
	}
	t := newTask(u, h, b.Route, hook.Context{Type: hook.TypeSchedule})
	t.tick = true
	e.lanes.push(t)
}

// Stop ends everything of a unit: its tasks in lanes, monitors and schedules.
func (e *Engine) Stop(u *Unit) {
	e.lanes.remove(u.Owner)
	u.mu.Lock()
	hooks, removes := u.hooks, u.removes
	u.hooks, u.removes, u.stage, u.waiting, u.syncErr = nil, nil, stageNew, 0, nil
	u.mu.Unlock()
	for _, remove := range removes {
		remove()
	}
	for _, h := range hooks {
		for _, m := range h.close() {
			m.watch.Stop()
		}
	}
}
