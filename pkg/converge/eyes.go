package converge

import (
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// eyes see the values of modules: as they are, or as they would be in a scratch copy
// of the store with other decisions.
type eyes struct {
	*Loop
	store *store.Store
	on    func(*moduleState) bool
}

// eyes see what is.
func (l *Loop) eyes() eyes { return eyes{l, l.store, (*moduleState).on} }

// exports are the values that modules it requires or wants show to a module, by their key.
func (e eyes) exports(d *module.Descriptor) values.Map {
	out := values.Map{}
	add := func(name string) {
		other := e.state(name)
		if other == nil || !e.on(other) || len(other.desc().Exports) == 0 {
			return
		}
		out[other.desc().Key] = values.Select(e.store.Section(other.unit.Owner).Values.Clone(), other.desc().Exports)
	}
	for _, r := range d.Requires {
		add(r.Module)
	}
	for _, w := range d.Wants {
		add(w)
	}
	return out
}

// chartValues is what Helm gets (C-303) and the exports beside it.
func (e eyes) chartValues(st *moduleState, g *Published) (values.Snapshot, error) {
	return e.valuesOf(st.desc(), e.store.Section(st.unit.Owner).Values, g)
}

// valuesOf is what Helm would get for one version of a module.
func (e eyes) valuesOf(d *module.Descriptor, own values.Snapshot, g *Published) (values.Snapshot, error) {
	parts := map[string]values.Snapshot{"global": e.viewOf(d, g), d.Key: own}
	if shown := e.exports(d); len(shown) > 0 {
		own, err := values.New(shown)
		if err != nil {
			return values.Snapshot{}, err
		}
		parts["modules"] = own
	}
	return values.Join(parts), nil
}

// hookValues are the texts of VALUES_PATH and CONFIG_VALUES_PATH (C-106).
func (e eyes) hookValues(o hook.Owner, g *Published) (vals, config []byte) {
	globalSection := e.store.Section(hook.Global)
	globalConfig := orNull(globalSection.HasConfig, globalSection.ConfigValues)
	if o.IsGlobal() {
		var enabled []string
		if g != nil {
			enabled = g.Enabled
		}
		return jsonObject("global", withEnabled(globalSection.Values, enabled).JSON()), jsonObject("global", globalConfig)
	}
	section := e.store.Section(o)
	key := o.Section()
	return jsonObject("global", e.view(o.Module, g).JSON(), key, section.Values.JSON()),
		jsonObject("global", globalConfig, key, orNull(section.HasConfig, section.ConfigValues))
}
