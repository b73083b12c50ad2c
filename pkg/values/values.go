// Package values holds JSON values as the operator passes them around: immutable
// snapshots with a digest, the deep merge of layers, patch sets of hooks and the
// two spellings of a module's name.
//
// Values are what encoding/json knows: nil, bool, int64, float64, string, []any
// and map[string]any. Whole numbers that fit are int64, so that integers survive
// and print without an exponent (C-301).
package values

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Map is a JSON object.
type Map = map[string]any

// Snapshot is an immutable JSON object with its canonical text and digest. The
// zero value is the empty object.
type Snapshot struct {
	m      Map
	text   []byte
	digest string
}

const emptyText = "{}"

// New freezes m, which must not be changed afterwards by the caller. It panics
// never: values that JSON cannot express are reported as an error.
func New(m Map) (Snapshot, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return Snapshot{}, fmt.Errorf("values are not JSON: %w", err)
	}
	if m == nil {
		text = []byte(emptyText)
	}
	return Snapshot{m: m, text: text, digest: Digest(text)}, nil
}

// Must is New for values that came out of Decode, which are JSON by construction.
func Must(m Map) Snapshot {
	s, err := New(m)
	if err != nil {
		panic(err) //nolint:forbidigo // only a value that Decode cannot produce gets here
	}
	return s
}

// Join is the object that holds each part under its key. Nothing of the parts is copied
// but their text.
func Join(parts map[string]Snapshot) Snapshot {
	m, text := make(Map, len(parts)), []byte{'{'}
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		part := parts[key]
		if m[key] = part.m; part.m == nil {
			m[key] = Map{}
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		name, _ := json.Marshal(key) // a string is always JSON
		text = append(append(append(text, name...), ':'), part.JSON()...)
	}
	text = append(text, '}')
	return Snapshot{m: m, text: text, digest: Digest(text)}
}

// JSON is the canonical text (object keys sorted). Callers must not change it.
func (s Snapshot) JSON() []byte {
	if s.text == nil {
		return []byte(emptyText)
	}
	return s.text
}

// Digest is the SHA-256 of JSON in hex.
func (s Snapshot) Digest() string {
	if s.digest == "" {
		return Digest([]byte(emptyText))
	}
	return s.digest
}

// Clone returns a deep copy that the caller may change.
func (s Snapshot) Clone() Map {
	if s.m == nil {
		return Map{}
	}
	return Clone(s.m).(Map)
}

// Get returns the value at a path of object keys, for reading only.
func (s Snapshot) Get(path ...string) (any, bool) { return Get(s.m, path...) }

// Digest is the SHA-256 of text in hex.
func Digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Get returns the value at a path of object keys.
func Get(v any, path ...string) (any, bool) {
	for _, key := range path {
		m, ok := v.(Map)
		if !ok {
			return nil, false
		}
		if v, ok = m[key]; !ok {
			return nil, false
		}
	}
	return v, true
}

// Clone returns a deep copy of a JSON value.
func Clone(v any) any {
	switch v := v.(type) {
	case Map:
		out := make(Map, len(v))
		for k, e := range v {
			out[k] = Clone(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = Clone(e)
		}
		return out
	}
	return v
}

// Merge lays over on base: objects are merged key by key, any other value of
// over replaces the one in base, null included (C-299). Neither argument is
// changed; the result shares what was not merged.
func Merge(base, over Map) Map {
	out := make(Map, len(base)+len(over))
	maps.Copy(out, base)
	for k, v := range over {
		if right, ok := v.(Map); ok {
			if left, ok := out[k].(Map); ok {
				out[k] = Merge(left, right)
				continue
			}
		}
		out[k] = v
	}
	return out
}

// Decode reads exactly one JSON document.
func Decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON document")
	}
	return Normalize(v), nil
}

// DecodeYAML reads one YAML document as JSON values. Empty text is nil.
func DecodeYAML(text []byte) (any, error) {
	j, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	return Decode(j)
}

// Normalize turns json.Number and Go's other number types into int64 or float64, in place
// where v is an object or array, and returns the result.
func Normalize(v any) any {
	switch v := v.(type) {
	case Map:
		for k, e := range v {
			v[k] = Normalize(e)
		}
		return v
	case []any:
		for i, e := range v {
			v[i] = Normalize(e)
		}
		return v
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case float32:
		return float64(v)
	}
	return v
}

// Select returns the part of m that the dotted paths name, with the structure
// above them; absent paths are left out. A nil list selects everything.
func Select(m Map, paths []string) Map {
	if paths == nil {
		return m
	}
	out := Map{}
	for _, p := range paths {
		keys := strings.Split(p, ".")
		v, ok := Get(m, keys...)
		if !ok {
			continue
		}
		at := out
		for _, k := range keys[:len(keys)-1] {
			next, ok := at[k].(Map)
			if !ok {
				next = Map{}
				at[k] = next
			}
			at = next
		}
		last := keys[len(keys)-1]
		if have, ok := at[last].(Map); ok {
			if more, ok := v.(Map); ok {
				at[last] = Merge(have, more)
				continue
			}
		}
		at[last] = v
	}
	return out
}

// Leaves lists the dotted paths of everything in v that is not an object, in order.
func Leaves(v any) []string {
	m, ok := v.(Map)
	if !ok {
		return nil
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if below, ok := m[key].(Map); ok && len(below) > 0 {
			for _, path := range Leaves(below) {
				out = append(out, key+"."+path)
			}
			continue
		}
		out = append(out, key)
	}
	return out
}
