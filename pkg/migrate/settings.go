package migrate

import (
	"fmt"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

const global = "global"

// settingsMap judges the user's ConfigMap (section 9 of the contract).
func settingsMap(f Facts) []Finding {
	object := fmt.Sprintf("ConfigMap %s/%s", f.Namespace, f.ConfigMap)
	if f.Settings == nil {
		return []Finding{{Differs, object, "does not exist: while releases of the predecessor are there, that switches no module off (C-377)", ""}}
	}
	var out []Finding
	parsed := settings.Parse(f.Settings, nil, settings.Settings{})
	for _, p := range parsed.Problems {
		out = append(out, Finding{Change, object + ", key " + p.Key,
			p.Message + "; the predecessor refuses the whole ConfigMap for it, here it concerns this key alone (C-375)", "correct the key, or remove it"})
	}
	if f.Modules == nil {
		return out
	}
	for _, key := range sortedKeys(parsed.Sections) {
		out = append(out, section(f.Modules, object, key, parsed.Sections[key])...)
	}
	for _, key := range sortedKeys(parsed.Enabled) {
		if byKey(f.Modules, key) == nil && !broken(f.Modules, key) {
			out = append(out, Finding{Differs, object + ", key " + key + "Enabled", "is of no module in the directories and has no effect", ""})
		}
	}
	return out
}

// section judges the values of one module, or the global ones.
func section(set *module.Set, object, key string, v values.Map) []Finding {
	object += ", key " + key
	schemas := &set.GlobalSchema
	if key != global {
		m := byKey(set, key)
		if m == nil {
			if broken(set, key) {
				return nil
			}
			return []Finding{{Differs, object, "is of no module in the directories and has no effect (C-374)", ""}}
		}
		schemas = &m.Schemas
	}
	var out []Finding
	if err := validate(schemas.Config, key, v); err != nil {
		out = append(out, Finding{Change, object, err.Error() + "; the module keeps what it has until this is corrected (C-376)", "correct the values, or the schema"})
	}
	if _, secret := schemas.SplitSecrets(v); len(secret) > 0 {
		out = append(out, Finding{Takes, object, "secret leaves of the schema (x-secret) are moved into the Secret addon-operator-values", ""})
	}
	return out
}

// validate is nil for values that the operator would accept.
func validate(s *schema.Schema, key string, v values.Map) error {
	if s == nil || len(v) == 0 {
		return nil
	}
	return s.Validate(s.Default(v), key)
}

func byKey(set *module.Set, key string) *module.Descriptor {
	for _, m := range set.Modules {
		if m.Key == key {
			return m
		}
	}
	return nil
}

func broken(set *module.Set, key string) bool {
	_, ok := set.Broken[values.Name(key)]
	return ok
}
