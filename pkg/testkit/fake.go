package testkit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// What effects cost in a World, so that their order shows in a virtual clock.
const (
	HookTime = time.Millisecond
	HelmTime = 10 * time.Millisecond
)

// Instance is the label of releases that a World's operator makes.
const Instance = "addon-operator.addon-operator"

// World imitates everything behind converge's ports in memory and records every
// effect. A test changes it from outside and reads Effects. It outlives the Loop,
// so that a second one finds what the first left.
type World struct {
	mu      sync.Mutex
	effects []effect
	start   time.Time
	loop    *converge.Loop

	hooks    map[hook.ID]*FakeHook
	scripts  map[string]string // module > true, false or an error
	failing  map[string]string // "install a" > error
	releases map[string]*fakeRelease
	health   map[string]object.State
	drift    map[string][]object.Drift
	probes   map[string][]string // health checks by HTTP and hook of modules
	problems map[string]string   // by module and check, "" for one that holds; not looked at without
	leaving  map[string]bool     // objects of these modules do not go away
	tracked  map[string]bool
	watches  map[string]*fakeWatch // by hook and binding
	ticks    map[string]func()
	data     map[string]string // of the ConfigMap; nil without one
	meantime map[string]string // the user's edit just before the next config patch
	reading  settings.Settings
	facts    settings.Facts
	statuses map[string]status.Module
	renders  map[string][]string // module > what its chart shows, as dotted paths
}

type effect struct {
	at    time.Duration
	owner string
	text  string
}

// FakeHook is a hook of a World and what it does when it runs.
type FakeHook struct {
	hook.Hook
	// Do is called with the parsed values; nil does nothing.
	Do func(ctx context.Context, values map[string]any) (hook.Output, error)
}

type fakeRelease struct {
	installed.Release
	Objects []installed.Manifested
}

// NewWorld makes a world with a ConfigMap of this data; nil means that there is none.
func NewWorld(data map[string]string) *World {
	w := &World{
		start: time.Now(), data: data,
		hooks: map[hook.ID]*FakeHook{}, scripts: map[string]string{}, failing: map[string]string{},
		releases: map[string]*fakeRelease{}, health: map[string]object.State{}, drift: map[string][]object.Drift{},
		probes: map[string][]string{}, problems: map[string]string{},
		leaving: map[string]bool{}, tracked: map[string]bool{}, watches: map[string]*fakeWatch{}, ticks: map[string]func(){},
		statuses: map[string]status.Module{}, renders: map[string][]string{},
	}
	w.read()
	return w
}

// Attach names the Loop that the world's events go to.
func (w *World) Attach(l *converge.Loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loop = l
	w.watches, w.ticks, w.tracked = map[string]*fakeWatch{}, map[string]func(){}, map[string]bool{}
	w.probes, w.problems = map[string][]string{}, map[string]string{}
}

// note records an effect; w.mu must be held.
func (w *World) note(owner, format string, args ...any) {
	w.effects = append(w.effects, effect{time.Since(w.start), owner, fmt.Sprintf(format, args...)})
}

// Effects takes what was recorded since the last call, in the order of time; what
// happened at the same time is ordered by owner, and runs of hooks by name.
func (w *World) Effects() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.effects
	w.effects = nil
	slices.SortStableFunc(list, func(a, b effect) int {
		c := cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.owner, b.owner))
		if c == 0 && strings.HasPrefix(a.text, "run ") && strings.HasPrefix(b.text, "run ") {
			return cmp.Compare(a.text, b.text) // lanes of one owner
		}
		return c
	})
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = e.owner + ": " + e.text
	}
	return out
}

// Status is the newest reported status of a module.
func (w *World) Status(module string) status.Module {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.statuses[module]
}

// Hook adds a hook, or changes one that the Loop loads later.
func (w *World) Hook(h hook.Hook) *FakeHook {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &FakeHook{Hook: h}
	w.hooks[h.ID] = f
	return f
}

// Behave sets what a hook does from its next run on.
func (w *World) Behave(id hook.ID, do func(ctx context.Context, values map[string]any) (hook.Output, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks[id].Do = do
}

// RemoveHook takes a hook away, as if its file were gone.
func (w *World) RemoveHook(id hook.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hooks, id)
}

// Script sets what a module's enabled script answers: true, false, or the text of an error.
func (w *World) Script(module, answer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scripts[module] = answer
}

// Fail makes an action such as "install a" fail with a message until it is "".
func (w *World) Fail(action, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing[action] = message
}

// Renders says which dotted paths of the values the module's chart shows; without
// it, all of the module's own section.
func (w *World) Renders(module string, paths ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.renders[module] = paths
}

// Seed puts a release in place that was there before.
func (w *World) Seed(r installed.Release) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.releases[r.Name] = &fakeRelease{Release: r, Objects: objectsOf(r.Name)}
}

