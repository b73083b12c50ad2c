package schema

import (
	"regexp"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Default returns a copy of section with the defaults of absent keys filled in,
// also inside objects and arrays, and inside objects that come from a default
// themselves (C-314). A key that is present, if only as null, keeps its value.
func (s *Schema) Default(section values.Map) values.Map {
	out, _ := values.Clone(section).(values.Map)
	if out == nil {
		out = values.Map{}
	}
	if s != nil {
		fill(s.doc, out)
	}
	return out
}

// fill changes v, which nobody else holds.
func fill(node values.Map, v any) {
	switch v := v.(type) {
	case values.Map:
		fillObject(node, v)
	case []any:
		fillArray(node, v)
	}
	parts, _ := node["allOf"].([]any)
	for _, p := range parts {
		if sub, ok := p.(values.Map); ok {
			fill(sub, v)
		}
	}
}

func fillObject(node, v values.Map) {
	props, _ := node["properties"].(values.Map)
	for name, p := range props {
		sub, _ := p.(values.Map)
		def, has := sub["default"]
		if _, present := v[name]; !present && has {
			v[name] = values.Clone(def)
		}
	}
	for name, e := range v {
		for _, sub := range schemasOf(node, name) {
			fill(sub, e)
		}
	}
}

func fillArray(node values.Map, v []any) {
	switch items := node["items"].(type) {
	case values.Map:
		for _, e := range v {
			fill(items, e)
		}
	case []any:
		for i, e := range v {
			if i < len(items) {
				if sub, ok := items[i].(values.Map); ok {
					fill(sub, e)
				}
			}
		}
	}
}

// schemasOf returns the schemas that apply to a key of an object: that of the
// property, those of matching patterns, else that of additional properties.
func schemasOf(node values.Map, key string) []values.Map {
	var out []values.Map
	props, _ := node["properties"].(values.Map)
	if sub, ok := props[key].(values.Map); ok {
		out = append(out, sub)
	}
	patterns, _ := node["patternProperties"].(values.Map)
	for p, sub := range patterns {
		// Patterns were compiled by check; one that does not compile matches nothing.
		if ok, err := regexp.MatchString(p, key); ok && err == nil {
			if sub, ok := sub.(values.Map); ok {
				out = append(out, sub)
			}
		}
	}
	if len(out) == 0 {
		if sub, ok := node["additionalProperties"].(values.Map); ok {
			out = append(out, sub)
		}
	}
	return out
}
