package schema

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Hide returns the set with every leaf of section as a secret leaf too, whatever
// the schemas say: it came from a Secret. Lists are secret as a whole.
func (s Set) Hide(section values.Map) Set {
	s.secrets = s.secrets.with(secretLeaves(section))
	s.Config, s.Values, s.Helm = s.Config.hiding(s.secrets), s.Values.hiding(s.secrets), s.Helm.hiding(s.secrets)
	return s
}

// hiding is the schema with messages that show no value of these leaves.
func (s *Schema) hiding(hidden *secret) *Schema {
	if s == nil {
		return nil
	}
	out := *s
	out.hidden = hidden
	return &out
}

// secretLeaves is a tree in which every leaf of a section is secret.
func secretLeaves(section values.Map) *secret {
	if len(section) == 0 {
		return nil
	}
	out := &secret{props: map[string]*secret{}}
	for name, v := range section {
		if below, ok := v.(values.Map); ok && len(below) > 0 {
			out.props[name] = secretLeaves(below)
			continue
		}
		out.props[name] = &secret{leaf: true}
	}
	return out
}

// Secrets are the values at the secret leaves of a section, and nothing else.
func (s Set) Secrets(section values.Map) []any { return s.secrets.collect(section, nil) }

// SecretsAt are the secret values in what is to stand at a JSON pointer below the section.
func (s Set) SecretsAt(pointer string, v any) []any {
	at := s.secrets
	if pointer != "" && pointer != "/" {
		for _, name := range values.Pointer(pointer) {
			if at == nil || at.leaf {
				break
			}
			at = at.key(name).with(at.items)
		}
	}
	return at.collect(v, nil)
}

func (s *secret) collect(v any, out []any) []any {
	if s == nil || v == nil {
		return out
	}
	if s.leaf {
		return append(out, v)
	}
	switch v := v.(type) {
	case values.Map:
		for name, e := range v {
			out = s.key(name).collect(e, out)
		}
	case []any:
		for _, e := range v {
			out = s.items.collect(e, out)
		}
	}
	return out
}

// maxShown is how much of a value a message repeats, in characters.
const maxShown = 40

// shown is what to say about the value at a place that the validator names, such
// as "prometheus.list[0].size": nothing if it is secret, or holds others.
func shown(v any, hidden *secret, at, name string) string {
	if hidden != nil && hidden.leaf {
		return ""
	}
	if at == name {
		return brief(v)
	}
	switch v := v.(type) {
	case values.Map:
		for key, e := range v {
			if below := at + "." + key; reaches(below, name) {
				if text := shown(e, hidden.key(key), below, name); text != "" {
					return text
				}
			}
		}
	case []any:
		for i, e := range v {
			if below := fmt.Sprintf("%s[%d]", at, i); reaches(below, name) {
				var items *secret
				if hidden != nil {
					items = hidden.items
				}
				return shown(e, items, below, name)
			}
		}
	}
	return ""
}

// reaches says that a place is at or above the one of a name.
func reaches(at, name string) bool {
	rest, ok := strings.CutPrefix(name, at)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// brief is a scalar as a message repeats it.
func brief(v any) string {
	switch v.(type) {
	case values.Map, []any:
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	if r := []rune(string(text)); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return string(text)
}
