package hookrun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// call says which run this is.
type call struct {
	binding    string
	queue      string
	activation string
	contexts   []hook.Context
	// done are the start bindings that a success of this run accounts for.
	done         []string
	allowFailure bool
	waited       time.Duration
	// values, if set, replaces the host's newest values.
	values ValuesFunc
	urgent bool
	inPass bool
}

// errStopped is the end of a run whose owner was removed meanwhile: nothing of it counts.
var errStopped = errors.New("the hook's owner was removed")

// run runs a hook once, never beside itself. It returns what changed even when a
// later step failed: that is in force and somebody has to act on it.
func (e *Engine) run(ctx context.Context, h *boundHook, c call) (Effect, error) {
	h.one.Lock()
	defer h.one.Unlock()
	_, eff, err := e.once(ctx, h, c)
	return eff, err
}

func (e *Engine) once(ctx context.Context, h *boundHook, c call) (hook.Output, Effect, error) {
	if h.stopped() {
		return hook.Output{}, Effect{}, errStopped
	}
	ended := e.watchRun(h, c)
	out, err := h.run(ctx, e.input(h, c))
	ended()
	var eff Effect
	if err == nil {
		eff, err = e.take(ctx, h, out, c)
	}
	if errors.Is(err, errStopped) {
		return hook.Output{}, Effect{}, err
	}
	usage := out.Usage
	var failed *hook.RunError
	if errors.As(err, &failed) {
		usage = failed.Usage
	}
	e.cfg.Host.Ran(Run{ID: h.ID, Binding: c.binding, Queue: c.queue, Activation: c.activation, Usage: usage,
		Err: err, AllowFailure: c.allowFailure, Waited: c.waited, InPass: c.inPass})
	return out, eff, err
}

// watchRun tells the host should the run last, and not after it ended.
func (e *Engine) watchRun(h *boundHook, c call) (ended func()) {
	if c.inPass {
		return func() {} // the pass shows its steps
	}
	begin := time.Now()
	var mu sync.Mutex
	over := false
	timer := time.AfterFunc(longRun, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			e.cfg.Host.Lasts(h.ID, c.binding, begin)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
	}
}

// longRun is when people are told of a run that has not ended.
const longRun = time.Minute

// take puts the output of a successful run in force, unless the owner was removed meanwhile.
func (e *Engine) take(ctx context.Context, h *boundHook, out hook.Output, c call) (Effect, error) {
	h.gate.Lock()
	defer h.gate.Unlock()
	if h.closed {
		return Effect{}, errStopped
	}
	eff, err := e.cfg.Host.Apply(ctx, h.Hook, out)
	if err != nil || !h.succeededAt(c.done...) {
		return eff, err
	}
	moved, err := e.cfg.Host.Settled(h.ID)
	if err != nil {
		return eff, fmt.Errorf("hook %s: %w", h.ID, err)
	}
	eff.Values = eff.Values || moved
	return eff, nil
}

// input builds what the hook gets. Snapshots are read now, and once (C-132).
func (e *Engine) input(h *boundHook, c call) hook.Input {
	snapshots := map[string][]byte{}
	contexts := hook.Combine(c.contexts)
	add := func(binding string) {
		if _, ok := snapshots[binding]; ok {
			return
		}
		var items []hook.Item
		if m := h.monitor(binding); m != nil {
			items = m.watch.Snapshot()
		} else if e.cfg.Missing != nil {
			e.cfg.Missing(binding)
		}
		snapshots[binding] = hook.MarshalItems(items)
	}
	for _, x := range contexts {
		if x.Type == hook.TypeSynchronization {
			add(x.Binding)
		}
		for _, name := range x.Snapshots {
			add(name)
		}
	}
	read := c.values
	if read == nil {
		read = e.cfg.Host.Values
	}
	vals, config := read(h.Owner)
	labels := map[string]string{"binding": c.binding, "queue": c.queue, "event": c.activation, "task.id": strconv.FormatInt(e.runs.Add(1), 10)}
	text := hook.MarshalContexts
	if h.Spec.Version == "v0" {
		text = func(c []hook.Context, _ map[string][]byte) []byte { return hook.MarshalContextsV0(c) }
	}
	return hook.Input{Contexts: text(contexts, snapshots), Values: vals, ConfigValues: config, Labels: labels, Urgent: c.urgent}
}

