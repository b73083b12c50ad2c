package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/helm"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/rollout"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/values"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// inspector answers the debug socket and the probes. Secret leaves are masked.
type inspector struct {
	loop      *converge.Loop
	store     *store.Store
	helm      *helm.Client
	tracker   *kube.Tracker
	channels  *rollout.Engine
	namespace string
}

func (i *inspector) Progress() web.Progress {
	published, converged, unsettled := i.loop.Progress()
	return web.Progress{Started: published, Done: converged, Unsettled: unsettled}
}

// routes are those of section 11.6 of the contract.
func (i *inspector) routes() []web.Route {
	return slices.Concat(queueRoutes(i.queues), i.globalRoutes(), i.moduleRoutes(), []web.Route{
		{Path: "/graph", Help: "modules, what they require and their state; ?format=text, dot or svg", Remote: true,
			Answer: func(_ context.Context, q web.Query) (any, error) { return i.graph(q.Form.Get("format")) }},
		{Path: "/hook/list", Help: "of an operator without modules", Answer: i.noHooks},
		{Path: "/hook/{name...}/snapshots", Help: "of an operator without modules", Answer: i.noHooks},
	})
}

func (*inspector) noHooks(context.Context, web.Query) (any, error) {
	return nil, fmt.Errorf("this operator runs modules; see `addon-operator module snapshots NAME` and `global snapshots`: %w", web.ErrNotFound)
}

func (i *inspector) globalRoutes() []web.Route {
	one := func(what, help string) web.Route {
		return web.Route{Path: "/global/" + what, Help: help, Remote: what != "patches", Answer: func(context.Context, web.Query) (any, error) { return i.global(what) }}
	}
	return []web.Route{
		one("list", "what can be asked about the global section"),
		one("values", "effective global values, facts included"),
		one("config", "what the ConfigMap sets under global"),
		one("patches", "what global hooks wrote"),
		{Path: "/global/snapshots", Help: "what kubernetes bindings of global hooks hold",
			Answer: func(context.Context, web.Query) (any, error) { return snapshots(i.loop.Snapshots("")) }},
	}
}

func (i *inspector) moduleRoutes() []web.Route {
	// of answers about one module; the path has its name.
	of := func(what, help string, remote bool, answer func(ctx context.Context, m *module.Descriptor, q web.Query) (any, error)) web.Route {
		return web.Route{Path: "/module/{name}/" + what, Help: help, Remote: remote, Answer: func(ctx context.Context, q web.Query) (any, error) {
			m, err := i.named(q.Parts["name"])
			if err != nil {
				return nil, err
			}
			return answer(ctx, m, q)
		}}
	}
	return []web.Route{
		{Path: "/module/list", Help: "modules and whether they are on", Remote: true,
			Answer: func(context.Context, web.Query) (any, error) { return i.modules(), nil }},
		{Path: "/module/resource-monitor", Help: "objects of each module's release and how they are", Remote: true,
			Answer: func(context.Context, web.Query) (any, error) { return i.resources(), nil }},
		of("values", "effective values of a module; ?global=true with the global ones", true, i.moduleValues),
		of("config", "what the ConfigMap sets for a module; ?global=true with the global section", true, i.moduleConfig),
		of("patches", "what hooks of a module wrote", false, func(_ context.Context, m *module.Descriptor, _ web.Query) (any, error) {
			return i.store.Patches(hook.Owner{Module: m.Name}), nil
		}),
		of("render", "objects that a module's chart gives now; ?debug=true what the templates give, ?diff=true against the release", false, i.render),
		of("snapshots", "what kubernetes bindings of a module's hooks hold", false, func(_ context.Context, m *module.Descriptor, _ web.Query) (any, error) {
			return snapshots(i.loop.Snapshots(m.Name))
		}),
	}
}

func (i *inspector) named(name string) (*module.Descriptor, error) {
	if m := i.loop.Modules().Get(name); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("module %q is in no modules directory: see `addon-operator module list`: %w", name, web.ErrNotFound)
}

