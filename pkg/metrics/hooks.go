package metrics

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Hooks holds the metrics that hooks publish. Series of one metric may have
// different labels: the union of names is shown, absent ones as "" (C-225).
// Ungrouped counters accumulate and gauges stay (C-228); a group is replaced as a
// whole by the next run that mentions it (C-227).
type Hooks struct {
	mu      sync.Mutex
	metrics map[string]*metric
}

type metric struct {
	kind    string // add, set, observe
	buckets []float64
	series  map[string]*series
}

type series struct {
	owner  hook.Owner
	group  string
	labels map[string]string
	value  float64
	count  uint64
	counts []uint64 // per bucket, not cumulative
}

// NewHooks returns an empty collection.
func NewHooks() *Hooks { return &Hooks{metrics: map[string]*metric{}} }

// Apply performs a hook's samples in order. Groups that the samples mention are
// emptied first. A name that is in use with another type loses its sample and is
// part of the error (C-223).
func (h *Hooks) Apply(id hook.ID, samples []hook.Sample) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	emptied := map[string]bool{}
	for _, s := range samples {
		if s.Group != "" && !emptied[s.Group] {
			emptied[s.Group] = true
			h.expire(func(x *series) bool { return x.group == s.Group })
		}
	}
	var errs []error
	for _, s := range samples {
		if s.Action == "expire" {
			if s.Group == "" {
				h.expire(func(x *series) bool {
					return x.group == "" && x.owner == id.Owner && x.labels["hook"] == id.Name
				})
			}
			continue
		}
		errs = append(errs, h.put(id, s))
	}
	return errors.Join(errs...)
}

func (h *Hooks) put(id hook.ID, s hook.Sample) error {
	if err := valid(s); err != nil {
		return err
	}
	m := h.metrics[s.Name]
	if m == nil {
		m = &metric{kind: s.Action, buckets: slices.Sorted(slices.Values(s.Buckets)), series: map[string]*series{}}
		h.metrics[s.Name] = m
	}
	if m.kind != s.Action {
		return fmt.Errorf("metric %q is used with action %q, but it was made with %q: choose another name", s.Name, s.Action, m.kind)
	}
	labels := maps.Clone(s.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels["hook"] = id.Name
	if !id.Owner.IsGlobal() {
		labels["module"] = id.Owner.Module
	}
	key := s.Group + "\xff" + labelKey(labels)
	x := m.series[key]
	if x == nil {
		x = &series{owner: id.Owner, group: s.Group, labels: labels, counts: make([]uint64, len(m.buckets))}
		m.series[key] = x
	}
	switch s.Action {
	case "set":
		x.value = s.Value
	case "add":
		x.value += s.Value
	case "observe":
		x.value += s.Value
		x.count++
		if i, _ := slices.BinarySearch(m.buckets, s.Value); i < len(m.buckets) {
			x.counts[i]++
		}
	}
	return nil
}

// valid keeps one bad name from spoiling the whole exposition.
func valid(s hook.Sample) error {
	if !model.LegacyValidation.IsValidMetricName(s.Name) {
		return fmt.Errorf("metric %q: expected a name of letters, digits, underscores and colons", s.Name)
	}
	for name, value := range s.Labels {
		reserved := strings.HasPrefix(name, "__") || s.Action == "observe" && name == "le"
		if reserved || !model.LegacyValidation.IsValidLabelName(name) || !utf8.ValidString(value) {
			return fmt.Errorf("metric %q: label %q: expected a name of letters, digits and underscores that is not reserved, and a UTF-8 value", s.Name, name)
		}
	}
	return nil
}

// Forget drops every series of an owner's hooks.
func (h *Hooks) Forget(o hook.Owner) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire(func(x *series) bool { return x.owner == o })
}

func (h *Hooks) expire(gone func(*series) bool) {
	for name, m := range h.metrics {
		maps.DeleteFunc(m.series, func(_ string, x *series) bool { return gone(x) })
		if len(m.series) == 0 {
			delete(h.metrics, name)
		}
	}
}

func labelKey(labels map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(k + "\xff" + labels[k] + "\xff")
	}
	return b.String()
}

// Describe sends nothing: which metrics there are depends on the hooks.
func (h *Hooks) Describe(chan<- *prometheus.Desc) {}

// Collect shows every series.
func (h *Hooks) Collect(out chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, m := range h.metrics {
		names := map[string]bool{}
		for _, x := range m.series {
			for label := range x.labels {
				names[label] = true
			}
		}
		all := slices.Sorted(maps.Keys(names))
		desc := prometheus.NewDesc(name, name, all, nil)
		// Series of two groups may agree in name and labels; the exposition format allows one.
		seen := map[string]bool{}
		for _, key := range slices.Sorted(maps.Keys(m.series)) {
			x := m.series[key]
			text := labelKey(x.labels)
			if seen[text] {
				continue
			}
			seen[text] = true
			out <- x.metric(desc, m, all)
		}
	}
}

func (x *series) metric(desc *prometheus.Desc, m *metric, names []string) prometheus.Metric {
	values := make([]string, len(names))
	for i, n := range names {
		values[i] = x.labels[n]
	}
	var out prometheus.Metric
	var err error
	switch m.kind {
	case "add":
		out, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, x.value, values...)
	case "set":
		out, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, x.value, values...)
	default:
		buckets, sum := map[float64]uint64{}, uint64(0)
		for i, b := range m.buckets {
			sum += x.counts[i]
			buckets[b] = sum
		}
		out, err = prometheus.NewConstHistogram(desc, x.count, x.value, buckets, values...)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return out
}
