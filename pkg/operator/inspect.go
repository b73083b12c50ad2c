package operator

import (
	"context"
	"fmt"

	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/helm"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/redact"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/values"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// inspector answers the debug socket and the probes. Secret leaves are masked.
type inspector struct {
	loop      *converge.Loop
	store     *store.Store
	mods      *module.Set
	helm      *helm.Client
	namespace string
}

func (i *inspector) Progress() web.Progress {
	published, converged, unsettled := i.loop.Progress()
	return web.Progress{Started: published, Done: converged, Unsettled: unsettled}
}

func (i *inspector) Queues() any { return queueTable(i.loop.Queues()) }

// Modules is C-473's list with what `kubectl get modules` shows.
func (i *inspector) Modules() any {
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

func (i *inspector) Global(what string) (any, error) {
	if what == "list" {
		return []string{"values", "config", "patches"}, nil
	}
	v, err := i.section(hook.Global, what)
	if err != nil || what != "values" {
		return v, err
	}
	global := v.(values.Map)
	if g := i.loop.Published(); g != nil {
		global["enabledModules"] = g.Enabled
	}
	return map[string]any{"global": global}, nil
}

func (i *inspector) Module(name, what string, withGlobal bool) (any, error) {
	m := i.mods.Get(name)
	if m == nil {
		return nil, fmt.Errorf("module %q is in no modules directory: see `addon-operator module list`: %w", name, web.ErrNotFound)
	}
	v, err := i.section(hook.Owner{Module: name}, what)
	if err != nil || what != "values" {
		return v, err
	}
	out := map[string]any{m.Key: v}
	if withGlobal {
		global, err := i.Global("values")
		if err != nil {
			return nil, err
		}
		out["global"] = global.(map[string]any)["global"]
	}
	return out, nil
}

func (i *inspector) section(o hook.Owner, what string) (any, error) {
	sec := i.store.Section(o)
	switch what {
	case "values":
		return sec.Masked(), nil
	case "config":
		return sec.MaskedConfig(), nil
	case "patches":
		return i.store.Patches(o), nil
	}
	return nil, fmt.Errorf("%q: expected values, config or patches: %w", what, web.ErrNotFound)
}

// Render shows what the module's chart gives with the values of now; data of Secrets
// only if asked for.
func (i *inspector) Render(ctx context.Context, name string, secrets bool) (string, error) {
	m := i.mods.Get(name)
	if m == nil {
		return "", fmt.Errorf("module %q is in no modules directory: %w", name, web.ErrNotFound)
	}
	vals, err := i.loop.ChartValues(name)
	if err != nil {
		return "", err
	}
	ns := m.Namespace
	if ns == "" {
		ns = i.namespace
	}
	r, err := i.helm.Render(ctx, installed.Request{Module: m, Namespace: ns, Values: vals})
	if secrets {
		return r.Manifest, err
	}
	return redact.Manifest(r.Manifest), err
}
