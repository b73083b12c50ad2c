package metrics

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// kinds are the types of metrics by the action that makes them (C-223).
var kinds = map[string]string{"add": "counter", "set": "gauge", "observe": "histogram"}

// family is all series of one name.
type family struct {
	kind    string // the action: add, set, observe
	buckets []float64
	series  map[seriesKey]*series
	labels  map[string]int // how many series have a label of this name
}

type seriesKey struct{ group, labels string }

type series struct {
	id     hook.ID
	group  string
	labels map[string]string
	text   string // the labels as one text
	size   int    // bytes of name, labels and buckets
	turn   uint64 // of the newest write

	value  float64
	count  uint64
	counts []uint64 // per bucket, not cumulative
}

// newFamily has the buckets of its first sample for good (C-230).
func newFamily(s hook.Sample) *family {
	buckets := slices.Compact(slices.Sorted(slices.Values(s.Buckets)))
	buckets = slices.DeleteFunc(buckets, func(b float64) bool { return math.IsInf(b, 1) }) // that one is always there
	return &family{kind: s.Action, buckets: buckets, series: map[seriesKey]*series{}, labels: map[string]int{}}
}

func newSeries(id hook.ID, s hook.Sample, buckets int) *series {
	labels := make(map[string]string, len(s.Labels)+2)
	maps.Copy(labels, s.Labels)
	labels["hook"] = label(id.Name) // C-224
	if id.Owner.Module != "" {
		labels["module"] = label(id.Owner.Module)
	}
	text := labelText(labels)
	return &series{id: id, group: s.Group, labels: labels, text: text, size: len(s.Name) + len(s.Group) + len(text) + 8*buckets,
		counts: make([]uint64, buckets)}
}

func (x *series) key() seriesKey { return seriesKey{x.group, x.text} }

// write performs a sample, or changes nothing.
func (x *series) write(s hook.Sample, buckets []float64) error {
	if s.Action == "set" {
		x.value = s.Value
		return nil
	}
	sum := x.value + s.Value
	if math.IsInf(sum, 0) {
		return fmt.Errorf("the sum of %v and %v is beyond what a metric can hold", x.value, s.Value)
	}
	x.value = sum
	if s.Action == "observe" {
		x.count++
		if i, _ := slices.BinarySearch(buckets, s.Value); i < len(buckets) {
			x.counts[i]++
		}
	}
	return nil
}

func (f *family) add(x *series) {
	f.series[x.key()] = x
	for name := range x.labels {
		f.labels[name]++
	}
}

func (f *family) drop(key seriesKey, x *series) {
	delete(f.series, key)
	for name := range x.labels {
		if f.labels[name]--; f.labels[name] == 0 {
			delete(f.labels, name)
		}
	}
}

// union is the number of label names with those of x.
func (f *family) union(x *series) int {
	n := len(f.labels)
	for name := range x.labels {
		if f.labels[name] == 0 {
			n++
		}
	}
	return n
}

// valid keeps one bad sample from spoiling the whole exposition.
func valid(s hook.Sample) error {
	switch {
	case kinds[s.Action] == "":
		return fmt.Errorf("action %q: expected add, set, observe or expire", clipped(s.Action))
	case !model.LegacyValidation.IsValidMetricName(s.Name):
		return errors.New("expected a name of letters, digits, underscores and colons that does not begin with a digit")
	case math.IsNaN(s.Value) || math.IsInf(s.Value, 0):
		return fmt.Errorf("value %v: expected a finite number", s.Value)
	case s.Action == "add" && s.Value < 0:
		return fmt.Errorf("adding %v: a counter never goes down; use \"set\", which makes a gauge, under another name", s.Value)
	case len(s.Buckets) > maxBuckets:
		return fmt.Errorf("%d buckets: expected %d at most", len(s.Buckets), maxBuckets)
	case slices.ContainsFunc(s.Buckets, math.IsNaN):
		return errors.New("a bucket is not a number")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		reserved := strings.HasPrefix(name, "__") || s.Action == "observe" && name == "le"
		switch {
		case reserved:
			return fmt.Errorf("label %q: the name is reserved", clipped(name))
		case !model.LegacyValidation.IsValidLabelName(name):
			return fmt.Errorf("label %q: expected a name of letters, digits and underscores that does not begin with a digit", clipped(name))
		case !utf8.ValidString(s.Labels[name]):
			return fmt.Errorf("label %q: its value is not UTF-8", name)
		}
	}
	return nil
}

// labelText tells sets of labels apart; no UTF-8 text has the byte 0xff.
func labelText(labels map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(k + "\xff" + labels[k] + "\xff")
	}
	return b.String()
}

// label is a value that every exposition format accepts: names of files need not be UTF-8.
func label(value string) string { return strings.ToValidUTF8(value, "\uFFFD") }

// clipped keeps what a hook wrote from flooding an error.
func clipped(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// cutSuffix is strings.CutSuffix for a base that is not empty.
func cutSuffix(name, suffix string) (string, bool) {
	base, ok := strings.CutSuffix(name, suffix)
	return base, ok && base != ""
}
