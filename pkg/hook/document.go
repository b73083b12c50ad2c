package hook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Invalid is text of a hook that was read and does not say what it may say. It
// lists every violation, each with its path and what is allowed there (C-027).
type Invalid struct {
	// What was read: hook configuration, …
	What       string
	Violations []string
}

func (e *Invalid) Error() string {
	if len(e.Violations) == 1 {
		return e.What + ": " + e.Violations[0]
	}
	return e.What + ":\n- " + strings.Join(e.Violations, "\n- ")
}

// checker walks decoded JSON and collects violations in place of stopping at the first.
type checker struct {
	violations []string
	warnings   []string
	// How many more there were: a flood of bad documents is no flood of messages.
	moreViolations, moreWarnings int
}

// maxMessages is how many violations, and how many warnings, are told in full.
const maxMessages = 50

func (c *checker) fail(path, format string, args ...any) {
	if len(c.violations) == maxMessages {
		c.moreViolations++
		return
	}
	c.violations = append(c.violations, join(path, "")+" "+fmt.Sprintf(format, args...))
}

func (c *checker) warn(format string, args ...any) {
	if len(c.warnings) == maxMessages {
		c.moreWarnings++
		return
	}
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

func (c *checker) err(what string) error {
	if len(c.violations) == 0 {
		return nil
	}
	return &Invalid{What: what, Violations: more(c.violations, c.moreViolations)}
}

// allWarnings are the warnings, the last of which may say how many more there were.
func (c *checker) allWarnings() []string { return more(c.warnings, c.moreWarnings) }

func more(messages []string, n int) []string {
	if n == 0 {
		return messages
	}
	return append(slices.Clone(messages), fmt.Sprintf("and %d more", n))
}

// join appends key to a dotted path; the root is called so.
func join(path, key string) string {
	switch {
	case key == "" && path == "":
		return "the document"
	case key == "":
		return path
	case path == "":
		return key
	}
	return path + "." + key
}

// object is v as an object whose keys are all in allowed; nil allows any.
func (c *checker) object(path string, v any, allowed []string) (node, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fail(path, "should be an object, got %s", show(v))
		return node{}, false
	}
	if allowed != nil {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !slices.Contains(allowed, key) {
				c.fail(join(path, key), "is a forbidden property: allowed here are %s", strings.Join(allowed, ", "))
			}
		}
	}
	return node{c: c, path: path, m: m}, true
}

// node is an object inside a document.
type node struct {
	c    *checker
	path string
	m    map[string]any
}

func (n node) has(key string) bool {
	_, ok := n.m[key]
	return ok
}

func (n node) require(keys ...string) bool {
	all := true
	for _, key := range keys {
		if !n.has(key) {
			n.c.fail(join(n.path, key), "is required")
			all = false
		}
	}
	return all
}

func (n node) text(key string) string {
	v, ok := n.m[key]
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		n.c.fail(join(n.path, key), "should be a string, got %s", show(v))
	}
	return s
}

func (n node) flag(key string, absent bool) bool {
	v, ok := n.m[key]
	if !ok {
		return absent
	}
	b, ok := v.(bool)
	if !ok {
		n.c.fail(join(n.path, key), "should be true or false, got %s", show(v))
		return absent
	}
	return b
}

func (n node) number(key string) (float64, bool) {
	v, ok := n.m[key]
	if !ok {
		return 0, false
	}
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	n.c.fail(join(n.path, key), "should be a number, got %s", show(v))
	return 0, false
}

// list is the array at key; absent is empty.
func (n node) list(key string, atLeast int) []any {
	v, ok := n.m[key]
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		n.c.fail(join(n.path, key), "should be an array, got %s", show(v))
		return nil
	}
	if len(list) < atLeast {
		n.c.fail(join(n.path, key), "should have at least %d item", atLeast)
	}
	return list
}

// texts is the array of strings at key.
func (n node) texts(key string, atLeast int) []string {
	list := n.list(key, atLeast)
	if list == nil {
		return nil
	}
	out := make([]string, 0, len(list))
	for i, v := range list {
		s, ok := v.(string)
		if !ok {
			n.c.fail(fmt.Sprintf("%s[%d]", join(n.path, key), i), "should be a string, got %s", show(v))
			continue
		}
		out = append(out, s)
	}
	return out
}

// choice is the string at key, one of allowed; "" when absent or not allowed.
func (n node) choice(key string, allowed []string) string {
	if !n.has(key) {
		return ""
	}
	s, ok := n.m[key].(string)
	if !ok || !slices.Contains(allowed, s) {
		n.c.fail(join(n.path, key), "should be one of [%s], got %s", strings.Join(allowed, " "), show(n.m[key]))
		return ""
	}
	return s
}

// child is the object at key.
func (n node) child(key string, allowed []string) (node, bool) {
	v, ok := n.m[key]
	if !ok {
		return node{}, false
	}
	return n.c.object(join(n.path, key), v, allowed)
}

// children calls f for each element of the array at key that is an object.
func (n node) children(key string, atLeast int, allowed []string, f func(i int, e node)) {
	for i, v := range n.list(key, atLeast) {
		if e, ok := n.c.object(fmt.Sprintf("%s[%d]", join(n.path, key), i), v, allowed); ok {
			f(i, e)
		}
	}
}

// show is a value as a message quotes it: short, on one line.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	case string:
		if len(v) > 60 {
			v = strings.ToValidUTF8(v[:60], "") + "…"
		}
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}

// splitYAML cuts a stream at its document markers. In YAML a line that starts
// with --- cannot be anything else, not even inside a block of text.
func splitYAML(text []byte) [][]byte {
	var docs [][]byte
	var doc []byte
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("---")); ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0) {
			docs = append(docs, doc)
			doc = append([]byte(nil), rest...)
			continue
		}
		doc = append(doc, line...)
	}
	return append(docs, doc)
}

// decodeText reads JSON or YAML that stands inside a string.
func decodeText(text string) (any, error) {
	if v, err := values.Decode([]byte(text)); err == nil {
		return v, nil
	}
	return decodeYAML([]byte(text))
}

// decodeYAML reads the one document that text holds.
func decodeYAML(text []byte) (any, error) {
	v, err := values.DecodeYAML(text)
	if err != nil {
		return nil, err
	}
	if err := afterYAML(text); err != nil {
		return nil, err
	}
	return v, nil
}

// afterYAML reports what follows the first document of text, where the decoder
// stops reading without a word: a broken second object on the same line, for one.
func afterYAML(text []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := d.Decode(&first); err != nil {
		return nil //nolint:nilerr // the first document is the decoder's business
	}
	err := d.Decode(&second)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("text after the end of the document: %w", err)
	}
	return fmt.Errorf("line %d: a second document without --- before it", second.Line)
}
