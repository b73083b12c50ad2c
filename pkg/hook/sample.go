package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/values"
)

var actions = []string{"add", "set", "observe", "expire"}

// ParseSamples reads METRICS_PATH (C-220 … C-222): a stream of JSON objects. The
// second result warns of operations that were passed over; the error lists all
// violations, and then nothing of the text counts.
func ParseSamples(text []byte) ([]Sample, []string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	c := &checker{}
	var out []Sample
	for i := 1; ; i++ {
		var doc any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("got bad metrics: document %d, at byte %d, is not JSON: %w", i, d.InputOffset(), err)
		}
		e, ok := c.object(fmt.Sprintf("document %d", i), values.Normalize(doc), nil)
		if !ok {
			continue
		}
		if s, ok := c.sample(e); ok {
			out = append(out, s)
		}
	}
	if err := c.err("got bad metrics"); err != nil {
		return nil, nil, err
	}
	return out, c.allWarnings(), nil
}

// sample reads one operation; false means that it is to be passed over.
func (c *checker) sample(e node) (Sample, bool) {
	// A null stands for an absent key, as it does for encoding/json.
	maps.DeleteFunc(e.m, func(_ string, v any) bool { return v == nil })
	if e.has("add") && e.has("set") {
		c.warn("%s has both add and set and is passed over", e.path)
		return Sample{}, false
	}
	s := Sample{Name: e.text("name"), Group: e.text("group"), Action: e.text("action")}
	value := "value"
	for _, short := range []string{"add", "set"} {
		if e.has(short) {
			s.Action, value = short, short
		}
	}
	if !slices.Contains(actions, s.Action) {
		c.warn("%s has %s as its action and is passed over: use one of %s", e.path, show(s.Action), strings.Join(actions, ", "))
		return Sample{}, false
	}
	s.Value, _ = e.number(value)
	s.Labels = e.labels()
	s.Buckets = c.buckets(e)
	if s.Action == "expire" {
		return s, true
	}
	if s.Name == "" && !(e.has("name") && e.m["name"] != "") {
		c.fail(join(e.path, "name"), "is required")
	}
	e.require(value)
	if s.Action == "observe" {
		e.require("buckets")
	}
	return s, true
}

func (n node) labels() map[string]string {
	labels, ok := n.child("labels", nil)
	if !ok {
		return nil
	}
	out := make(map[string]string, len(labels.m))
	for _, name := range slices.Sorted(maps.Keys(labels.m)) {
		out[name] = labels.text(name)
	}
	return out
}

func (c *checker) buckets(e node) []float64 {
	var out []float64
	list := node{c: c, path: e.path, m: map[string]any{}}
	for i, v := range e.list("buckets", 0) {
		key := fmt.Sprintf("buckets[%d]", i)
		list.m[key] = v
		b, ok := list.number(key)
		if ok && len(out) > 0 && b <= out[len(out)-1] {
			c.fail(join(e.path, key), "should be above the bucket before it: %v is not above %v", b, out[len(out)-1])
		}
		out = append(out, b)
	}
	return out
}
