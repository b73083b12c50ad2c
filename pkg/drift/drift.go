// Package drift is the rules about fields that others may change: which they are,
// and how a writer leaves them alone. Paths are JSON pointers (RFC 6901); "*" stands
// for any one key or item, and an item of a list is named by its index or by the
// value of its merge key, such as /spec/template/spec/containers/app/image.
package drift

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/object"
)

// Annotation on an object, in the manifest or put there by somebody, lists paths of
// it that are not repaired, separated by commas.
const Annotation = "addon-operator.io/ignore-drift"

// Replicas is the field that a HorizontalPodAutoscaler owns in what it scales.
const Replicas = "/spec/replicas"

// Writer is the field manager of releases (helm.FieldManager).
const Writer = "addon-operator"

// Path is a parsed pointer.
type Path []string

// Parse reads a pointer. The whole object, and its identity, cannot be left to others.
func Parse(pointer string) (Path, error) {
	if !strings.HasPrefix(pointer, "/") || pointer == "/" {
		return nil, fmt.Errorf("expected a JSON pointer such as %s, got %q", Replicas, pointer)
	}
	p := strings.Split(pointer[1:], "/")
	for i, token := range p {
		if token == "" {
			return nil, fmt.Errorf("expected a JSON pointer such as %s, got %q with an empty part", Replicas, pointer)
		}
		p[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	if len(p) == 1 && slices.Contains([]string{"apiVersion", "kind", "metadata"}, p[0]) {
		return nil, fmt.Errorf("%q cannot be left to others; name a field below it", pointer)
	}
	return p, nil
}

// ParseAll reads pointers and leaves out what is none; a typo on a live object must
// not stop anything.
func ParseAll(pointers []string) []Path {
	var out []Path
	for _, text := range pointers {
		if p, err := Parse(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Annotated lists the pointers of an object's Annotation.
func Annotated(annotations map[string]string) []string {
	var out []string
	for _, text := range strings.Split(annotations[Annotation], ",") {
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// Selects says whether a rule for a group, kind and name ("" for all names) means an object.
func Selects(group, kind, name string, ref object.Ref) bool {
	return kind == ref.Kind && group == Group(ref) && (name == "" || name == ref.Name)
}

// Group is the API group of an object, "" for the core group.
func Group(ref object.Ref) string {
	if group, _, ok := strings.Cut(ref.APIVersion, "/"); ok {
		return group
	}
	return ""
}

// Pointer writes a path as text.
func (p Path) Pointer() string {
	var b strings.Builder
	for _, token := range p {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1"))
	}
	return b.String()
}

// Step is one part of the place of a field: a key, or an item with the index
// that it has in the manifest and the value of its merge key, "" without one.
type Step struct {
	Name  string
	Item  bool
	Index int
}

// Token is the step as a part of a pointer.
func (s Step) Token() string {
	if s.Item && s.Name == "" {
		return strconv.Itoa(s.Index)
	}
	return s.Name
}

func (s Step) is(token string) bool {
	return token == "*" || token == s.Name && (!s.Item || s.Name != "") || s.Item && token == strconv.Itoa(s.Index)
}

// Covers says whether one of the paths leads to a place or to something around it.
func Covers(paths []Path, place []Step) bool {
	return slices.ContainsFunc(paths, func(p Path) bool {
		if len(p) > len(place) {
			return false
		}
		for i, token := range p {
			if !place[i].is(token) {
				return false
			}
		}
		return true
	})
}

// PointerTo is the pointer of a place.
func PointerTo(place []Step) string {
	p := make(Path, len(place))
	for i, s := range place {
		p[i] = s.Token()
	}
	return p.Pointer()
}

// Leave gives the manifest, in place, what the live object has at the paths, so that a
// merge of the two changes nothing there.
func Leave(manifest, live map[string]any, paths []Path) {
	for _, p := range paths {
		leave(manifest, live, p)
	}
}

func leave(manifest, live any, p Path) {
	switch m := manifest.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return
		}
		for _, key := range keysOf(m, l, p[0]) {
			leaveKey(m, l, key, p[1:])
		}
	case []any:
		l, ok := live.([]any)
		if ok {
			leaveItems(m, l, p)
		}
	}
}

func leaveKey(m, live map[string]any, key string, rest Path) {
	v, there := live[key]
	switch {
	case len(rest) > 0:
		leave(m[key], v, rest)
	case there:
		m[key] = v
	default:
		delete(m, key)
	}
}

func keysOf(m, live map[string]any, token string) []string {
	if token != "*" {
		return []string{token}
	}
	var out []string
	for key := range m {
		out = append(out, key)
	}
	for key := range live {
		if _, ok := m[key]; !ok {
			out = append(out, key)
		}
	}
	return out
}

// leaveItems pairs items by merge key, or by position where there is none.
func leaveItems(m, live []any, p Path) {
	key := ListKey(m)
	byID := map[string]any{}
	for _, e := range live {
		if o, ok := e.(map[string]any); ok && key != "" {
			byID[Scalar(o[key])] = e
		}
	}
	for i, e := range m {
		s := Step{Item: true, Index: i}
		var other any
		if o, ok := e.(map[string]any); ok && key != "" {
			id := Scalar(o[key])
			s.Name, other = Unquoted(id), byID[id]
		} else if i < len(live) {
			other = live[i]
		}
		switch {
		case !s.is(p[0]) || other == nil:
		case len(p) > 1:
			leave(e, other, p[1:])
		default:
			m[i] = other
		}
	}
}

// mergeKeys tell list items apart, tried in this order: the keys of the merge
// lists of built-in kinds (x-kubernetes-patch-merge-key, x-kubernetes-list-map-keys).
var mergeKeys = []string{"name", "containerPort", "port", "mountPath", "devicePath", "ip", "topologyKey", "type", "key"}

// ListKey is the first merge key that is a distinct scalar in every item; "" for none.
func ListKey(list []any) string {
	for _, key := range mergeKeys {
		if distinct(list, key) {
			return key
		}
	}
	return ""
}

func distinct(list []any, key string) bool {
	known := map[string]bool{}
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return false
		}
		name := Scalar(m[key])
		if name == "" || known[name] {
			return false
		}
		known[name] = true
	}
	return len(list) > 0
}

// Scalar is a string, number or boolean as JSON; "" for anything else.
func Scalar(v any) string {
	switch v.(type) {
	case string, int64, float64, bool, json.Number:
		text, err := json.Marshal(v)
		if err == nil {
			return string(text)
		}
	}
	return ""
}

// Unquoted is what Scalar answered as people write it.
func Unquoted(scalar string) string {
	var text string
	if json.Unmarshal([]byte(scalar), &text) == nil {
		return text
	}
	return scalar
}
