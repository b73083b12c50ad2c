package converge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// runner runs one hook once: gathers its input, calls it, checks every output,
// and only then performs the effects (C-108, C-109): object operations, config
// patch, values commit, metric samples.
type runner struct {
	*Loop
}

// effect is what a successful run changed.
type effect struct {
	values bool // the owner's effective values moved
	flags  bool // a dynamic enabled flag moved
}

// call says which run this is.
type call struct {
	binding    string
	queue      string
	activation string
	contexts   []hook.Context
	// done are the start bindings that a success of this run accounts for.
	done         []string
	allowFailure bool
	// globals is the frozen view of a pass; nil means the newest.
	globals *Published
}

// run returns what changed even when a later step failed: that is in force and
// somebody has to act on it.
func (r runner) run(ctx context.Context, h *boundHook, c call) (effect, error) {
	h.one.Lock()
	defer h.one.Unlock()
	if h.stopped() {
		return effect{}, errStopped
	}
	out, err := h.run(ctx, r.input(h, c))
	var eff effect
	if err == nil {
		eff, err = r.take(ctx, h, out, c)
	}
	if errors.Is(err, errStopped) {
		return effect{}, err
	}
	usage := out.Usage
	var failed *hook.RunError
	if errors.As(err, &failed) {
		usage = failed.Usage
	}
	r.meter.HookRun(HookRun{ID: h.ID, Binding: c.binding, Queue: c.queue, Activation: c.activation, Usage: usage,
		Failed: err != nil, AllowFailure: c.allowFailure})
	return eff, err
}

// errStopped is the end of a run whose owner was removed meanwhile: nothing of it counts.
var errStopped = errors.New("the hook's owner was removed")

// take puts the output of a successful run in force, unless the owner was removed meanwhile.
func (r runner) take(ctx context.Context, h *boundHook, out hook.Output, c call) (effect, error) {
	h.gate.Lock()
	defer h.gate.Unlock()
	if h.closed {
		return effect{}, errStopped
	}
	eff, err := r.apply(ctx, h, out)
	if err != nil || !h.succeededAt(c.done...) {
		return eff, err
	}
	moved, err := r.store.Settle(h.ID)
	if err != nil {
		return eff, fmt.Errorf("hook %s: %w", h.ID, err)
	}
	eff.values = eff.values || moved
	r.facts.touch()
	return eff, nil
}

