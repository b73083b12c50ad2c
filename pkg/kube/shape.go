package kube

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"slices"
)

// A shape is the structure of a manifest without its values: which fields it
// sets. The digest of a live object restricted to a shape moves when one of these
// fields does, and not for defaults, normalised quantities or what others add.
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

// digest is that of a live object restricted to a shape.
type digest [sha256.Size]byte

// mergeKeys tell list items apart, tried in this order: the keys of the merge
// lists of built-in kinds (x-kubernetes-patch-merge-key, x-kubernetes-list-map-keys).
var mergeKeys = []string{"name", "containerPort", "port", "mountPath", "devicePath", "ip", "topologyKey", "type", "key"}

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
	s := &shape{kind: listShape, key: listKey(v)}
	for _, e := range v {
		m, ok := e.(map[string]any)
		if !ok {
			return &shape{} // scalars, or mixed: the whole list
		}
		i := item{shape: shapeOf(m, depth+1)}
		if s.key != "" {
			i.id = scalar(m[s.key])
		}
		s.items = append(s.items, i)
	}
	return s
}

// listKey is the first merge key that is a distinct scalar in every item.
func listKey(list []any) string {
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
		name := scalar(m[key])
		if name == "" || known[name] {
			return false
		}
		known[name] = true
	}
	return true
}

// scalar is a string, number or boolean as JSON; "" for anything else.
func scalar(v any) string {
	switch v.(type) {
	case string, int64, float64, bool, json.Number:
		text, err := json.Marshal(v)
		if err == nil {
			return string(text)
		}
	}
	return ""
}

// restricted is the digest of live at the fields of s.
func (s *shape) restricted(live map[string]any) digest {
	h := sha256.New()
	s.write(h, live)
	return digest(h.Sum(nil))
}

// write feeds h with what live holds at the shape, unambiguously.
func (s *shape) write(h hash.Hash, live any) {
	switch s.kind {
	case objectShape:
		s.writeObject(h, live)
	case listShape:
		s.writeList(h, live)
	default:
		writeWhole(h, live)
	}
}

func (s *shape) writeObject(h hash.Hash, live any) {
	m, ok := live.(map[string]any)
	if !ok {
		writeWhole(h, live)
		return
	}
	fmt.Fprint(h, "{")
	for _, key := range slices.Sorted(maps.Keys(s.fields)) {
		v, there := m[key]
		fmt.Fprintf(h, "%q:", key)
		if there {
			s.fields[key].write(h, v)
		}
		fmt.Fprint(h, ",")
	}
	fmt.Fprint(h, "}")
}

func (s *shape) writeList(h hash.Hash, live any) {
	list, ok := live.([]any)
	if !ok {
		writeWhole(h, live)
		return
	}
	if s.key == "" {
		fmt.Fprintf(h, "[%d:", len(list))
		for n, i := range s.items {
			if n < len(list) {
				i.shape.write(h, list[n])
			}
			fmt.Fprint(h, ",")
		}
		fmt.Fprint(h, "]")
		return
	}
	byID := map[string]any{}
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			byID[scalar(m[s.key])] = m
		}
	}
	fmt.Fprint(h, "(")
	for _, i := range s.items {
		fmt.Fprintf(h, "%s:", i.id)
		if e, there := byID[i.id]; there {
			i.shape.write(h, e)
		}
		fmt.Fprint(h, ",")
	}
	fmt.Fprint(h, ")")
}

func writeWhole(h hash.Hash, v any) {
	if err := json.NewEncoder(h).Encode(v); err != nil { // no JSON value: not from the API
		fmt.Fprintf(h, "%v", v)
	}
}
