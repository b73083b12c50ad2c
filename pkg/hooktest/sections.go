package hooktest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// sections are the values around a hook: those of the operator's own store, so
// that layers, schemas and checks are the ones of a running operator.
type sections struct {
	owner  hook.Owner
	store  *store.Store // nil without modules
	desc   *module.Descriptor
	schema map[string]schema.Set // by key
	// rev numbers the readings of the settings.
	rev int64
}

// setKey names the directories that say something about values; empty where there is none.
type setKey struct{ modules, globalHooks string }

// modulesNear is the modules directory of a place.
func modulesNear(p Place) string {
	if p.ModuleDir != "" {
		return filepath.Dir(p.ModuleDir)
	}
	near := filepath.Join(filepath.Dir(p.GlobalHooksDir), "modules")
	if info, err := os.Stat(near); p.GlobalHooksDir == "" || err != nil || !info.IsDir() {
		return ""
	}
	return near
}

// loadSet reads what the directories say about values.
func loadSet(k setKey) (*module.Set, error) {
	var dirs []string
	if k.modules != "" {
		dirs = []string{k.modules}
	}
	return module.Load(dirs, module.LoadOptions{UnnumberedWeight: 1, GlobalHooksDir: k.globalHooks})
}

// newSections puts values below what the schemas and static values say, and
// config in the place of the ConfigMap.
func newSections(p Place, set *module.Set, vals, config values.Map) (*sections, error) {
	s := &sections{owner: p.Owner, schema: map[string]schema.Set{}}
	if p.Owner.IsStandalone() {
		if len(vals) > 0 || len(config) > 0 {
			return nil, fmt.Errorf("hooks without modules have no values: remove them, or say whose hook it is")
		}
		return s, nil
	}
	key := p.Owner.Section()
	for _, m := range []values.Map{vals, config} {
		for k, v := range m {
			if k != "global" && k != key {
				return nil, fmt.Errorf("values have the key %s: expected global%s", k, andKey(key))
			}
			if _, ok := v.(values.Map); !ok && v != nil {
				return nil, fmt.Errorf("values of %s should be an object, got %.60v", k, v)
			}
		}
	}
	part := func(m values.Map, k string) values.Map {
		section, _ := m[k].(values.Map)
		return section
	}
	mine := &module.Set{GlobalStatic: values.Merge(set.GlobalStatic, part(vals, "global")), GlobalSchema: set.GlobalSchema}
	s.schema["global"] = set.GlobalSchema
	if !p.Owner.IsGlobal() {
		s.desc = &module.Descriptor{Name: p.Owner.Module, Key: key}
		if found := set.Get(p.Owner.Module); found != nil {
			d := *found
			s.desc = &d
		}
		s.desc.Static = values.Merge(s.desc.Static, part(vals, key))
		s.schema[key] = s.desc.Schemas
		mine.Modules = []*module.Descriptor{s.desc}
	}
	var err error
	if s.store, err = store.New(mine, settings.Facts{}); err != nil {
		return nil, err
	}
	for _, k := range slices.Sorted(maps.Keys(config)) {
		o := s.owner
		if k == "global" {
			o = hook.Global
		}
		if err := s.configure(o, part(config, k)); err != nil {
			return nil, fmt.Errorf("settings: %w", err)
		}
	}
	return s, nil
}

func andKey(key string) string {
	if key == "global" {
		return ""
	}
	return " and " + key
}

func (s *sections) configure(o hook.Owner, section values.Map) error {
	s.rev++
	_, err := s.store.SetConfig(o, section, s.rev)
	return err
}

// view is the content of VALUES_PATH and CONFIG_VALUES_PATH (C-106).
func (s *sections) view() (vals, config values.Map) {
	if s.store == nil {
		return nil, nil
	}
	global := s.store.Section(hook.Global)
	g := global.Values.Clone()
	enabled, given := g["enabledModules"]
	if !given {
		enabled = []any{}
		if s.desc != nil {
			enabled = []any{s.desc.Name}
		}
	}
	if s.desc != nil && s.desc.Inputs != nil {
		g = values.Select(g, s.desc.Inputs)
	}
	if s.desc == nil || s.desc.Inputs == nil || slices.Contains(s.desc.Inputs, "enabledModules") {
		g["enabledModules"] = enabled
	}
	vals = values.Map{"global": g}
	config = values.Map{"global": settingsOf(global)}
	if s.desc != nil {
		own := s.store.Section(s.owner)
		vals[s.desc.Key], config[s.desc.Key] = own.Values.Clone(), settingsOf(own)
	}
	return vals, config
}

// settingsOf is null where the ConfigMap says nothing.
func settingsOf(s *store.Section) any {
	if !s.HasConfig {
		return nil
	}
	return s.ConfigValues.Clone()
}

// commit checks what a run asks for as the operator does, and puts it in force
// for the runs after it.
func (s *sections) commit(h hook.Hook, out hook.Output) (hook.Flags, error) {
	vals, flags, err := hook.Sort(h.Owner, out.Values)
	if err != nil {
		return nil, fmt.Errorf("VALUES_JSON_PATCH_PATH: %w", err)
	}
	config, more, err := hook.Sort(h.Owner, out.Config)
	if err != nil {
		return nil, fmt.Errorf("CONFIG_VALUES_JSON_PATCH_PATH: %w", err)
	}
	maps.Copy(flags, more)
	if len(vals) > 0 {
		if err := s.store.Check(h.ID, vals); err != nil {
			return nil, err
		}
	}
	if len(config) > 0 {
		if err := s.store.CheckConfig(h.Owner, config); err != nil {
			return nil, err
		}
		key := h.Owner.Section()
		doc, err := values.Apply(values.Map{key: s.store.Section(h.Owner).ConfigValues.Clone()}, config)
		if err != nil {
			return nil, err
		}
		section, _ := doc[key].(values.Map)
		if err := s.configure(h.Owner, section); err != nil {
			return nil, err
		}
	}
	if len(vals) > 0 {
		if _, err := s.store.Commit(h.ID, h.Digest, vals); err != nil {
			return nil, err
		}
	}
	return flags, nil
}

// masked blanks out the secret leaves of values or settings.
func (s *sections) masked(m values.Map) values.Map {
	out := maps.Clone(m)
	for key, set := range s.schema {
		if section, ok := out[key].(values.Map); ok {
			out[key] = set.MaskSecrets(section)
		}
	}
	return out
}

// maskedOps blanks out what operations write to secret leaves.
func (s *sections) maskedOps(ops []values.Op) []values.Op {
	out := slices.Clone(ops)
	for i, op := range out {
		path := values.Pointer(op.Path)
		set, ok := s.schema[path[0]]
		if !ok || op.Op != "add" || !set.IsSecret(strings.TrimPrefix(op.Path, "/"+path[0])) {
			continue
		}
		out[i].Value = maskAt(set, path[1:], op.Value)
	}
	return out
}

// maskAt masks v as it lies at path; what cannot be placed is masked whole.
func maskAt(set schema.Set, path []string, v any) any {
	doc := v
	for _, key := range slices.Backward(path) {
		doc = values.Map{key: doc}
	}
	section, ok := doc.(values.Map)
	if !ok {
		return schema.Masked
	}
	found, ok := values.Get(set.MaskSecrets(section), path...)
	if text, err := compact(v); !ok || err == nil && sameText(found, text) {
		return schema.Masked
	}
	return found
}

func sameText(v any, text []byte) bool {
	other, err := compact(v)
	return err == nil && string(other) == string(text)
}
