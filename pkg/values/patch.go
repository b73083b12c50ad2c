package values

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// Op is one operation of a hook's values patch (C-320, C-321): add or remove at
// a JSON pointer (RFC 6901).
type Op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// MarshalJSON keeps the value of an add even when it is null.
func (o Op) MarshalJSON() ([]byte, error) {
	if o.Op == "remove" {
		return json.Marshal(map[string]any{"op": o.Op, "path": o.Path})
	}
	return json.Marshal(map[string]any{"op": o.Op, "path": o.Path, "value": o.Value})
}

// UnmarshalJSON reads what MarshalJSON wrote, with numbers as in Decode.
func (o *Op) UnmarshalJSON(text []byte) error {
	var raw struct {
		Op, Path string
		Value    json.RawMessage
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*o = Op{Op: raw.Op, Path: raw.Path}
	if len(raw.Value) == 0 {
		return nil
	}
	v, err := Decode(raw.Value)
	o.Value = v
	return err
}

// ParsePatch reads a stream of JSON documents, each an array of operations or a
// single one (C-320). Only op, path and value are read; any op but add and
// remove is an error (C-321), as is a path that is not a JSON pointer.
func ParsePatch(text []byte) ([]Op, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out []Op
	for {
		var doc any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("values patch: not a stream of JSON documents at byte %d: %w", d.InputOffset(), err)
		}
		list, ok := doc.([]any)
		if !ok {
			list = []any{doc}
		}
		for _, e := range list {
			op, err := parseOp(e)
			if err != nil {
				return nil, err
			}
			out = append(out, op)
		}
	}
}

func parseOp(e any) (Op, error) {
	m, ok := e.(Map)
	if !ok {
		return Op{}, fmt.Errorf("values patch: expected an operation such as {\"op\":\"add\",\"path\":\"/global/a\",\"value\":1}, got %T", e)
	}
	kind, _ := m["op"].(string)
	path, okPath := m["path"].(string)
	value, okValue := m["value"]
	switch {
	case kind != "add" && kind != "remove":
		return Op{}, fmt.Errorf("values patch: unsupported patch operation %s at path %s: use add or remove", brief(kind), brief(path))
	case !okPath || !strings.HasPrefix(path, "/"):
		return Op{}, fmt.Errorf("values patch: operation %q has path %s: expected a JSON pointer that starts with /", kind, brief(m["path"]))
	case strings.Count(path, "/") > maxElements:
		return Op{}, fmt.Errorf("values patch: path %s has more than %d elements", brief(path), maxElements)
	case kind == "add" && !okValue:
		return Op{}, fmt.Errorf("values patch: add at %s has no value", brief(path))
	case kind == "remove":
		return Op{Op: kind, Path: path}, nil
	}
	return Op{Op: kind, Path: path, Value: Normalize(value)}, nil
}

// maxElements bounds what a path makes the patch library recurse into: each element is a level of its stack.
const maxElements = 256

// brief is a value as a message quotes it.
func brief(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%T", v)
	}
	if len(text) > 80 {
		return strings.ToValidUTF8(string(text[:80]), "") + "…"
	}
	return string(text)
}

// Pointer splits a JSON pointer into its unescaped elements.
func Pointer(path string) []string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
	}
	return parts
}

// ErrAbsent is in the chain of Apply's errors when the target of an operation,
// or the parent of an add, does not exist.
var ErrAbsent = errors.New("path is absent")

// Apply performs ops strictly, in order, on a copy of doc (C-323): a remove of
// an absent path and an add under an absent parent are errors.
func Apply(doc Map, ops []Op) (Map, error) {
	return perform(doc, ops, jsonpatch.NewApplyOptions())
}

// ApplyLoosely is Apply, but that removes of what is absent are passed over.
func ApplyLoosely(doc Map, ops []Op) (Map, error) {
	o := jsonpatch.NewApplyOptions()
	o.AllowMissingPathOnRemove = true
	return perform(doc, ops, o)
}

