package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Ports are the world as a Loop sees it.
func (w *World) Ports() converge.Ports {
	return converge.Ports{
		Executables: executables{w}, Watcher: watcher{w}, Scheduler: scheduler{w}, Objects: objects{w}, Installer: installer{w},
		Tracker: tracker{w}, Prober: prober{w}, Cluster: cluster{w}, Settings: userMap{w}, Facts: keeper{w}, Reporter: reporter{w}, Meter: meter{w},
	}
}

type executables struct{ *World }

// Load finds the hooks that were added for the owner; one whose name ends with
// "!" has a broken configuration.
func (w executables) Load(_ context.Context, o hook.Owner, _ hook.Place) ([]hook.Hook, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []hook.Hook
	var errs []error
	for _, f := range w.hooks {
		switch {
		case f.Owner != o:
		case strings.HasSuffix(f.Name, "!"):
			errs = append(errs, &hook.RunError{Hook: f.ID, Cause: "--config is no hook configuration"})
		default:
			out = append(out, f.Hook)
		}
	}
	slices.SortFunc(out, func(a, b hook.Hook) int { return strings.Compare(a.Name, b.Name) })
	return out, errors.Join(errs...)
}

func (w executables) Bind(h hook.Hook) hook.Func {
	return func(ctx context.Context, in hook.Input) (hook.Output, error) {
		w.mu.Lock()
		w.note(h.Owner.String(), "run %s on %s", h.Name, contextsOf(in.Contexts))
		var do func(context.Context, map[string]any) (hook.Output, error)
		if f := w.hooks[h.ID]; f != nil {
			do = f.Do
		}
		w.mu.Unlock()
		if err := after(ctx, HookTime); err != nil {
			return hook.Output{}, err
		}
		if do == nil {
			return hook.Output{}, nil
		}
		var v map[string]any
		if err := json.Unmarshal(in.Values, &v); err != nil {
			return hook.Output{}, err
		}
		out, err := do(ctx, v)
		if err != nil && !errors.Is(err, context.Canceled) {
			err = &hook.RunError{Hook: h.ID, Cause: err.Error()}
		}
		return out, err
	}
}

func (w executables) Enabled(ctx context.Context, m *module.Descriptor, vals, _ []byte) (bool, string, error) {
	on, reason, err := w.answer(m.Name, vals)
	if err == nil || err.Error() != "hang" {
		return on, reason, err
	}
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	select {
	case <-deadline.C:
		return false, "", errors.New("no result within 1m0s")
	case <-ctx.Done():
		return false, "", context.Cause(ctx)
	}
}

func (w executables) answer(module string, vals []byte) (bool, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v struct {
		Global struct{ EnabledModules []string }
	}
	if err := json.Unmarshal(vals, &v); err != nil {
		return false, "", err
	}
	answer := w.scripts[module]
	w.note(module, "enabled script sees %v, says %s", v.Global.EnabledModules, answer)
	switch answer {
	case "true", "false":
		return answer == "true", "", nil
	}
	return false, "", errors.New(answer)
}

type watcher struct{ *World }

func (w watcher) Watch(_ context.Context, id hook.ID, b hook.Kubernetes, h hook.WatchHandler) (hook.Watch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := id.String() + "/" + b.Name
	if e := w.failing["watch "+key]; e != "" {
		return nil, errors.New(e)
	}
	f := &fakeWatch{handler: h, locked: true, stopped: func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.note(id.Owner.String(), "stop watching %s", b.Name)
	}}
	if w.watches[key] == nil { // of several bindings of one name the first counts
		w.watches[key] = f
	}
	return f, nil
}

type fakeWatch struct {
	handler hook.WatchHandler
	stopped func()

	mu       sync.Mutex
	locked   bool
	items    []hook.Item
	buffered []func()
}

func (f *fakeWatch) change(e hook.WatchEvent, item hook.Item) {
	f.mu.Lock()
	if e == hook.Deleted {
		f.items = slices.DeleteFunc(f.items, func(i hook.Item) bool { return string(i.FilterResult) == string(item.FilterResult) })
	} else {
		f.items = append(f.items, item)
	}
	event := func() { f.handler.Event(e, item) }
	if f.locked {
		f.buffered = append(f.buffered, event)
		event = func() {}
	}
	f.mu.Unlock()
	event()
}

func (f *fakeWatch) lock() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.locked = true
}

func (f *fakeWatch) Peek() hook.Held { return hook.Held{Items: f.Snapshot()} }

func (f *fakeWatch) Snapshot() []hook.Item {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buffered = nil
	return slices.Clone(f.items)
}

func (f *fakeWatch) Unlock() {
	f.mu.Lock()
	events := f.buffered
	f.locked, f.buffered = false, nil
	f.mu.Unlock()
	for _, e := range events {
		e()
	}
}

func (f *fakeWatch) Stop() { f.stopped() }

type scheduler struct{ *World }

func (w scheduler) Add(crontab string, tick func()) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(crontab, "bad") {
		return nil, errors.New("no crontab")
	}
	w.ticks[crontab] = tick // scenarios name the hook in its crontab
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.ticks, crontab)
	}, nil
}

