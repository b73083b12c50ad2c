package hooktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Trigger is what wakes the hook. The zero value is the start of the operator:
// onStartup, Synchronization, and what is run by order before Helm or before all
// modules; of a hook with none of these, its first binding.
type Trigger struct {
	// Binding is the name of a binding, or of a moment such as beforeHelm.
	Binding string
	// Event makes it an event of a kubernetes binding in place of its
	// Synchronization. Object is what it is about; without one, the only object
	// that the binding selects.
	Event  hook.WatchEvent
	Object Object
	// Review is an admission or conversion review as JSON: {"request": …}, or the request alone.
	Review json.RawMessage
	// From and To are the step of a conversion; without them, its only one.
	From, To string
}

// step is one run of the hook.
type step struct {
	name     string // onStartup, Synchronization, …
	contexts []hook.Context
	files    *files // in place of the scene's objects
}

// steps are the runs of owner's hook that the trigger leads to.
func (t Trigger) steps(owner hook.Owner, spec hook.Spec, objects files) ([]step, error) {
	if t.Binding == "" {
		if t.Event != "" || t.Object != nil || t.Review != nil {
			return nil, errors.New("an event, an object or a review needs the binding that it is for: " + known(spec))
		}
		return startSteps(owner, spec)
	}
	if _, ok := spec.Orders[hook.Binding(t.Binding)]; ok {
		return []step{{name: t.Binding, contexts: []hook.Context{lifecycle(spec, hook.Binding(t.Binding))}}}, nil
	}
	for _, b := range spec.Kubernetes {
		if b.Name == t.Binding {
			return t.kubernetes(spec, b, objects)
		}
	}
	for _, b := range spec.Schedules {
		if b.Name == t.Binding {
			return []step{{name: "Schedule", contexts: []hook.Context{grouped(b.Route, hook.Context{Type: hook.TypeSchedule})}}}, nil
		}
	}
	for _, b := range spec.Admissions {
		if b.Name == t.Binding {
			return t.admission(b)
		}
	}
	for _, b := range spec.Conversions {
		if b.Name == t.Binding {
			return t.conversion(b)
		}
	}
	return nil, fmt.Errorf("the hook has no binding %q: it has %s", t.Binding, known(spec))
}

// known lists the bindings of a hook, for messages.
func known(spec hook.Spec) string {
	var names []string
	for _, b := range []hook.Binding{hook.OnStartup, hook.BeforeAll, hook.AfterAll, hook.BeforeHelm, hook.AfterHelm, hook.BeforeDeleteHelm, hook.AfterDeleteHelm} {
		if _, ok := spec.Orders[b]; ok {
			names = append(names, string(b))
		}
	}
	for _, b := range spec.Kubernetes {
		names = append(names, b.Name)
	}
	for _, b := range spec.Schedules {
		names = append(names, b.Name)
	}
	for _, b := range spec.Admissions {
		names = append(names, b.Name)
	}
	for _, b := range spec.Conversions {
		names = append(names, b.Name)
	}
	return strings.Join(names, ", ")
}

// startSteps are the runs that a start of the operator leads to, in its order.
func startSteps(owner hook.Owner, spec hook.Spec) ([]step, error) {
	var out []step
	byOrder := func(b hook.Binding) {
		if _, ok := spec.Orders[b]; ok {
			out = append(out, step{name: string(b), contexts: []hook.Context{lifecycle(spec, b)}})
		}
	}
	byOrder(hook.OnStartup)
	out = append(out, synchronizations(owner, spec)...)
	byOrder(hook.BeforeAll)
	byOrder(hook.BeforeHelm)
	if len(out) > 0 {
		return out, nil
	}
	for _, b := range []hook.Binding{hook.AfterAll, hook.AfterHelm, hook.BeforeDeleteHelm, hook.AfterDeleteHelm} {
		byOrder(b)
		if len(out) > 0 {
			return out, nil
		}
	}
	if len(spec.Schedules) > 0 {
		return Trigger{Binding: spec.Schedules[0].Name}.steps(owner, spec, files{})
	}
	return nil, fmt.Errorf("nothing runs this hook at a start: say which binding wakes it, of %s", known(spec))
}

// synchronizations are the runs with all existing objects. Those of one queue are
// combined; without modules only those of a group are, and all are in one queue
// (C-165 … C-167, C-185).
func synchronizations(owner hook.Owner, spec hook.Spec) []step {
	var out []step
	type last struct {
		at     int
		waited bool
		group  string
	}
	byQueue := map[string]last{}
	for _, b := range spec.Kubernetes {
		if !b.OnSynchronization || spec.Version == "v0" {
			continue
		}
		c := grouped(b.Route, hook.Context{Type: hook.TypeSynchronization})
		queue, waited := b.Queue, b.WaitForSynchronization
		if owner.IsStandalone() {
			queue, waited = hook.DefaultQueue, false
		}
		before, ok := byQueue[queue]
		if ok && before.waited == waited && (!owner.IsStandalone() || before.group != "" && b.Group != "") {
			out[before.at].contexts = append(out[before.at].contexts, c)
			continue
		}
		byQueue[queue] = last{at: len(out), waited: waited, group: b.Group}
		out = append(out, step{name: "Synchronization", contexts: []hook.Context{c}})
	}
	for i := range out {
		out[i].contexts = hook.Combine(out[i].contexts)
	}
	return out
}