// perform is RFC 6902 by the library, on the document's text.
func perform(doc Map, ops []Op, options *jsonpatch.ApplyOptions) (Map, error) {
	options.SupportNegativeIndices = false
	if doc == nil {
		doc = Map{}
	}
	before, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(ops)
	if err != nil {
		return nil, err
	}
	patch, err := jsonpatch.DecodePatch(text)
	if err != nil {
		return nil, err
	}
	after, err := patch.ApplyWithOptions(before, options)
	if err != nil { // all that can go wrong with an add or a remove
		return nil, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	v, err := Decode(after)
	if err != nil {
		return nil, err
	}
	m, ok := v.(Map)
	if !ok {
		return nil, errors.New("the patch replaced the root object")
	}
	return m, nil
}

// Stamped is an operation with the number of the commit it came with.
type Stamped struct {
	Op
	Seq int64 `json:"seq"`
}

// MarshalJSON adds seq to the operation's own form.
func (s Stamped) MarshalJSON() ([]byte, error) {
	m := map[string]any{"op": s.Op.Op, "path": s.Path, "seq": s.Seq}
	if s.Op.Op != "remove" {
		m["value"] = s.Value
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Stamped) UnmarshalJSON(text []byte) error {
	var seq struct{ Seq int64 }
	if err := json.Unmarshal(text, &seq); err != nil {
		return err
	}
	s.Seq = seq.Seq
	return s.Op.UnmarshalJSON(text)
}

// Compact appends ops, committed as number seq, to a patch set: an operation at
// a path takes the place of older ones at it and below it (C-324). Appends ("/-")
// are all kept until something above them is written.
func Compact(set []Stamped, ops []Op, seq int64) []Stamped {
	// From the last operation back, what is written is known when something older at it or
	// below it comes up. That is linear: a patch may have a million operations.
	written := &pathTree{}
	var kept []Op
	for _, op := range slices.Backward(ops) {
		if written.covers(op.Path) {
			continue
		}
		kept = append(kept, op)
		if !strings.HasSuffix(op.Path, "/-") {
			written.add(op.Path)
		}
	}
	out := make([]Stamped, 0, len(set)+len(kept))
	for _, s := range set {
		if !written.covers(s.Path) {
			out = append(out, s)
		}
	}
	for _, op := range slices.Backward(kept) {
		out = append(out, Stamped{Op: op, Seq: seq})
	}
	return out
}

// pathTree is a set of JSON pointers.
type pathTree struct {
	here  bool
	below map[string]*pathTree
}

func (t *pathTree) add(path string) {
	for e := range strings.SplitSeq(path, "/") {
		next := t.below[e]
		if next == nil {
			next = &pathTree{}
			if t.below == nil {
				t.below = map[string]*pathTree{}
			}
			t.below[e] = next
		}
		t = next
	}
	t.here = true
}

// covers says whether path is in the set, or below one that is.
func (t *pathTree) covers(path string) bool {
	for e := range strings.SplitSeq(path, "/") {
		if t = t.below[e]; t == nil {
			return false
		}
		if t.here {
			return true
		}
	}
	return false
}

// Fold applies patch sets to a copy of doc in the order they were committed,
// passing over removes of absent paths and creating what an add lacks above it,
// for layers may have changed since the hook wrote (C-324).
func Fold(doc Map, sets ...[]Stamped) Map {
	var all []Stamped
	for _, s := range sets {
		all = append(all, s...)
	}
	slices.SortStableFunc(all, func(a, b Stamped) int { return int(a.Seq - b.Seq) })
	ops := make([]Op, len(all))
	for i, s := range all {
		ops[i] = s.Op
	}
	if out, err := perform(doc, ops, lenient()); err == nil {
		return out
	}
	// An operation that no longer fits its layers is passed over: strictness
	// belongs to the commit, where the hook can be told.
	out := doc
	for _, op := range ops {
		if next, err := perform(out, []Op{op}, lenient()); err == nil {
			out = next
		}
	}
	return out
}

// lenient passes over removes of absent paths and makes parents of adds.
func lenient() *jsonpatch.ApplyOptions {
	o := jsonpatch.NewApplyOptions()
	o.AllowMissingPathOnRemove, o.EnsurePathExistsOnAdd = true, true
	return o
}