type objects struct{ *World }

func (w objects) Execute(_ context.Context, _ string, ops []hook.Operation) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, op := range ops {
		w.note("objects", "%s %s/%s", op.Verb, op.Kind, op.Name)
	}
	if e := w.failing["objects"]; e != "" {
		return errors.New(e)
	}
	return nil
}

type installer struct{ *World }

func (w installer) List(context.Context) ([]installed.Release, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []installed.Release
	for _, name := range slices.Sorted(maps.Keys(w.releases)) {
		out = append(out, w.releases[name].Release)
	}
	return out, nil
}

func (w installer) Observe(_ context.Context, name string) (installed.Release, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.releases[name]; r != nil {
		return r.Release, nil
	}
	return installed.Release{}, nil
}

func (w installer) InputDigest(_ context.Context, m *module.Descriptor, namespace string, v values.Snapshot) (string, error) {
	return values.Digest([]byte(m.Digest + namespace + v.Digest())), nil
}

func (w installer) Render(_ context.Context, req installed.Request) (installed.Rendered, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := req.Module.Name
	w.note(name, "render")
	if e := w.failing["render "+name]; e != "" {
		return installed.Rendered{}, errors.New(e)
	}
	paths := w.renders[name]
	if paths == nil {
		paths = []string{req.Module.Key}
	}
	shown := values.Must(values.Select(req.Values.Clone(), paths))
	text := string(shown.JSON())
	if req.Maintenance {
		text += " in maintenance"
	}
	return installed.Rendered{Manifest: text, InputDigest: req.InputDigest, RenderDigest: values.Digest([]byte(text)),
		Objects: []object.Ref{objectsOf(name)[0].Ref}}, nil
}

func (w installer) Preflight(context.Context, installed.Request, installed.Rendered) error {
	return nil
}

func (w installer) Install(ctx context.Context, req installed.Request, r installed.Rendered) (installed.Result, error) {
	return w.apply(ctx, "install", req, r)
}

func (w installer) Upgrade(ctx context.Context, req installed.Request, r installed.Rendered) (installed.Result, error) {
	return w.apply(ctx, "upgrade", req, r)
}

func (w installer) apply(ctx context.Context, verb string, req installed.Request, r installed.Rendered) (installed.Result, error) {
	name := req.Module.Name
	w.mu.Lock()
	next := 1
	was := w.releases[name]
	if was != nil {
		next = was.Revision + 1
	}
	w.note(name, "%s revision %d: %s", verb, next, r.Manifest)
	rel := &fakeRelease{Release: installed.Release{Name: name, Revision: next, Status: installed.PendingInstall, Instance: Instance},
		Objects: objectsOf(name)}
	w.releases[name] = rel
	message := w.failing[verb+" "+name]
	w.mu.Unlock()
	if err := after(ctx, HelmTime); err != nil {
		return installed.Result{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if message != "" && req.Module.OnFailure == module.RollBack && was != nil {
		back := &installed.RolledBack{Failed: rel.Revision, To: was.Revision, Digest: r.InputDigest, Cause: errors.New(message)}
		rel.Release = was.Release
		rel.Revision, rel.Rejected, rel.RejectedBecause = back.Failed+1, back.Digest, back.Error()
		return installed.Result{Release: rel.Release, Objects: rel.Objects}, back
	}
	if message != "" {
		rel.Status = installed.Failed
		return installed.Result{}, errors.New(message)
	}
	rel.Status, rel.InputDigest, rel.RenderDigest = installed.Deployed, req.InputDigest, r.RenderDigest
	delete(w.drift, name)
	if req.Maintenance {
		rel.Labels = map[string]string{installed.LabelMaintenance: "true"}
	}
	return installed.Result{Release: rel.Release, Objects: rel.Objects}, nil
}

func (w installer) Recover(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(name, "recover revision %d", w.releases[name].Revision)
	w.releases[name].Status = installed.Failed
	return nil
}

func (w installer) Repair(_ context.Context, name string, objs []object.Ref) (installed.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what := "all"
	if objs != nil {
		what = fmt.Sprint(objs)
	}
	w.note(name, "repair %s", what)
	if e := w.failing["repair "+name]; e != "" {
		return installed.Result{}, errors.New(e)
	}
	w.drift[name] = slices.DeleteFunc(w.drift[name], func(d object.Drift) bool { return slices.Contains(objs, d.Ref) })
	return installed.Result{Release: w.releases[name].Release, Objects: w.releases[name].Objects}, nil
}

func (w installer) Uninstall(ctx context.Context, name string) (installed.Result, error) {
	w.mu.Lock()
	w.note(name, "uninstall")
	message := w.failing["uninstall "+name]
	w.mu.Unlock()
	if err := after(ctx, HelmTime); err != nil {
		return installed.Result{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if message != "" {
		return installed.Result{}, errors.New(message)
	}
	rel := w.releases[name]
	if rel == nil {
		return installed.Result{}, nil
	}
	rel.Status = installed.Uninstalling
	rel.Labels = map[string]string{installed.LabelRemoved: "true"}
	return installed.Result{Objects: rel.Objects}, nil
}

func (w installer) Forget(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.releases, name)
	return nil
}

func (w installer) Rollback(_ context.Context, name, rejected, _ string) (installed.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rel := w.releases[name]
	rel.Revision++
	rel.Status, rel.Rejected = installed.Deployed, rejected
	w.note(name, "rollback as revision %d", rel.Revision)
	return installed.Result{Release: rel.Release, Objects: rel.Objects}, nil
}

func (w installer) RejectedBecause(context.Context, string) (string, error) { return "", nil }

func (w installer) Objects(_ context.Context, name string) ([]installed.Manifested, error) {
	return objectsOf(name), nil
}

type tracker struct{ *World }

func (w tracker) Configure(string, []module.HealthCheck, []module.DriftRule) {}

func (w tracker) Hold(string, []object.Ref) {}

func (w tracker) Track(module string, _ []installed.Manifested) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tracked[module] = true
}

func (w tracker) Release(string) {}

func (w tracker) Forget(module string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tracked, module)
}

func (w tracker) AwaitGone(string, []object.Ref) {}

func (w tracker) Health(module string) []object.Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := object.Health{Ref: objectsOf(module)[0].Ref, State: object.Current}
	switch {
	case (w.releases[module] == nil || w.releases[module].Removed()) && w.leaving[module]:
		h.State, h.Message = object.Terminating, "finalizer x/y"
	case !w.tracked[module]:
		return nil
	case w.health[module] != "":
		h.State = w.health[module]
	}
	return []object.Health{h}
}

