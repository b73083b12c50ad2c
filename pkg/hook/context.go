package hook

import (
	"bytes"
	"encoding/json"
	"slices"
)

// MarshalItems is the JSON array of items as snapshots and Synchronization
// contexts show them (C-123, C-131). Marshal each snapshot once per run and hand
// it to MarshalContexts, so that all contexts of the run see the same (C-132).
func MarshalItems(items []Item) []byte {
	size := 2
	for _, it := range items {
		size += len(it.Object) + len(it.FilterResult) + 32
	}
	b := bytes.NewBuffer(make([]byte, 0, size))
	b.WriteByte('[')
	for i, it := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		w := objectWriter{Buffer: b}
		w.open()
		w.item(it)
		w.close()
	}
	b.WriteByte(']')
	return b.Bytes()
}

// MarshalContexts is the content of BINDING_CONTEXT_PATH for a v1 hook (C-120 …
// C-128, C-130). snapshots maps names of kubernetes bindings to what MarshalItems
// made of them; one that is not there shows as [].
func MarshalContexts(contexts []Context, snapshots map[string][]byte) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, c := range contexts {
		if i > 0 {
			b.WriteByte(',')
		}
		writeContext(objectWriter{Buffer: &b}, c, snapshots)
	}
	b.WriteByte(']')
	return b.Bytes()
}

func writeContext(w objectWriter, c Context, snapshots map[string][]byte) {
	w.open()
	w.text("binding", c.Binding)
	if c.Type != "" {
		w.text("type", string(c.Type))
	}
	switch c.Type {
	case TypeGroup:
		w.text("groupName", c.Group)
	case TypeSynchronization:
		w.raw("objects", orEmpty(snapshots[c.Binding]))
	case TypeEvent:
		w.text("watchEvent", string(c.WatchEvent))
		w.item(c.Item)
	case TypeConversion:
		w.text("fromVersion", c.From)
		w.text("toVersion", c.To)
		w.raw("review", c.Review)
	case TypeValidating, TypeMutating:
		w.raw("review", c.Review)
	}
	if c.Snapshots != nil {
		w.key("snapshots")
		inner := objectWriter{Buffer: w.Buffer}
		inner.open()
		for _, name := range c.Snapshots {
			inner.raw(name, orEmpty(snapshots[name]))
		}
		inner.close()
	}
	w.close()
}

func orEmpty(items []byte) []byte {
	if items == nil {
		return []byte("[]")
	}
	return items
}

// objectWriter writes one JSON object whose values are JSON already.
type objectWriter struct {
	*bytes.Buffer
	more bool
}

func (w *objectWriter) open()  { w.WriteByte('{') }
func (w *objectWriter) close() { w.WriteByte('}') }

func (w *objectWriter) key(name string) {
	if w.more {
		w.WriteByte(',')
	}
	w.more = true
	w.quote(name)
	w.WriteByte(':')
}

func (w *objectWriter) quote(s string) {
	text, _ := json.Marshal(s) // a string always marshals
	w.Write(text)
}

func (w *objectWriter) text(name, value string) {
	w.key(name)
	w.quote(value)
}

func (w *objectWriter) raw(name string, value []byte) {
	w.key(name)
	w.Write(value)
}

func (w *objectWriter) item(it Item) {
	if it.Object != nil {
		w.raw("object", it.Object)
	}
	if it.FilterResult != nil {
		w.raw("filterResult", it.FilterResult)
	}
}

// MarshalContextsV0 is the content of BINDING_CONTEXT_PATH for a v0 hook (C-129).
func MarshalContextsV0(contexts []Context) []byte {
	events := map[WatchEvent]string{Added: "add", Modified: "update", Deleted: "delete"}
	var b bytes.Buffer
	b.WriteByte('[')
	for i, c := range contexts {
		if i > 0 {
			b.WriteByte(',')
		}
		w := objectWriter{Buffer: &b}
		w.open()
		w.text("binding", c.Binding)
		if c.Type == TypeEvent {
			var object struct {
				Kind     string
				Metadata struct{ Namespace, Name string }
			}
			// What is no object, or was not kept, leaves the names empty.
			_ = json.Unmarshal(c.Item.Object, &object)
			w.text("resourceEvent", events[c.WatchEvent])
			w.text("resourceNamespace", object.Metadata.Namespace)
			w.text("resourceKind", object.Kind)
			w.text("resourceName", object.Metadata.Name)
		}
		w.close()
	}
	b.WriteByte(']')
	return b.Bytes()
}

// Combine keeps the last of each run of consecutive contexts with the same
// group; contexts without a group all stay (C-166).
func Combine(contexts []Context) []Context {
	out := slices.Clone(contexts[:0])
	for i, c := range contexts {
		if c.Group != "" && i+1 < len(contexts) && contexts[i+1].Group == c.Group {
			continue
		}
		out = append(out, c)
	}
	return out
}