// modules is C-473's list with what `kubectl get modules` shows.
func (i *inspector) modules() any {
	enabled := []string{}
	rows := []map[string]any{}
	for _, m := range i.loop.Status() {
		if m.Enabled {
			enabled = append(enabled, m.Name)
		}
		rows = append(rows, map[string]any{"name": m.Name, "enabled": m.Enabled, "version": m.Version,
			"phase": string(m.Phase), "reason": m.Reason, "revision": m.Revision})
	}
	return map[string]any{"enabledModules": enabled, "modules": rows}
}

func (i *inspector) global(what string) (any, error) {
	sec := i.store.Section(hook.Global)
	switch what {
	case "values":
		return map[string]any{"global": i.globalValues()}, nil
	case "config":
		return sec.MaskedConfig(), nil
	case "patches":
		return i.store.Patches(hook.Global), nil
	}
	return []string{"values", "config", "patches", "snapshots"}, nil
}

func (i *inspector) globalValues() values.Map {
	global := i.store.Section(hook.Global).Masked()
	if g := i.loop.Published(); g != nil {
		global["enabledModules"] = g.Enabled
	}
	return global
}

func (i *inspector) moduleValues(_ context.Context, m *module.Descriptor, q web.Query) (any, error) {
	out := map[string]any{m.Key: i.store.Section(hook.Owner{Module: m.Name}).Masked()}
	if q.Is("global") {
		out["global"] = i.globalValues()
	}
	return out, nil
}

func (i *inspector) moduleConfig(_ context.Context, m *module.Descriptor, q web.Query) (any, error) {
	own := i.store.Section(hook.Owner{Module: m.Name}).MaskedConfig()
	if !q.Is("global") {
		return own, nil
	}
	return map[string]any{m.Key: own, "global": i.store.Section(hook.Global).MaskedConfig()}, nil
}

// resource is an object of a release as /module/resource-monitor shows it.
type resource struct {
	Object     string `json:"object"`
	APIVersion string `json:"apiVersion"`
	Present    bool   `json:"present"`
	State      string `json:"state"`
	Message    string `json:"message,omitempty"`
	// Drift says how it differs from what was applied, and who wrote last.
	Drift string `json:"drift,omitempty"`
}

// resources are the objects of every module that is installed, by module.
func (i *inspector) resources() map[string][]resource {
	out := map[string][]resource{}
	for _, m := range i.loop.Status() {
		drift := map[object.Ref]string{}
		for _, d := range i.tracker.Drift(m.Name) {
			drift[d.Ref] = "deleted"
			if !d.Gone {
				drift[d.Ref] = "changed by " + cmp.Or(d.Manager, "somebody else")
			}
		}
		for _, h := range i.tracker.Health(m.Name) {
			out[m.Name] = append(out[m.Name], resource{Object: h.Ref.String(), APIVersion: h.APIVersion,
				Present: h.State != object.Missing && h.State != object.Unknown, State: string(h.State), Message: h.Message, Drift: drift[h.Ref]})
		}
	}
	return out
}

// snapshots shows what bindings hold, by hook and binding (C-482). What a binding on
// Secrets holds is masked.
func snapshots(held map[string]map[string]hook.Held) (any, error) {
	out := map[string]map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		shown, err := bindings(held[name])
		if err != nil {
			return nil, err
		}
		out[name] = shown
	}
	return out, nil
}

func bindings(held map[string]hook.Held) (map[string]any, error) {
	out := map[string]any{}
	for binding, h := range held {
		var items []map[string]any
		if err := json.Unmarshal(hook.MarshalItems(h.Items), &items); err != nil {
			return nil, err
		}
		for _, item := range items {
			maskItem(h.Kind, item)
		}
		out[binding] = map[string]any{"snapshot": items, "operations": map[string]any{"sinceStart": h.SinceStart, "sinceLastExecution": h.SinceRun}}
	}
	return out, nil
}
