package module

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// common is the values.yaml of a directory of modules (C-295).
type common struct {
	path     string
	global   values.Map
	sections map[string]any
	flags    map[string]bool
}

// readCommon reads a common values file; an absent one is empty. A flag that is
// no boolean is an error of the whole file (C-297): guessing would switch a
// module on or off.
func readCommon(path string) (*common, error) {
	c := &common{path: path, global: values.Map{}, sections: map[string]any{}, flags: map[string]bool{}}
	doc, err := readMap(path)
	if err != nil {
		return nil, err
	}
	for key, v := range doc {
		if name, ok := strings.CutSuffix(key, "Enabled"); ok && name != "" {
			if on, isBool := v.(bool); isBool {
				c.flags[name] = on
				continue
			}
			// An object may be the section of a module whose name ends in -enabled.
			if _, isMap := v.(values.Map); !isMap {
				return nil, notBool(path, key, v)
			}
		}
		c.sections[key] = v
	}
	delete(c.sections, "global")
	switch g := doc["global"].(type) {
	case values.Map:
		c.global = g
	case nil:
	default:
		return nil, fmt.Errorf("%s: key global: expected an object, got %v", path, g)
	}
	return c, nil
}

func notBool(path, key string, v any) error {
	return fmt.Errorf("%s: key %s: expected true or false without quotes, got %v", path, key, v)
}

// readMap reads a YAML file whose root is an object; absent or empty is an empty one.
func readMap(path string) (values.Map, error) {
	text, err := readOptional(path)
	if err != nil {
		return nil, err
	}
	doc, err := values.DecodeYAML(text)
	if err != nil {
		return nil, fmt.Errorf("%s: expected YAML: %w", path, err)
	}
	switch m := doc.(type) {
	case values.Map:
		return m, nil
	case nil:
		return values.Map{}, nil
	}
	return nil, fmt.Errorf("%s: expected an object at the root, got %T", path, doc)
}

// static merges the global values and flags of all directories, later ones over
// earlier ones, and warns of sections that nobody reads.
func static(set *Set, commons []*common, found []candidate) (map[string]bool, error) {
	owners := map[*common]map[string]bool{}
	known := map[string]bool{}
	for _, c := range found {
		if owners[c.common] == nil {
			owners[c.common] = map[string]bool{}
		}
		owners[c.common][values.Key(c.name)] = true
		known[values.Key(c.name)] = true
	}
	for name := range set.Broken {
		known[values.Key(name)] = true
	}
	flags := map[string]bool{}
	for _, c := range commons {
		set.GlobalStatic = values.Merge(set.GlobalStatic, c.global)
		maps.Copy(flags, c.flags)
		for _, key := range slices.Sorted(maps.Keys(c.sections)) {
			if !known[key] && strings.HasSuffix(key, "Enabled") {
				return nil, notBool(c.path, key, c.sections[key])
			}
			if !owners[c][key] && !known[key] {
				set.warn("%s: key %s belongs to no module", c.path, key)
			} else if !owners[c][key] {
				set.warn("%s: key %s is not read: its module lies in another directory", c.path, key)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(c.flags)) {
			if !known[key] {
				set.warn("%s: key %sEnabled belongs to no module", c.path, key)
			}
		}
	}
	return flags, nil
}

// ownStatic lays the module's own values.yaml over its common section (C-295).
func ownStatic(c candidate, key, path string, present bool, m *Descriptor) (values.Map, error) {
	base, err := section(c.common.sections[key], c.common.path, key)
	if err != nil || !present {
		return base, err
	}
	doc, err := readMap(path)
	if err != nil {
		return nil, err
	}
	own, ok := doc[key]
	if !ok && len(doc) > 0 {
		return nil, fmt.Errorf("%s: expected the key %s with the module's values, found %s",
			path, key, strings.Join(slices.Sorted(maps.Keys(doc)), ", "))
	}
	for _, k := range slices.Sorted(maps.Keys(doc)) {
		switch k {
		case key:
		case key + "Enabled":
			m.warn("%s: %s has no effect here; put it into %s (C-296)", path, k, c.common.path)
		default:
			m.warn("%s: key %s is not read, only %s is", path, k, key)
		}
	}
	over, err := section(own, path, key)
	if err != nil {
		return nil, err
	}
	return values.Merge(base, over), nil
}

func section(v any, path, key string) (values.Map, error) {
	switch m := v.(type) {
	case values.Map:
		return m, nil
	case nil:
		return values.Map{}, nil
	}
	return nil, fmt.Errorf("%s: key %s: expected an object, got %T", path, key, v)
}

func (d *Descriptor) warn(format string, args ...any) {
	d.Warnings = append(d.Warnings, fmt.Sprintf(format, args...))
}
