package settings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Kinds of objects that values may come from.
const (
	KindSecret    = "Secret"
	KindConfigMap = "ConfigMap"
)

// DefaultSourceKey is the key of an object's data when a source names none.
const DefaultSourceKey = "values.yaml"

const maxSources = 64

// Sourced is what one source gave.
type Sourced struct {
	Source ValuesSource
	Values values.Map
}

// String is the source as messages and people call it.
func (v ValuesSource) String() string {
	text := fmt.Sprintf("%s %s, key %s", v.Kind, v.Name, v.Key)
	if v.TargetPath != "" {
		text += " at " + v.TargetPath
	}
	return text
}

// ParseSources reads the text of `<camel>ValuesFrom`: a YAML list of objects with
// kind, name, key, targetPath and optional. Empty text is no source.
func ParseSources(text string) ([]ValuesSource, error) {
	v, err := values.DecodeYAML([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("expected a YAML list of sources: %s; correct the text", unquoted(err))
	}
	list, ok := v.([]any)
	if v != nil && !ok {
		return nil, fmt.Errorf("expected a list such as [{kind: Secret, name: db}], got %s; correct the text", kind(v))
	}
	if len(list) > maxSources {
		return nil, fmt.Errorf("expected at most %d sources, got %d", maxSources, len(list))
	}
	var out []ValuesSource
	for i, e := range list {
		s, err := parseSource(e)
		if err != nil {
			return nil, fmt.Errorf("source %d: %w; correct it or remove it", i+1, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func parseSource(v any) (ValuesSource, error) {
	m, ok := v.(values.Map)
	if !ok {
		return ValuesSource{}, fmt.Errorf("expected an object such as {kind: Secret, name: db}, got %s", kind(v))
	}
	var s ValuesSource
	texts := map[string]*string{"kind": &s.Kind, "name": &s.Name, "key": &s.Key, "targetPath": &s.TargetPath}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name == "optional" {
			if s.Optional, ok = m[name].(bool); !ok {
				return s, fmt.Errorf("optional: expected true or false, got %s", kind(m[name]))
			}
			continue
		}
		field, known := texts[name]
		if !known {
			return s, fmt.Errorf("unknown field %q: use kind, name, key, targetPath and optional", brief(name))
		}
		if *field, ok = m[name].(string); !ok {
			return s, fmt.Errorf("%s: expected text, got %s", name, kind(m[name]))
		}
	}
	s.Key = cmp.Or(s.Key, DefaultSourceKey)
	return s, s.check()
}

func (v ValuesSource) check() error {
	var (
		object = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`) // RFC 1123 subdomain
		key    = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)
	)
	switch {
	case v.Kind != KindSecret && v.Kind != KindConfigMap:
		return fmt.Errorf("kind: expected Secret or ConfigMap, got %q", brief(v.Kind))
	case !object.MatchString(v.Name):
		return fmt.Errorf("name: expected the name of a %s, got %q", v.Kind, brief(v.Name))
	case !key.MatchString(v.Key):
		return fmt.Errorf("key: expected a key of the %s's data, got %q", v.Kind, brief(v.Key))
	case v.TargetPath != "" && slices.Contains(strings.Split(v.TargetPath, "."), ""):
		return fmt.Errorf("targetPath: expected a dotted path such as auth.password, got %q", brief(v.TargetPath))
	case strings.Count(v.TargetPath, ".") >= maxDepth:
		return fmt.Errorf("targetPath: expected at most %d elements", maxDepth)
	}
	return nil
}

// maxDepth of a targetPath.
const maxDepth = 32

// Layer is what the text of a source's key gives to the section. Errors repeat
// nothing of a text that may be secret.
func (v ValuesSource) Layer(text string) (values.Map, error) {
	if v.TargetPath != "" {
		return nest(strings.Split(v.TargetPath, "."), text), nil
	}
	switch m, err := values.DecodeYAML([]byte(text)); m := m.(type) {
	case values.Map:
		return m, nil
	case nil:
		if err == nil {
			return values.Map{}, nil
		}
	}
	return nil, errors.New("expected the text to be a YAML object with values of the section; correct it, or say with targetPath whose value it is")
}

func nest(path []string, v any) values.Map {
	if len(path) == 1 {
		return values.Map{path[0]: v}
	}
	return values.Map{path[0]: nest(path[1:], v)}
}

// Lay puts what sources give beneath the sections. read returns what a source gives
// now, or why it gives nothing; a nil map is a source that is optional and absent.
//
// A source that cannot be read becomes a Problem of `<camel>ValuesFrom`, and what
// was last in force of it stays so: its own last values, or, if it is new, the
// former sources. Where nothing was in force in this process the section is unusable.
func (s *Settings) Lay(read func(ValuesSource) (values.Map, error), previous Settings) {
	for _, p := range s.Problems { // of lists that cannot be read, and there was none before
		if base, suffix := values.CutSetting(p.Key); suffix == valuesFrom && s.ValuesFrom[base] == nil && !was(previous, base) {
			s.unusable(base)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.ValuesFrom)) {
		s.lay(key, read, previous)
	}
	for key := range previous.Sourced {
		if s.bad(key) && s.Sections[key] != nil { // a section that cannot be read keeps all it had
			s.setSourced(key, previous.Sourced[key])
		}
	}
	for key, layers := range s.Sourced {
		if !s.bad(key) {
			s.Sections[key] = values.Merge(Merged(layers), s.Sections[key])
		}
	}
}

// was says that the section was usable in an earlier reading.
func was(previous Settings, key string) bool { return previous.Revision > 0 && !previous.Unusable[key] }

func (s *Settings) lay(key string, read func(ValuesSource) (values.Map, error), previous Settings) {
	layers := []Sourced{}
	for _, source := range s.ValuesFrom[key] {
		v, err := read(source)
		if err == nil {
			if v != nil {
				layers = append(layers, Sourced{source, v})
			}
			continue
		}
		s.Problems = append(s.Problems, Problem{Key: key + valuesFrom, Message: fmt.Sprintf("%s: %v", source, err)})
		i := slices.IndexFunc(previous.Sourced[key], func(old Sourced) bool { return old.Source == source })
		switch {
		case i >= 0:
			layers = append(layers, previous.Sourced[key][i])
		case was(previous, key):
			s.setSourced(key, previous.Sourced[key])
			return
		default:
			s.unusable(key)
			return
		}
	}
	s.setSourced(key, layers)
}

func (s *Settings) setSourced(key string, layers []Sourced) {
	if s.Sourced == nil {
		s.Sourced = map[string][]Sourced{}
	}
	if len(layers) == 0 {
		delete(s.Sourced, key)
		return
	}
	s.Sourced[key] = layers
}

func (s *Settings) unusable(key string) {
	if s.Unusable == nil {
		s.Unusable = map[string]bool{}
	}
	s.Unusable[key] = true
	delete(s.Sections, key)
	delete(s.Sourced, key)
}

func (s *Settings) bad(key string) bool {
	return slices.ContainsFunc(s.Problems, func(p Problem) bool { return p.Key == key })
}

// Merged is what layers give together, later ones over earlier ones.
func Merged(layers []Sourced) values.Map {
	var out values.Map
	for _, l := range layers {
		out = values.Merge(out, l.Values)
	}
	return out
}

// Known is what a source gave to this reading, for another one that is made without
// reading objects anew. The error is of a source that this reading does not have.
func (s Settings) Known(source ValuesSource) (values.Map, error) {
	for _, layers := range s.Sourced {
		for _, l := range layers {
			if l.Source == source {
				return l.Values, nil
			}
		}
	}
	if source.Optional {
		return nil, nil
	}
	return nil, errors.New("it was not read yet")
}

// FromSecrets is the part of a section that came from Secrets; every leaf in it counts as secret.
func (s Settings) FromSecrets(key string) values.Map {
	return Merged(slices.DeleteFunc(slices.Clone(s.Sourced[key]), func(l Sourced) bool { return l.Source.Kind != KindSecret }))
}

// Own is what of a section has to be written into it: all that was there, and what
// differs from the values that sources give. It is an error to leave out what comes
// from a source, for that would have no effect.
func Own(want, had, from values.Map) (values.Map, error) {
	return own("", want, had, from)
}

func own(at string, want, had, from values.Map) (values.Map, error) {
	for key := range from {
		if _, ok := want[key]; !ok {
			return nil, fmt.Errorf("%s%s comes from an object that valuesFrom names, and cannot be removed here: overwrite it, or remove it there", at, key)
		}
	}
	out := make(values.Map, len(want))
	for key, v := range want {
		given, isGiven := from[key]
		old, wasThere := had[key]
		if below, ok := v.(values.Map); ok {
			if layer, ok := given.(values.Map); ok {
				before, _ := old.(values.Map)
				sub, err := own(at+key+".", below, before, layer)
				if err != nil {
					return nil, err
				}
				if len(sub) > 0 || wasThere {
					out[key] = sub
				}
				continue
			}
		}
		if !isGiven || wasThere || !same(given, v) {
			out[key] = v
		}
	}
	return out, nil
}
