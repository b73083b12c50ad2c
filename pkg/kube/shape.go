package kube

import (
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/addon-operator/addon-operator/pkg/drift"
)

// A shape is the structure of a manifest without its values: which fields it
// sets. The prints of a live object at a shape move when one of these fields does,
// and not for defaults, normalised quantities or what others add.
//
//	object   every key that the manifest sets, recursively
//	list     of objects that carry a known key: items found by that key, others' items ignored;
//	         other lists of objects: items by position, and the length
//	leaf     any other value, whole
type shape struct {
	fields map[string]*shape // object; empty: only that it is an object counts
	key    string            // list of objects: the field that tells items apart, "" by position
	items  []item
	kind   shapeKind
}

type shapeKind byte

const (
	leafShape shapeKind = iota
	objectShape
	listShape
)

type item struct {
	id    string // JSON of the item's key field
	shape *shape
}

// maxDepth bounds recursion on foreign JSON; what lies deeper counts whole.
const maxDepth = 64

// manifestShape is the shape of a manifest: its labels, annotations and
// everything but identity, status and server-set metadata.
func manifestShape(manifest map[string]any) *shape {
	top := &shape{kind: objectShape, fields: map[string]*shape{}}
	for key, v := range manifest {
		switch key {
		case "apiVersion", "kind", "status":
		case "metadata":
			if s := metadataShape(v); s != nil {
				top.fields[key] = s
			}
		default:
			if s := shapeOf(v, 0); s != nil {
				top.fields[key] = s
			}
		}
	}
	if manifest["kind"] == "Secret" && manifest["apiVersion"] == "v1" {
		foldStringData(top)
	}
	return top
}

func metadataShape(v any) *shape {
	meta, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	s := &shape{kind: objectShape, fields: map[string]*shape{}}
	for _, key := range []string{"labels", "annotations"} {
		if f := shapeOf(meta[key], 0); f != nil {
			s.fields[key] = f
		}
	}
	return s
}

// foldStringData: a Secret's stringData is write-only; the server moves it to data.
func foldStringData(top *shape) {
	from := top.fields["stringData"]
	delete(top.fields, "stringData")
	if from == nil || from.kind != objectShape {
		return
	}
	to := top.fields["data"]
	if to == nil || to.kind != objectShape {
		to = &shape{kind: objectShape, fields: map[string]*shape{}}
		top.fields["data"] = to
	}
	maps.Copy(to.fields, from.fields)
}

// shapeOf is nil for what sets nothing: null and an empty list.
func shapeOf(v any, depth int) *shape {
	if depth > maxDepth {
		return &shape{}
	}
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		s := &shape{kind: objectShape, fields: make(map[string]*shape, len(v))}
		for key, e := range v {
			if f := shapeOf(e, depth+1); f != nil {
				s.fields[key] = f
			}
		}
		return s
	case []any:
		return shapeOfList(v, depth)
	}
	return &shape{}
}

func shapeOfList(v []any, depth int) *shape {
	if len(v) == 0 {
		return nil
	}
	s := &shape{kind: listShape, key: drift.ListKey(v)}
	for _, e := range v {
		m, ok := e.(map[string]any)
		if !ok {
			return &shape{} // scalars, or mixed: the whole list
		}
		i := item{shape: shapeOf(m, depth+1)}
		if s.key != "" {
			i.id = drift.Scalar(m[s.key])
		}
		s.items = append(s.items, i)
	}
	return s
}

// visit is called for every leaf of a shape, in one order: where it is, and what an
// object holds there. The place is valid during the call only.
type visit func(place []drift.Step, v any, there bool)

// walk visits the leaves of s in an object. How many there are does not depend on the object.
func (s *shape) walk(live map[string]any, f visit) {
	s.descend(nil, live, true, f)
}

func (s *shape) descend(place []drift.Step, live any, there bool, f visit) {
	switch {
	case s.kind == objectShape && len(s.fields) > 0:
		m, _ := live.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(s.fields)) {
			v, ok := m[key]
			s.fields[key].descend(append(place, drift.Step{Name: key}), v, ok, f)
		}
	case s.kind == objectShape:
		if m, ok := live.(map[string]any); ok {
			live = len(m) >= 0 // that it is an object
		}
		f(place, live, there)
	case s.kind == listShape:
		s.descendList(place, live, f)
	default:
		f(place, live, there)
	}
}

func (s *shape) descendList(place []drift.Step, live any, f visit) {
	list, isList := live.([]any)
	if s.key == "" {
		f(place, len(list), isList)
		for n, i := range s.items {
			var v any
			if n < len(list) {
				v = list[n]
			}
			i.shape.descend(append(place, drift.Step{Item: true, Index: n}), v, n < len(list), f)
		}
		return
	}
	byID := map[string]any{}
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			byID[drift.Scalar(m[s.key])] = m
		}
	}
	for n, i := range s.items {
		v, ok := byID[i.id]
		i.shape.descend(append(place, drift.Step{Item: true, Index: n, Name: drift.Unquoted(i.id)}), v, ok, f)
	}
}

// prints are hashes of what an object holds at the leaves of a shape; 0 for nothing.
type prints []uint64

// prints of an object; those of two objects can be compared if seed is the same.
func (s *shape) prints(seed maphash.Seed, live map[string]any) prints {
	var out prints
	var h maphash.Hash
	h.SetSeed(seed)
	s.walk(live, func(_ []drift.Step, v any, there bool) {
		if !there {
			out = append(out, 0)
			return
		}
		h.Reset()
		writeWhole(&h, v)
		out = append(out, h.Sum64()|1)
	})
	return out
}

// places are those of the leaves with these numbers, which ascend.
func (s *shape) places(numbers []int) [][]drift.Step {
	var out [][]drift.Step
	n := 0
	s.walk(nil, func(place []drift.Step, _ any, _ bool) {
		if len(out) < len(numbers) && numbers[len(out)] == n {
			out = append(out, slices.Clone(place))
		}
		n++
	})
	return out
}

// differing are the numbers of the leaves that two prints of one shape differ in.
func (p prints) differing(other prints) []int {
	var out []int
	for i := range p {
		if i >= len(other) || p[i] != other[i] {
			out = append(out, i)
		}
	}
	return out
}

func writeWhole(h *maphash.Hash, v any) {
	if err := json.NewEncoder(h).Encode(v); err != nil { // no JSON value: not from the API
		_, _ = h.WriteString("?")
	}
}
