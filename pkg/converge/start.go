package converge

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// starter takes an owner through its start, once per enablement: load hooks,
// onStartup, monitors, Synchronization, schedules (C-415). A start that failed
// goes on from the stage that failed (C-416).
type starter struct {
	*Loop
}

// watchLists bounds how many first lists of one owner run at once.
const watchLists = 8

func (s starter) start(ctx context.Context, u *unit, why reason, g *Published, step func(string)) error {
	if !u.reached(stageLoaded) {
		step("loading hooks")
		if err := s.load(ctx, u); err != nil {
			return err
		}
	}
	if !u.reached(stageOnStartup) {
		if err := s.onStartup(ctx, u, why, g, step); err != nil {
			return err
		}
		u.reach(stageOnStartup)
	}
	if !u.reached(stageWatching) {
		step("starting monitors")
		if err := s.watch(ctx, u); err != nil {
			return err
		}
		u.reach(stageWatching)
	}
	if !u.reached(stageSynced) {
		step("waiting for Synchronization")
		if err := s.awaitSynchronization(ctx, u); err != nil {
			return err
		}
		u.reach(stageSynced)
	}
	if !u.reached(stageStarted) {
		if err := s.schedule(u); err != nil {
			return err
		}
		u.reach(stageStarted)
	}
	return nil
}

// load reads the hooks' configurations and drops facts of hooks that are gone.
func (s starter) load(ctx context.Context, u *unit) error {
	var hooks []hook.Hook
	if u.dir != "" {
		var err error
		if hooks, err = s.executables.Load(ctx, u.owner, u.dir); err != nil {
			return err
		}
	}
	names := make([]string, len(hooks))
	bound := make([]*boundHook, len(hooks))
	for i, h := range hooks {
		names[i], bound[i] = h.Name, newBoundHook(h, s.executables.Bind(h))
		for _, w := range h.Spec.Warnings {
			s.log.Warn(w, "hook", h.ID.String())
		}
	}
	if dropped, err := s.store.Keep(u.owner, names); err != nil {
		return err
	} else if dropped {
		s.facts.touch()
	}
	u.mu.Lock()
	u.hooks, u.stage = bound, stageLoaded
	u.mu.Unlock()
	return nil
}

func (s starter) onStartup(ctx context.Context, u *unit, why reason, g *Published, step func(string)) error {
	_, err := runner(s).phase(ctx, u, hook.OnStartup, why, g, step)
	return err
}

// watch starts the monitors that do not run yet and queues their Synchronization.
func (s starter) watch(ctx context.Context, u *unit) error {
	var group errgroup.Group
	group.SetLimit(watchLists)
	for _, h := range u.hooks {
		for i := range h.Spec.Kubernetes {
			if h.monitorAt(i) != nil {
				continue
			}
			group.Go(func() error { return s.watchOne(ctx, u, h, i) })
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
			if t := s.synchronization(u, h, h.monitorAt(i), true); t != nil {
				tasks = append(tasks, t)
			}
		}
	}
	s.lanes.push(tasks...)
	return nil
}

func (s starter) watchOne(ctx context.Context, u *unit, h *boundHook, index int) error {
	b := h.Spec.Kubernetes[index]
	m := &monitor{index: index, binding: b}
	handler := hook.WatchHandler{
		Event: func(e hook.WatchEvent, item hook.Item) { s.event(u, h, b, e, item) },
		Appeared: func() {
			// Before the monitor is known, the start's own Synchronization is still to come.
			if known := h.monitorAt(index); known != nil {
				if t := s.synchronization(u, h, known, false); t != nil {
					s.lanes.push(t)
				}
			}
		},
		Failed: func(err error) {
			if err != nil {
				s.log.Warn("watch failed and is tried again", "hook", h.ID.String(), "binding", b.Name, "error", err)
			}
		},
	}
	w, err := s.watcher.Watch(ctx, h.ID, b, handler)
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
func (s starter) synchronization(u *unit, h *boundHook, m *monitor, start bool) *task {
	b := m.binding
	if !b.OnSynchronization || h.Spec.Version == "v0" {
		m.watch.Unlock()
		return nil
	}
	c := hook.Context{Binding: b.Name, Type: hook.TypeSynchronization, Snapshots: b.Snapshots}
	if b.Group != "" {
		c = hook.Context{Binding: b.Name, Type: hook.TypeGroup, Group: b.Group, Snapshots: b.Snapshots}
	}
	t := &task{unit: u, hook: h, context: c, queue: b.Queue, sync: m, allowFailure: b.AllowFailure,
		waited: start && b.WaitForSynchronization}
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

func (s starter) event(u *unit, h *boundHook, b hook.Kubernetes, e hook.WatchEvent, item hook.Item) {
	c := hook.Context{Binding: b.Name, Type: hook.TypeEvent, WatchEvent: e, Item: item, Snapshots: b.Snapshots}
	if b.Group != "" {
		c = hook.Context{Binding: b.Name, Type: hook.TypeGroup, Group: b.Group, Snapshots: b.Snapshots}
	}
	s.lanes.push(&task{unit: u, hook: h, context: c, queue: b.Queue, allowFailure: b.AllowFailure})
}

// awaitSynchronization waits until every waited Synchronization succeeded, or
// until one fails: its lane goes on trying, and the next pass waits again.
func (s starter) awaitSynchronization(ctx context.Context, u *unit) error {
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
		case <-s.lanes.ended(): // nobody will run it
			return errShutdown
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (u *unit) syncedLocked() chan struct{} {
	if u.synced == nil {
		u.synced = make(chan struct{})
	}
	return u.synced
}

func (u *unit) expect() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting++
}

// synchronized counts the end of an attempt of a waited Synchronization.
func (u *unit) synchronized(err error) {
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
func (s starter) schedule(u *unit) error {
	var removes []func()
	var errs []error
	for _, h := range u.hooks {
		for _, b := range h.Spec.Schedules {
			remove, err := s.scheduler.Add(b.Crontab, func() { s.tick(u, h, b) })
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

func (s starter) tick(u *unit, h *boundHook, b hook.Schedule) {
	if !s.converged.Load() {
		return
	}
	c := hook.Context{Binding: b.Name, Type: hook.TypeSchedule, Snapshots: b.Snapshots}
	if b.Group != "" {
		c = hook.Context{Binding: b.Name, Type: hook.TypeGroup, Group: b.Group, Snapshots: b.Snapshots}
	}
	s.lanes.push(&task{unit: u, hook: h, context: c, queue: b.Queue, allowFailure: b.AllowFailure})
}

// stop ends everything of a unit: its tasks in lanes, monitors and schedules.
func (s starter) stop(u *unit) {
	s.lanes.remove(u.owner)
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
