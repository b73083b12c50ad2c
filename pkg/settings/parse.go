package settings

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// NoResourceReconciliation is the one maintenance mode of a module (C-355).
const NoResourceReconciliation = "NoResourceReconciliation"

const globalKey = "global"

// Parse reads the data of the ConfigMap and lays it over the secret leaves by
// section (C-370 … C-376). Where both have a leaf, the ConfigMap's wins: the user
// wrote it after the operator moved the last one away.
//
// A key that cannot be used becomes a Problem and keeps the value it has in
// previous; other keys go on. Whether a key belongs to a module that exists is
// not looked at.
func Parse(data map[string]string, secret map[string]values.Map, previous Settings) Settings {
	s := Settings{Exists: true, Sections: map[string]values.Map{}, Enabled: map[string]bool{}, Maintenance: map[string]string{}}
	bad := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if err := s.add(key, data[key]); err != nil {
			s.Problems = append(s.Problems, Problem{Key: key, Message: err.Error()})
			s.keep(key, previous)
			bad[key] = true
		}
	}
	for key, leaves := range secret {
		if !bad[key] && len(leaves) > 0 {
			s.Sections[key] = values.Merge(leaves, s.Sections[key])
		}
	}
	return s
}

// add reads one key. The type of the value decides what it is: an object is a
// section, a scalar a setting of the module before the suffix. Empty text is a section, too, under a key that
// would choose a version.
func (s *Settings) add(key, text string) error {
	base, suffix := values.CutSetting(key)
	if suffix != "" {
		if err := checkKey(base); err != nil {
			return err
		}
		v, err := values.DecodeYAML([]byte(text))
		if m, ok := v.(values.Map); ok && err == nil {
			s.Sections[key] = m
			return nil
		}
		if isChoice(suffix) {
			return s.choice(base, suffix, key, text)
		}
		return s.setting(base, suffix, key, text)
	}
	if err := checkKey(key); err != nil {
		return err
	}
	m, err := section(key, text)
	if err != nil {
		return err
	}
	s.Sections[key] = m
	return nil
}

const valuesFrom = "ValuesFrom"

// SectionOf is the section that a key of the ConfigMap is about.
func SectionOf(key string) string {
	base, _ := values.CutSetting(key)
	return base
}

func checkKey(key string) error {
	if err := values.CheckKey(key); err != nil {
		return fmt.Errorf("bad module name %q: should be camelCased: %w; rename the key or remove it", values.Name(key), err)
	}
	return nil
}

func (s *Settings) setting(base, suffix, key, text string) error {
	switch suffix {
	case "Enabled":
		if text != "true" && text != "false" {
			return fmt.Errorf(`expected exactly "true" or "false", got %q; correct the value or remove the key`, brief(text))
		}
		s.Enabled[base] = text == "true"
	case "Maintenance":
		switch text {
		case "":
		case NoResourceReconciliation, strings.ToLower(NoResourceReconciliation):
			s.Maintenance[base] = NoResourceReconciliation
		default:
			return fmt.Errorf("expected %s or no text, got %q; correct the value or remove %s", NoResourceReconciliation, brief(text), key)
		}
	case "PausedUntil":
		return s.pause(base, key, text)
	case valuesFrom:
		sources, err := ParseSources(text)
		if err != nil {
			return err
		}
		s.from(base, sources)
	}
	return nil
}

// pause reads the end of a pause; no text is none. An end in the past is allowed: it
// is what every pause becomes.
func (s *Settings) pause(base, key, text string) error {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	if base == globalKey {
		return fmt.Errorf("only modules can be paused, one by one; remove %s", key)
	}
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("expected a time of RFC 3339 such as 2026-11-23T10:00:00Z, got %q; correct the value or remove %s", brief(text), key)
	}
	s.pauseUntil(base, until)
	return nil
}

func (s *Settings) pauseUntil(base string, until time.Time) {
	if s.PausedUntil == nil {
		s.PausedUntil = map[string]time.Time{}
	}
	s.PausedUntil[base] = until
}

func (s *Settings) from(base string, sources []ValuesSource) {
	if s.ValuesFrom == nil {
		s.ValuesFrom = map[string][]ValuesSource{}
	}
	s.ValuesFrom[base] = sources
}