// Phase runs an owner's hooks of a lifecycle binding one after another, each
// seeing what the ones before it changed. The first that fails ends the phase.
func (e *Engine) Phase(ctx context.Context, u *Unit, b hook.Binding, p Pass) (Effect, error) {
	hooks := u.by(b)
	if len(hooks) == 0 {
		return Effect{}, nil
	}
	u.phases.Lock()
	defer u.phases.Unlock()
	var total Effect
	for _, h := range hooks {
		p.step(fmt.Sprintf("%s hook %s", b, h.Name))
		eff, err := e.run(ctx, h, call{binding: string(b), queue: mainQueue, activation: p.Activation,
			contexts: []hook.Context{lifecycle(h, b)}, done: []string{string(b)}, values: p.Values, inPass: true})
		if err != nil {
			return total, err
		}
		total.Values = total.Values || eff.Values
		total.Flags = total.Flags || eff.Flags
	}
	return total, nil
}

// lifecycle is the context of a run by order: all snapshots for v1, none for onStartup (C-121, C-128).
func lifecycle(h *boundHook, b hook.Binding) hook.Context {
	c := hook.Context{Binding: string(b)}
	if b == hook.OnStartup || h.Spec.Version == "v0" {
		return c
	}
	c.Snapshots = []string{}
	for _, k := range h.Spec.Kubernetes {
		if !slices.Contains(c.Snapshots, k.Name) {
			c.Snapshots = append(c.Snapshots, k.Name)
		}
	}
	return c
}

// batch runs the tasks of a lane that were combined into one run.
func (e *Engine) batch(ctx context.Context, tasks []*task) error {
	head := tasks[0]
	if laneName(head.unit.Owner, head.queue) == laneName(head.unit.Owner, mainQueue) {
		head.unit.phases.Lock()
		defer head.unit.phases.Unlock()
	}
	c := call{queue: head.queue, allowFailure: head.allowFailure, activation: "Kubernetes", waited: time.Since(head.pushed),
		inPass: head.waited} // the pass waits for it and reports it
	c.binding = head.context.Binding
	for _, t := range tasks {
		c.contexts = append(c.contexts, t.context)
		if t.sync != nil {
			c.done = append(c.done, syncKey(t.sync.index))
		}
		if t.tick {
			c.activation = "Schedule"
		}
	}
	eff, err := e.run(ctx, head.hook, c)
	if errors.Is(err, errStopped) {
		return nil
	}
	if eff != (Effect{}) && (!head.waited || err != nil) {
		e.cfg.Host.Changed(head.unit.Owner)
	}
	if err != nil {
		e.log.Error("hook failed", "hook", head.hook.ID.String(), "binding", c.binding, "error", err)
		if !head.allowFailure {
			return err
		}
	}
	for _, t := range tasks {
		if t.sync != nil {
			t.sync.watch.Unlock()
		}
	}
	return err
}

// answer runs a hook for a review, within the request: outside of lanes, and
// beside itself when requests come at once (C-245).
func (e *Engine) answer(h *boundHook) func(context.Context, hook.Context) (hook.Output, error) {
	return func(ctx context.Context, x hook.Context) (hook.Output, error) {
		if !e.answering() {
			return hook.Output{}, ErrShutdown
		}
		defer e.answers.Done()
		out, eff, err := e.once(ctx, h, call{binding: x.Binding, activation: string(x.Type), contexts: []hook.Context{x}, urgent: true})
		if eff != (Effect{}) {
			e.cfg.Host.Changed(h.Owner)
		}
		if err != nil {
			e.log.Error("hook failed", "hook", h.ID.String(), "binding", x.Binding, "error", err)
		}
		return out, err
	}
}
