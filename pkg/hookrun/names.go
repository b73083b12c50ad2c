package hookrun

import (
	"slices"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Names are the hooks that have one of the bindings, sorted; empty until they are loaded.
func (u *Unit) Names(bindings ...hook.Binding) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []string
	for _, h := range u.hooks {
		if slices.ContainsFunc(bindings, func(b hook.Binding) bool { _, has := h.Spec.Orders[b]; return has }) {
			out = append(out, h.Name)
		}
	}
	slices.Sort(out)
	return out
}