func objectsOf(module string) []installed.Manifested {
	ref := object.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "addon-operator", Name: module}
	return []installed.Manifested{{Ref: ref}}
}

// SetHealth sets the state of a module's objects and tells the Loop.
func (w *World) SetHealth(module string, s object.State) {
	w.mu.Lock()
	w.health[module] = s
	loop := w.loop
	w.mu.Unlock()
	if loop != nil {
		loop.ObjectsChanged(module, false)
	}
}

// Drift makes an object differ from what was applied and tells the Loop.
func (w *World) Drift(module string, d object.Drift) {
	w.mu.Lock()
	w.drift[module] = append(w.drift[module], d)
	loop := w.loop
	w.mu.Unlock()
	loop.ObjectsChanged(module, true)
}

// HoldObjects keeps a module's objects from going away at an uninstall, as a
// finalizer does, until it is called with false.
func (w *World) HoldObjects(module string, hold bool) {
	w.mu.Lock()
	w.leaving[module] = hold
	loop := w.loop
	w.mu.Unlock()
	if !hold {
		loop.ObjectsChanged(module, false)
	}
}

// Edit changes keys of the ConfigMap as a user does; an empty text removes a key.
func (w *World) Edit(changes map[string]string) {
	w.mu.Lock()
	w.merge(changes)
	loop, s := w.loop, w.read()
	w.mu.Unlock()
	if loop != nil {
		loop.ApplySettings(s)
	}
}

// DeleteConfigMap removes the ConfigMap as a user does.
func (w *World) DeleteConfigMap() {
	w.mu.Lock()
	w.data = nil
	loop, s := w.loop, w.read()
	w.mu.Unlock()
	if loop != nil {
		loop.ApplySettings(s)
	}
}

// EditBeforePatch lets a user's edit reach the ConfigMap just before the next
// config patch of a hook does; the Loop hears of both afterwards.
func (w *World) EditBeforePatch(changes map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meantime = changes
}

func (w *World) merge(changes map[string]string) {
	if w.data == nil {
		w.data = map[string]string{}
	}
	for k, v := range changes {
		if v == "" {
			delete(w.data, k)
		} else {
			w.data[k] = v
		}
	}
}

// read parses the ConfigMap; w.mu must be held.
func (w *World) read() settings.Settings {
	if w.data == nil {
		w.reading = settings.Settings{}
	} else {
		w.reading = settings.Parse(w.data, nil, w.reading)
	}
	return w.reading
}

// ConfigMap is its data now.
func (w *World) ConfigMap() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.data)
}

// Settings is the newest reading of the ConfigMap, as a process that starts makes it.
func (w *World) Settings() settings.Settings {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading = settings.Settings{}
	return w.read()
}

// Facts are those saved last, gone through their encoding.
func (w *World) Facts() settings.Facts {
	w.mu.Lock()
	defer w.mu.Unlock()
	public, private, err := w.facts.Encode(func(_, _ string, _ values.Stamped) bool { return false })
	if err != nil {
		return settings.Facts{}
	}
	f, _ := settings.DecodeFacts(public, private)
	return f
}

// Tick fires a hook's schedule binding.
func (w *World) Tick(id hook.ID) {
	w.mu.Lock()
	tick := w.ticks[id.String()]
	w.mu.Unlock()
	if tick != nil {
		tick()
	}
}

// Object changes an object that a kubernetes binding watches; text is its filter result.
func (w *World) Object(id hook.ID, binding string, e hook.WatchEvent, text string) {
	w.mu.Lock()
	watch := w.watches[id.String()+"/"+binding]
	w.mu.Unlock()
	if watch != nil {
		watch.change(e, hook.Item{FilterResult: []byte(text)})
	}
}

// Appear makes the kind of a binding, absent before, be served.
func (w *World) Appear(id hook.ID, binding string) {
	w.mu.Lock()
	watch := w.watches[id.String()+"/"+binding]
	w.mu.Unlock()
	watch.lock()
	watch.handler.Appeared()
}

// contextsOf shows contexts in one line: binding/Type or binding/Event/Added.
func contextsOf(text []byte) string {
	var list []struct{ Binding, Type, WatchEvent, GroupName, ResourceEvent string }
	if err := json.Unmarshal(text, &list); err != nil {
		return err.Error()
	}
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = c.Binding
		switch {
		case c.Type == string(hook.TypeGroup):
			out[i] = "group " + c.GroupName
		case c.WatchEvent != "":
			out[i] += "/" + c.WatchEvent
		case c.ResourceEvent != "":
			out[i] += "/v0/" + c.ResourceEvent
		case c.Type != "":
			out[i] += "/" + c.Type
		}
	}
	return strings.Join(out, ", ")
}

func after(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