func section(key, text string) (values.Map, error) {
	v, err := values.DecodeYAML([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("expected YAML: %s; correct the text", unquoted(err))
	}
	switch m := v.(type) {
	case values.Map:
		return m, nil
	case nil:
		return values.Map{}, nil
	case bool:
		if key != globalKey {
			return nil, fmt.Errorf("expected an object with the values of the module, got %v; to switch it on or off, write %sEnabled: %q",
				m, key, fmt.Sprint(m))
		}
	}
	return nil, fmt.Errorf("expected an object such as {name: value}, got %s; correct the text", kind(v))
}

func kind(v any) string {
	switch v.(type) {
	case []any:
		return "a list"
	case string:
		return "text"
	case values.Map:
		return "an object"
	case nil:
		return "nothing"
	}
	return fmt.Sprint(v)
}

// unquoted is an error of the YAML parser without what it quotes of the text, for
// that may be secret.
func unquoted(err error) string {
	return regexp.MustCompile("'[^']*'|`[^`]*`|\"[^\"]*\"").ReplaceAllStringFunc(err.Error(), func(quote string) string {
		if len(quote) <= len("':'") { // a character that the parser expected
			return quote
		}
		return "…"
	})
}

func brief(text string) string {
	if r := []rune(text); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return text
}

// keep takes over the last valid value of a key that cannot be used now.
func (s *Settings) keep(key string, previous Settings) {
	if m, ok := previous.Sections[key]; ok {
		s.Sections[key] = m
	}
	base, suffix := values.CutSetting(key)
	s.keepChoice(base, suffix, previous)
	switch suffix {
	case "Enabled":
		if on, ok := previous.Enabled[base]; ok {
			s.Enabled[base] = on
		}
	case "Maintenance":
		if mode, ok := previous.Maintenance[base]; ok {
			s.Maintenance[base] = mode
		}
	case "PausedUntil":
		if until, ok := previous.PausedUntil[base]; ok {
			s.pauseUntil(base, until)
		}
	case valuesFrom:
		if sources, ok := previous.ValuesFrom[base]; ok {
			s.from(base, sources)
		}
	}
}

// Equal says whether two readings mean the same, problems included.
func Equal(a, b Settings) bool {
	return a.Exists == b.Exists && len(Changed(a, b)) == 0 && slices.Equal(a.Problems, b.Problems) && slices.Equal(a.Exposed, b.Exposed)
}

// Changed returns the keys of the ConfigMap whose values differ, sorted.
func Changed(a, b Settings) []string {
	out := differing(a.Sections, b.Sections, "", func(x, y values.Map) bool { return reflect.DeepEqual(x, y) })
	out = append(out, differing(a.Enabled, b.Enabled, "Enabled", func(x, y bool) bool { return x == y })...)
	out = append(out, differing(a.Maintenance, b.Maintenance, "Maintenance", func(x, y string) bool { return x == y })...)
	out = append(out, differing(a.PausedUntil, b.PausedUntil, "PausedUntil", time.Time.Equal)...)
	out = append(out, differing(a.ValuesFrom, b.ValuesFrom, valuesFrom, slices.Equal)...)
	out = append(out, differingChoices(a.Choices, b.Choices)...)
	out = append(out, differing(a.Sourced, b.Sourced, valuesFrom, func(x, y []Sourced) bool { return reflect.DeepEqual(x, y) })...)
	slices.Sort(out)
	return slices.Compact(out)
}

func differingChoices(a, b map[string]source.Choice) []string {
	var out []string
	for _, suffix := range choices() {
		field := func(in map[string]source.Choice) map[string]string {
			all := map[string]string{}
			for key, c := range in {
				if text := *choiceField(&c, suffix); text != "" {
					all[key] = text
				}
			}
			return all
		}
		out = append(out, differing(field(a), field(b), suffix, func(x, y string) bool { return x == y })...)
	}
	return out
}

func differing[V any](a, b map[string]V, suffix string, equal func(x, y V) bool) []string {
	var out []string
	for key, x := range a {
		if y, ok := b[key]; !ok || !equal(x, y) {
			out = append(out, key+suffix)
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			out = append(out, key+suffix)
		}
	}
	return out
}