// input builds what the hook gets. Snapshots are read now, and once (C-132).
func (r runner) input(h *boundHook, c call) hook.Input {
	snapshots := map[string][]byte{}
	contexts := hook.Combine(c.contexts)
	add := func(binding string) {
		if _, ok := snapshots[binding]; ok {
			return
		}
		var items []hook.Item
		if m := h.monitor(binding); m != nil {
			items = m.watch.Snapshot()
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
	vals, config := r.hookValues(h.Owner, c.globals)
	labels := map[string]string{"binding": c.binding, "queue": c.queue, "event": c.activation}
	text := hook.MarshalContexts
	if h.Spec.Version == "v0" {
		text = func(c []hook.Context, _ map[string][]byte) []byte { return hook.MarshalContextsV0(c) }
	}
	return hook.Input{Contexts: text(contexts, snapshots), Values: vals, ConfigValues: config, Labels: labels}
}

// hookValues are the texts of VALUES_PATH and CONFIG_VALUES_PATH (C-106).
func (r runner) hookValues(o hook.Owner, g *Published) (vals, config []byte) {
	if g == nil {
		g = r.published.Load()
	}
	globalSection := r.store.Section(hook.Global)
	globalConfig := orNull(globalSection.HasConfig, globalSection.ConfigValues)
	if o.IsGlobal() {
		var enabled []string
		if g != nil {
			enabled = g.Enabled
		}
		return jsonObject("global", withEnabled(globalSection.Values, enabled).JSON()), jsonObject("global", globalConfig)
	}
	section := r.store.Section(o)
	key := o.Section()
	return jsonObject("global", r.view(o.Module, g).JSON(), key, section.Values.JSON()),
		jsonObject("global", globalConfig, key, orNull(section.HasConfig, section.ConfigValues))
}

func orNull(has bool, v values.Snapshot) []byte {
	if !has {
		return []byte("null")
	}
	return v.JSON()
}

// jsonObject writes a JSON object from keys and texts.
func jsonObject(pairs ...any) []byte {
	var b bytes.Buffer
	for i := 0; i < len(pairs); i += 2 {
		b.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&b, "%q:", pairs[i])
		b.Write(pairs[i+1].([]byte))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// apply checks the whole output first and performs it then.
func (r runner) apply(ctx context.Context, h *boundHook, out hook.Output) (effect, error) {
	plan, err := r.check(h.ID, out)
	if err != nil {
		return effect{}, &hook.RunError{Hook: h.ID, Cause: err.Error(), Usage: out.Usage}
	}
	if len(out.Operations) > 0 {
		if err := r.objects.Execute(ctx, out.Operations); err != nil {
			return effect{}, &hook.RunError{Hook: h.ID, Cause: "object operations: " + err.Error(), Usage: out.Usage}
		}
	}
	var eff effect
	if len(plan.config) > 0 {
		moved, err := r.patchConfig(ctx, h, plan.config)
		eff.values = moved
		if err != nil {
			return eff, err
		}
	}
	if len(plan.values) > 0 {
		moved, err := r.store.Commit(h.ID, h.Digest, plan.values)
		if err != nil {
			return eff, &hook.RunError{Hook: h.ID, Cause: err.Error(), Usage: out.Usage}
		}
		eff.values = eff.values || moved
		if moved {
			r.facts.touch()
		}
	}
	for section, on := range plan.flags {
		eff.flags = r.store.SetFlag(section, on, h.ID) || eff.flags
	}
	if eff.flags {
		r.facts.touch()
	}
	if err := r.meter.Samples(h.ID, out.Samples); err != nil { // such a sample is lost, and no more (C-223)
		r.log.Warn("metric of hook is lost", "hook", h.ID.String(), "error", err)
	}
	return eff, nil
}

// patchConfig writes a config patch and puts its result in force at once; the
// watch event that follows has the same content and wakes nobody (C-380).
func (r runner) patchConfig(ctx context.Context, h *boundHook, ops []values.Op) (moved bool, err error) {
	key := h.Owner.Section()
	if r.configMissed() {
		// Writing now would make a ConfigMap without the user's flags, which reads as "all off".
		return false, &hook.RunError{Hook: h.ID, Cause: "config values patch: there is no ConfigMap " + r.cfg.Instance +
			" although modules are installed; restore it first"}
	}
	before := r.store.Section(h.Owner).ConfigValues.Clone()
	now, err := r.settings.Patch(ctx, key, ops)
	if err != nil {
		return false, fmt.Errorf("hook %s: config values patch: %w", h.ID, err)
	}
	moved, err = r.store.SetConfig(h.Owner, now.Sections[key], now.Revision)
	if err != nil {
		return false, fmt.Errorf("hook %s: config values patch: %w", h.ID, err)
	}
	// The patch went onto the newest text. What the user changed there is theirs, and wakes the owner.
	expected, err := values.Apply(values.Map{key: before}, ops)
	own := err == nil && sameJSON(expected[key], now.Sections[key])
	if st := r.modules[h.Owner.Module]; st != nil {
		st.edit(func(st *moduleState) {
			st.ownConfig = ""
			if own {
				st.ownConfig = r.store.Section(h.Owner).ConfigValues.Digest()
			}
		})
	}
	if !own {
		r.changed(h.Owner)
	}
	return moved, nil
}

func sameJSON(a any, b values.Map) bool {
	left, _ := a.(values.Map)
	l, errL := values.New(left)
	r, errR := values.New(b)
	return errL == nil && errR == nil && l.Digest() == r.Digest()
}

// plan is a checked output, sorted by what it touches.
type plan struct {
	values []values.Op
	config []values.Op
	flags  hook.Flags
}

func (r runner) check(id hook.ID, out hook.Output) (plan, error) {
	var p plan
	var err error
	var more hook.Flags
	if p.values, p.flags, err = hook.Sort(id.Owner, out.Values); err != nil {
		return p, fmt.Errorf("VALUES_JSON_PATCH_PATH: %w", err)
	}
	if p.config, more, err = hook.Sort(id.Owner, out.Config); err != nil {
		return p, fmt.Errorf("CONFIG_VALUES_JSON_PATCH_PATH: %w", err)
	}
	maps.Copy(p.flags, more)
	if len(p.values) > 0 {
		if err := r.store.Check(id, p.values); err != nil {
			return p, err
		}
	}
	if len(p.config) > 0 {
		return p, r.store.CheckConfig(id.Owner, p.config)
	}
	return p, nil
}

// phase runs the hooks of a lifecycle binding one after another, each seeing
// what the ones before it changed.
func (r runner) phase(ctx context.Context, u *unit, b hook.Binding, why reason, g *Published, step func(string)) (effect, error) {
	hooks := u.by(b)
	if len(hooks) == 0 {
		return effect{}, nil
	}
	u.phases.Lock()
	defer u.phases.Unlock()
	var total effect
	for _, h := range hooks {
		step(fmt.Sprintf("%s hook %s", b, h.Name))
		eff, err := r.run(ctx, h, call{binding: string(b), queue: mainQueue, activation: why.String(),
			contexts: []hook.Context{lifecycle(h, b)}, done: []string{string(b)}, globals: g})
		if err != nil {
			return total, err
		}
		total.values = total.values || eff.values
		total.flags = total.flags || eff.flags
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
func (r runner) batch(ctx context.Context, tasks []*task) error {
	head := tasks[0]
	if laneName(head.unit.owner, head.queue) == laneName(head.unit.owner, mainQueue) {
		head.unit.phases.Lock()
		defer head.unit.phases.Unlock()
	}
	c := call{queue: head.queue, allowFailure: head.allowFailure, activation: "Kubernetes"}
	c.binding = head.context.Binding
	for _, t := range tasks {
		c.contexts = append(c.contexts, t.context)
		if t.sync != nil {
			c.done = append(c.done, syncKey(t.sync.index))
		}
		if t.context.Type == hook.TypeSchedule {
			c.activation = "Schedule"
		}
	}
	eff, err := r.run(ctx, head.hook, c)
	if errors.Is(err, errStopped) {
		return nil
	}
	if (eff.values || eff.flags) && (!head.waited || err != nil) {
		r.changed(head.unit.owner)
	}
	if err != nil {
		r.log.Error("hook failed", "hook", head.hook.ID.String(), "binding", c.binding, "error", err)
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
