package operator

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
)

// probe runs the executable of a health check.
func (w *wiring) probe(ctx context.Context, name string, c module.HealthCheck) error {
	m := w.loop.Modules().Get(name)
	if m == nil {
		return fmt.Errorf("module %s is in no modules directory any more", name)
	}
	vals, config := w.loop.HookValues(name)
	return w.exec.Probe(ctx, exec.Probe{Module: name, Account: m.Origin.ServiceAccount, Path: filepath.Join(m.Dir, c.Hook), Name: c.Hook, Timeout: c.Timeout,
		Values: vals, ConfigValues: config})
}

// probesOf are the absolute paths of an owner's files that are health checks and no hooks.
func probesOf(mods *module.Set, o hook.Owner) (out []string) {
	if m := mods.Get(o.Module); m != nil {
		for _, c := range m.Health {
			if c.Hook != "" {
				out = append(out, filepath.Join(m.Dir, c.Hook))
			}
		}
	}
	return out
}
