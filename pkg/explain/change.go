package explain

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Change is one leaf that differs between two states of a section.
type Change struct {
	// Path is dotted, as in Origin.
	Path string `json:"path"`
	// Old and New are the values, schema.Masked where they are secret; absent: there was none.
	Old any `json:"old,omitempty"`
	New any `json:"new,omitempty"`
	// Kind is added, changed or removed.
	Kind string `json:"kind"`
	// From is who set the new value; empty when not known.
	From string `json:"from,omitempty"`
}

// Kinds of a Change and of an ObjectDiff.
const (
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
)

// Changes lists the leaves that differ, sorted by path. Paths begin with key, the
// section's. now are origins of the new state, without the key; nil when not known.
// secret is as in Origins.
func Changes(key string, before, after values.Map, now []Origin, secret func(pointer string) bool) []Change {
	a, b, from := leavesOf(before), leavesOf(after), froms(now)
	var out []Change
	add := func(pointer, path, kind string, old, new any) {
		if secret != nil && secret(pointer) {
			old, new = mask(old), mask(new)
		}
		out = append(out, Change{Path: under(key, path), Kind: kind, Old: old, New: new, From: from[path]})
	}
	all := map[string]bool{}
	for p := range a {
		all[p] = true
	}
	for p := range b {
		all[p] = true
	}
	for _, p := range sortedKeys(all) {
		old, had := a[p]
		now, has := b[p]
		switch {
		case had && has && !reflect.DeepEqual(old.value, now.value):
			add(p, now.path, Changed, old.value, now.value)
		case had && !has:
			add(p, old.path, Removed, old.value, nil)
		case has && !had:
			add(p, now.path, Added, nil, now.value)
		}
	}
	return out
}

func mask(v any) any {
	if v == nil {
		return nil
	}
	return schema.Masked
}

// String is one line: path: old → new (who set it).
func (c Change) String() string {
	text := c.Path + ": "
	switch c.Kind {
	case Added:
		text += Brief(c.New)
	case Removed:
		text += Brief(c.Old) + " → (removed)"
	default:
		if c.Old == schema.Masked && c.New == schema.Masked {
			text += "a secret changed"
		} else {
			text += Brief(c.Old) + " → " + Brief(c.New)
		}
	}
	if c.From != "" {
		text += "  (" + c.From + ")"
	}
	return text
}

// briefBytes is how much of a value a line shows.
const briefBytes = 72

// Brief is a value as a line of text shows it: JSON, cut when it is long.
func Brief(v any) string {
	if text, ok := v.(string); ok && text != "" && len(text) <= briefBytes && !strings.ContainsAny(text, "\n\"") {
		return text
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%T", v)
	}
	if len(text) > briefBytes {
		return strings.ToValidUTF8(string(text[:briefBytes]), "") + "…"
	}
	return string(text)
}
