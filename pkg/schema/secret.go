package schema

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/redact"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Masked stands where a secret value was.
const Masked = redact.Masked

// secret is what schemas say about secret leaves (x-secret: true), as a tree
// that follows the values. Nil has none.
type secret struct {
	leaf     bool
	props    map[string]*secret
	patterns map[string]*secret
	rest     *secret // additional properties
	items    *secret
}

// secrets merges the secret leaves of several schemas of one section.
func secrets(schemas ...*Schema) *secret {
	var out *secret
	for _, s := range schemas {
		if s != nil {
			out = out.with(secretsOf(s.doc))
		}
	}
	return out
}

func secretsOf(node values.Map) *secret {
	out := &secret{leaf: node[extSecret] == true, props: map[string]*secret{}, patterns: map[string]*secret{}}
	_ = eachChild(node, func(c child) error {
		sub := secretsOf(c.node)
		if sub == nil {
			return nil
		}
		switch c.where[0] {
		case "properties":
			out.props[c.where[1]] = sub
		case "patternProperties":
			out.patterns[c.where[1]] = sub
		case "additionalProperties":
			out.rest = sub
		case "items", "additionalItems":
			out.items = out.items.with(sub)
		case "allOf", "anyOf", "oneOf":
			out = out.with(sub)
		}
		return nil
	})
	if !out.leaf && len(out.props) == 0 && len(out.patterns) == 0 && out.rest == nil && out.items == nil {
		return nil
	}
	return out
}

func (s *secret) with(other *secret) *secret {
	if s == nil || other == nil {
		if s == nil {
			return other
		}
		return s
	}
	out := &secret{leaf: s.leaf || other.leaf, props: maps.Clone(s.props), patterns: maps.Clone(s.patterns),
		rest: s.rest.with(other.rest), items: s.items.with(other.items)}
	for name, sub := range other.props {
		out.props[name] = out.props[name].with(sub)
	}
	for p, sub := range other.patterns {
		out.patterns[p] = out.patterns[p].with(sub)
	}
	return out
}

// key is what applies to a key of an object. A key may be a property in one
// schema and additional in another, so all that could apply is taken.
func (s *secret) key(name string) *secret {
	if s == nil {
		return nil
	}
	out := s.props[name].with(s.rest)
	for p, sub := range s.patterns {
		if ok, err := regexp.MatchString(p, name); ok && err == nil {
			out = out.with(sub)
		}
	}
	return out
}

// SecretPaths are the dotted paths of the secret leaves, sorted; "*" stands for
// any key or index.
func (s Set) SecretPaths() []string {
	var out []string
	s.secrets.list(nil, &out)
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *secret) list(at []string, out *[]string) {
	if s == nil {
		return
	}
	if s.leaf {
		*out = append(*out, strings.Join(at, "."))
		return
	}
	below := func(name string, sub *secret) { sub.list(append(slices.Clone(at), name), out) }
	for name, sub := range s.props {
		below(name, sub)
	}
	for _, sub := range s.patterns {
		below("*", sub)
	}
	below("*", s.rest)
	below("*", s.items)
}

// SplitSecrets returns section without its secret leaves, and these alone with
// the objects above them; secret is nil if there are none. values.Merge(public,
// secret) is the section again. An array with a secret leaf in it is secret as a
// whole: a position is no identity, so its parts could not be put back together
// after the user moved an item. Neither argument nor results share what a
// caller might change.
func (s Set) SplitSecrets(section values.Map) (public, secret values.Map) {
	p, sec, _ := s.secrets.split(section)
	public, _ = p.(values.Map)
	secret, _ = sec.(values.Map)
	if public == nil {
		public = values.Map{}
	}
	if len(secret) == 0 {
		secret = nil
	}
	return public, secret
}

// split returns nil for a part that has nothing; keep is false if no public part remains.
func (s *secret) split(v any) (public, hidden any, keep bool) {
	if s == nil {
		return values.Clone(v), nil, true
	}
	if s.leaf {
		return nil, values.Clone(v), false
	}
	switch v := v.(type) {
	case values.Map:
		open, shut := values.Map{}, values.Map{}
		for name, e := range v {
			p, h, ok := s.key(name).split(e)
			if ok {
				open[name] = p
			}
			if h != nil || !ok {
				shut[name] = h
			}
		}
		if len(shut) == 0 {
			return open, nil, true
		}
		return open, shut, true
	case []any:
		for _, e := range v {
			if _, h, ok := s.items.split(e); h != nil || !ok {
				return nil, values.Clone(v), false
			}
		}
	}
	return values.Clone(v), nil, true
}

// MergeSecrets puts together what SplitSecrets took apart. Where both have a
// value, that of public wins: it is what the user wrote into the ConfigMap.
func MergeSecrets(public, secret values.Map) values.Map {
	return values.Merge(secret, public)
}

// MaskSecrets returns a copy for people to read, with Masked in place of every secret leaf.
func (s Set) MaskSecrets(section values.Map) values.Map {
	out, _ := s.secrets.mask(section).(values.Map)
	if out == nil {
		out = values.Map{}
	}
	return out
}

func (s *secret) mask(v any) any {
	if s == nil || v == nil {
		return values.Clone(v)
	}
	if s.leaf {
		return Masked
	}
	switch v := v.(type) {
	case values.Map:
		out := make(values.Map, len(v))
		for name, e := range v {
			out[name] = s.key(name).mask(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = s.items.mask(e)
		}
		return out
	}
	return v
}

// IsSecret says whether a JSON pointer below the section ("/auth/password", ""
// for the section itself) is at, above or below a secret leaf.
func (s Set) IsSecret(pointer string) bool {
	at := s.secrets
	if pointer == "" || pointer == "/" {
		return at != nil
	}
	for _, name := range values.Pointer(pointer) {
		if at == nil || at.leaf {
			break
		}
		// Whether it is an index or a key, the values decide; both are asked.
		at = at.key(name).with(at.items)
	}
	return at != nil
}