// lifecycle is the context of a run by order (C-121, C-128).
func lifecycle(spec hook.Spec, b hook.Binding) hook.Context {
	c := hook.Context{Binding: string(b)}
	if b == hook.OnStartup || spec.Version == "v0" {
		return c
	}
	c.Snapshots = []string{}
	for _, k := range spec.Kubernetes {
		if !slices.Contains(c.Snapshots, k.Name) {
			c.Snapshots = append(c.Snapshots, k.Name)
		}
	}
	return c
}

// grouped is c with what the binding's route adds; a group hides all else (C-125).
func grouped(r hook.Route, c hook.Context) hook.Context {
	if r.Group != "" {
		return hook.Context{Binding: r.Name, Type: hook.TypeGroup, Group: r.Group, Snapshots: r.Snapshots}
	}
	c.Binding, c.Snapshots = r.Name, r.Snapshots
	return c
}

func (t Trigger) kubernetes(spec hook.Spec, b hook.Kubernetes, objects files) ([]step, error) {
	if t.Event == "" {
		if t.Object != nil {
			return nil, fmt.Errorf("the object of binding %s needs an event: Added, Modified or Deleted", b.Name)
		}
		if !b.OnSynchronization || spec.Version == "v0" {
			return nil, fmt.Errorf("binding %s is not run for Synchronization: give an event and an object", b.Name)
		}
		return []step{{name: "Synchronization", contexts: []hook.Context{grouped(b.Route, hook.Context{Type: hook.TypeSynchronization})}}}, nil
	}
	if !slices.Contains(b.Events, t.Event) {
		return nil, fmt.Errorf("binding %s is not run for %s: it listens to %v", b.Name, t.Event, b.Events)
	}
	object, err := t.subject(b, objects)
	if err != nil {
		return nil, err
	}
	item, err := project(b, object)
	if err != nil {
		return nil, err
	}
	after := objects.with(object, t.Event)
	c := grouped(b.Route, hook.Context{Type: hook.TypeEvent, WatchEvent: t.Event, Item: item})
	return []step{{name: string(t.Event) + " " + describe(object), contexts: []hook.Context{c}, files: &after}}, nil
}

// subject is the object of an event; the binding must select it.
func (t Trigger) subject(b hook.Kubernetes, objects files) (Object, error) {
	namespaces := namespacesOf(objects.objects)
	if t.Object != nil {
		ok, err := selects(b, t.Object, namespaces)
		if err == nil && !ok {
			err = fmt.Errorf("binding %s does not select %s, so that it would not be woken", b.Name, describe(t.Object))
		}
		return t.Object, err
	}
	var found []Object
	for _, o := range objects.objects {
		ok, err := selects(b, o, namespaces)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("binding %s selects %d of the objects: say which the event is about", b.Name, len(found))
	}
	return found[0], nil
}

func (t Trigger) admission(b hook.Admission) ([]step, error) {
	review, err := reviewOf(t.Review, b.Name)
	kind := hook.TypeValidating
	if b.Mutating {
		kind = hook.TypeMutating
	}
	// A group adds snapshots and does not change the type (C-126).
	c := hook.Context{Binding: b.Name, Type: kind, Review: review, Snapshots: b.Snapshots}
	return []step{{name: string(kind), contexts: []hook.Context{c}}}, err
}

func (t Trigger) conversion(b hook.Conversion) ([]step, error) {
	review, err := reviewOf(t.Review, b.Name)
	if err != nil {
		return nil, err
	}
	from, to := t.From, t.To
	if from == "" && to == "" && len(b.Rules) == 1 {
		from, to = b.Rules[0].From, b.Rules[0].To
	}
	if !slices.Contains(b.Rules, hook.ConversionRule{From: from, To: to}) {
		return nil, fmt.Errorf("binding %s has no conversion from %q to %q: it has %v", b.Name, from, to, b.Rules)
	}
	c := hook.Context{Binding: b.Name, Type: hook.TypeConversion, From: from, To: to, Review: review, Snapshots: b.Snapshots}
	return []step{{name: "Conversion", contexts: []hook.Context{c}}}, nil
}

// reviewOf is the review as a hook sees it: the request, and neither kind nor version.
func reviewOf(text json.RawMessage, binding string) ([]byte, error) {
	if len(text) == 0 {
		return nil, fmt.Errorf("binding %s answers reviews: give one, such as {request: {operation: CREATE, object: {…}}}", binding)
	}
	var review map[string]json.RawMessage
	if err := json.Unmarshal(text, &review); err != nil {
		return nil, fmt.Errorf("review: expected an object: %w", err)
	}
	request, ok := review["request"]
	if !ok {
		request = text
	}
	return json.Marshal(map[string]json.RawMessage{"request": request})
}
