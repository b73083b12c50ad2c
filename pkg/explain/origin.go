package explain

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Names of the layers of a section (C-298), lowest first. Hooks are HookPrefix and
// their name.
const (
	FromStatic         = "values.yaml"
	FromConfigDefault  = "default in openapi/config-values.yaml"
	FromConfig         = "ConfigMap"
	FromValuesDefault  = "default in openapi/values.yaml"
	HookPrefix         = "hook "
	FromOverride       = "global.discoveryOverride"
	FromOperator       = "operator"
	provisionalComment = " (in an earlier process)"
)

// FromHook names a hook as the origin of a value; provisional: it wrote it before
// this process began and has not spoken since.
func FromHook(name string, provisional bool) string {
	if provisional {
		return HookPrefix + name + provisionalComment
	}
	return HookPrefix + name
}

// Step is one layer, or a part of one, as it is laid on the section.
type Step struct {
	// From names the layer or hook.
	From string
	// After is the whole section once the step is laid on it.
	After values.Map
	// Set is what an overlay contains: a leaf in it counts as set by the step even
	// if the value was the same before.
	Set values.Map
	// Wrote are JSON pointers below the section that a hook added at; they count
	// likewise, with all that is below them.
	Wrote []string
}

// Voice is one layer that had a say in a leaf.
type Voice struct {
	From  string `json:"from"`
	Value any    `json:"value,omitempty"`
	// Removed: the step took the leaf away.
	Removed bool `json:"removed,omitempty"`
}

// Origin is one leaf of an effective section and who set it. Values of secret
// leaves are schema.Masked.
type Origin struct {
	// Path is dotted; a key with a dot in it stands as ["the.key"].
	Path  string `json:"path"`
	Value any    `json:"value"`
	From  string `json:"from"`
	// Over are the voices that From replaced, the newest first.
	Over []Voice `json:"over,omitempty"`
}

// Origins says for every leaf of the last step which step set it. A leaf is
// anything but a non-empty object: lists are leaves as a whole. secret tells of a
// JSON pointer below the section whether its value must not be shown; nil: none.
// The result is sorted by path.
func Origins(steps []Step, secret func(pointer string) bool) []Origin {
	history := map[string][]Voice{}
	before := map[string]leaf{}
	for _, s := range steps {
		after := leavesOf(s.After)
		set := leavesOf(s.Set)
		for p, l := range after {
			old, had := before[p]
			_, named := set[p]
			if had && !named && !s.wrote(p) && reflect.DeepEqual(old.value, l.value) {
				continue
			}
			history[p] = speak(history[p], Voice{From: s.From, Value: l.value})
		}
		for p := range before {
			if _, still := after[p]; !still {
				history[p] = speak(history[p], Voice{From: s.From, Removed: true})
			}
		}
		before = after
	}
	out := make([]Origin, 0, len(before))
	for p, l := range before {
		out = append(out, origin(p, l, history[p], secret))
	}
	slices.SortFunc(out, func(a, b Origin) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

// speak appends a voice; one that speaks again replaces what it said.
func speak(history []Voice, v Voice) []Voice {
	if n := len(history); n > 0 && history[n-1].From == v.From {
		history[n-1] = v
		return history
	}
	return append(history, v)
}

func origin(pointer string, l leaf, history []Voice, secret func(string) bool) Origin {
	o := Origin{Path: l.path, Value: l.value}
	hide := secret != nil && secret(pointer)
	if hide {
		o.Value = schema.Masked
	}
	for i, v := range slices.Backward(history) {
		if i == len(history)-1 {
			o.From = v.From
			continue
		}
		if hide && !v.Removed {
			v.Value = schema.Masked
		}
		o.Over = append(o.Over, v)
	}
	return o
}

// wrote says whether a leaf is at or below a place that the step wrote, or holds it:
// an append to a list writes the list.
func (s Step) wrote(pointer string) bool {
	return slices.ContainsFunc(s.Wrote, func(w string) bool {
		return w == "" || within(pointer, w) || within(w, pointer)
	})
}

func within(pointer, above string) bool {
	rest, ok := strings.CutPrefix(pointer, above)
	return ok && (rest == "" || rest[0] == '/')
}

// leaf is a value that is no object with keys.
type leaf struct {
	path  string
	value any
}

// leavesOf are the leaves of a section by JSON pointer.
func leavesOf(section values.Map) map[string]leaf {
	out := map[string]leaf{}
	if len(section) > 0 {
		collect(section, "", "", out)
	}
	return out
}

func collect(v any, pointer, path string, out map[string]leaf) {
	m, ok := v.(values.Map)
	if !ok || len(m) == 0 && pointer != "" {
		out[pointer] = leaf{path, v}
		return
	}
	for key, e := range m {
		collect(e, pointer+"/"+escape(key), Join(path, key), out)
	}
}

func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// Join adds a key to a dotted path.
func Join(path, key string) string {
	switch {
	case strings.ContainsAny(key, `."[]`) || key == "":
		return path + `["` + strings.ReplaceAll(key, `"`, `\"`) + `"]`
	case path == "":
		return key
	}
	return path + "." + key
}

// Prefixed returns the origins with a key before each path.
func Prefixed(key string, list []Origin) []Origin {
	out := slices.Clone(list)
	for i, o := range out {
		out[i].Path = under(key, o.Path)
	}
	return out
}

func under(key, path string) string {
	if key == "" || strings.HasPrefix(path, "[") {
		return key + path
	}
	if path == "" {
		return key
	}
	return key + "." + path
}

// Below keeps the origins at or below one of the dotted paths; nil paths keep all.
func Below(list []Origin, paths []string) []Origin {
	if paths == nil {
		return list
	}
	var out []Origin
	for _, o := range list {
		if slices.ContainsFunc(paths, func(p string) bool {
			rest, ok := strings.CutPrefix(o.Path, p)
			return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
		}) {
			out = append(out, o)
		}
	}
	return out
}

// IsDefault says that a value is the module author's, and nobody has touched it.
func (o Origin) IsDefault() bool {
	return o.From == FromStatic || o.From == FromConfigDefault || o.From == FromValuesDefault
}

// froms is who set what, by path.
func froms(list []Origin) map[string]string {
	out := make(map[string]string, len(list))
	for _, o := range list {
		out[o.Path] = o.From
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