func (w tracker) Drift(module string) []object.Drift {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.drift[module])
}

type cluster struct{ *World }

func (w cluster) EnsureCRDs(_ context.Context, m *module.Descriptor, _ map[string]string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range m.CRDs {
		w.note("crd "+c.Name, "apply")
		if e := w.failing["crd "+c.Name]; e != "" {
			return errors.New(e)
		}
	}
	return nil
}

func (w cluster) CheckCRDs(context.Context, *module.Descriptor, map[string]string) error { return nil }

func (w cluster) EnsureNamespace(_ context.Context, name, _, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("namespaces", "ensure %s", name)
	return nil
}

func (w cluster) RemoveNamespace(_ context.Context, name, _ string) (bool, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("namespaces", "remove %s", name)
	return true, "", nil
}

type userMap struct{ *World }

// Patch performs ops on the newest section; the Loop hears of the ConfigMap's
// change a moment later, as by a watch.
func (w userMap) Patch(_ context.Context, section string, ops []values.Op) (settings.Settings, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.merge(w.meantime)
	w.meantime = nil
	v, err := values.DecodeYAML([]byte(w.data[section]))
	if err != nil {
		return settings.Settings{}, err
	}
	have, _ := v.(values.Map)
	doc, err := values.Apply(values.Map{section: orEmpty(have)}, ops)
	if err != nil {
		return settings.Settings{}, err
	}
	text, err := json.Marshal(doc[section])
	if err != nil {
		return settings.Settings{}, err
	}
	w.note("configmap", "%s: %s", section, text)
	w.data[section] = string(text)
	now, loop := w.read(), w.loop
	time.AfterFunc(HookTime, func() { loop.ApplySettings(now) })
	return now, nil
}

func orEmpty(m values.Map) values.Map {
	if m == nil {
		return values.Map{}
	}
	return m
}

type keeper struct{ *World }

func (w keeper) SaveFacts(_ context.Context, f settings.Facts) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.failing["facts"]; e != "" {
		return errors.New(e)
	}
	w.facts = f
	return nil
}

type reporter struct{ *World }

func (w reporter) Report(m status.Module) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statuses[m.Name] = m
}

func (w reporter) Event(module string, warning bool, reason, message string) {
	if !warning {
		return
	}
	if module == "" {
		module = "global"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(module, "! %s: %s", reason, message)
}

type meter struct{ *World }

func (w meter) Samples(id hook.ID, samples []hook.Sample) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range samples {
		w.note(id.Owner.String(), "metric %s", s.Name)
	}
	if e := w.failing["metrics"]; e != "" {
		return errors.New(e)
	}
	return nil
}

func (w meter) Forget(hook.Owner) {}

func (w meter) HookRun(hookrun.Run)                       {}
func (w meter) Bindings(hook.ID, int)                     {}
func (w meter) Compacted(string, hook.ID)                 {}
func (w meter) QueueAction(string, string, time.Duration) {}

func (w meter) ModuleRun(converge.ModuleRun) {}

func (w meter) HelmOperation(string, string, string, time.Duration) {}

func (w meter) ModuleDeleteFailed(string) {}

func (w meter) DiscoverFailed() {}

func (w meter) Converged(string, time.Duration) {}

func (w meter) MonitorMissing(string) {}

func (w meter) ResourceAbsent(string, string) {}
