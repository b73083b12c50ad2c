package metrics

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Describe sends nothing: which metrics there are depends on the hooks.
func (h *Hooks) Describe(chan<- *prometheus.Desc) {}

// Collect shows every series.
func (h *Hooks) Collect(out chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, f := range h.families {
		names := slices.Sorted(maps.Keys(f.labels))
		desc := prometheus.NewDesc(name, name, names, nil)
		for _, x := range f.shown() {
			out <- x.metric(desc, f, names)
		}
	}
}

// shown are the series to expose. Series of two groups may agree in name and
// labels, of which the format allows one: the one that was written last.
func (f *family) shown() map[string]*series {
	out := make(map[string]*series, len(f.series))
	for _, x := range f.series {
		if have := out[x.text]; have == nil || have.turn < x.turn {
			out[x.text] = x
		}
	}
	return out
}

func (x *series) metric(desc *prometheus.Desc, f *family, names []string) prometheus.Metric {
	values := make([]string, len(names))
	for i, n := range names {
		values[i] = x.labels[n]
	}
	var out prometheus.Metric
	var err error
	switch f.kind {
	case "add":
		out, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, x.value, values...)
	case "set":
		out, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, x.value, values...)
	default:
		buckets, sum := map[float64]uint64{}, uint64(0)
		for i, b := range f.buckets {
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

// WatchHookMetrics shows how many series each hook has, and how many operations
// were refused. Call it once.
func (s *Self) WatchHookMetrics(h *Hooks) {
	f := factory{prefix: s.prefix, self: s, hooks: true}
	s.reg.MustRegister(shareCollector{
		self: s, hooks: h,
		series:  prometheus.NewDesc(f.name("hook_metrics_series"), "Series that a hook publishes.", f.labels(nil), nil),
		refused: prometheus.NewDesc(f.name("hook_metrics_refused_total"), "Metric operations of a hook that were refused.", f.labels(nil), nil),
	})
}

// shareCollector shows what hooks hold of Hooks.
type shareCollector struct {
	self            *Self
	hooks           *Hooks
	series, refused *prometheus.Desc
}

func (c shareCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.series
	out <- c.refused
}

func (c shareCollector) Collect(out chan<- prometheus.Metric) {
	c.hooks.mu.Lock()
	defer c.hooks.mu.Unlock()
	for id, mine := range c.hooks.shares {
		labels := c.self.labels(id)
		out <- prometheus.MustNewConstMetric(c.series, prometheus.GaugeValue, float64(mine.series), labels...)
		out <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(mine.refused), labels...)
	}
}
