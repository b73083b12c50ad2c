package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Self are the operator's own metrics. Its methods may be called from many
// goroutines. What the running mode has no metric for is counted nowhere: the
// calls are the same in both modes.
type Self struct {
	reg        prometheus.Registerer
	prefix     string
	standalone bool
	// owned are the metrics with labels of hooks, owned by a module where they have that label.
	owned []vector

	runs       runMetrics
	watches    watchMetrics
	client     clientMetrics
	queues     queueMetrics
	modules    moduleMetrics
	conditions conditionMetrics
	checks     checkMetrics
	channels   channelMetrics
	reviews    *prometheus.HistogramVec
}

// vector is what metric vectors have in common.
type vector interface {
	prometheus.Collector
	DeletePartialMatch(labels prometheus.Labels) int
	Reset()
}

// Option changes which metrics there are.
type Option func(*options)

type options struct{ standalone, quiet bool }

// Standalone has the metrics of hooks that run without modules: C-505 and C-506 in
// place of C-507 … C-511, and no module label.
func Standalone() Option { return func(o *options) { o.standalone = true } }

// WithoutQueueActions leaves tasks_queue_action_duration_seconds out (QUEUE_ACTIONS_METRICS=no).
func WithoutQueueActions() Option { return func(o *options) { o.quiet = true } }

// NewSelf registers the metrics with names that begin with prefix:
// "addon_operator_", "shell_operator_" or what METRICS_PREFIX says.
func NewSelf(reg prometheus.Registerer, prefix string, opts ...Option) *Self {
	var o options
	for _, set := range opts {
		set(&o)
	}
	s := &Self{reg: reg, prefix: prefix, standalone: o.standalone}
	f := factory{reg: reg, prefix: prefix, self: s}
	withModules, withoutModules, withActions := f, f.off(), f
	if o.standalone {
		withModules, withoutModules = f.off(), f
	}
	if o.quiet {
		withActions = f.off()
	}
	s.runs = newRunMetrics(f, withModules, withoutModules)
	s.watches = newWatchMetrics(f, withModules)
	s.client = newClientMetrics(f)
	s.queues = newQueueMetrics(f, withActions)
	s.modules = newModuleMetrics(withModules)
	s.conditions = newConditionMetrics(withModules)
	s.checks = newCheckMetrics(withModules)
	s.channels = newChannelMetrics(withModules)
	s.reviews = newReviewMetrics(f)
	ticks := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: prefix + "live_ticks", Help: "Grows by one every ten seconds."},
		sinceStart(time.Now()))
	reg.MustRegister(ticks, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

func sinceStart(start time.Time) func() float64 {
	return func() float64 { return float64(int(time.Since(start) / (10 * time.Second))) }
}

// Forget drops every series of an owner's hooks, as when a module is off.
func (s *Self) Forget(o hook.Owner) {
	for _, v := range s.owned {
		if s.standalone {
			v.Reset()
			continue
		}
		v.DeletePartialMatch(prometheus.Labels{"module": o.Module})
	}
	if o.IsGlobal() {
		s.runs.global.reset()
	}
}

// labels of a hook: module and hook, without modules only hook; then more. The
// module of global hooks is "".
func (s *Self) labels(id hook.ID, more ...string) []string {
	all := append([]string{id.Owner.Module, id.Name}, more...)
	if s.standalone {
		all = all[1:]
	}
	return labels(all...)
}

// labels makes values that every exposition format accepts: files and what they say
// need not be UTF-8.
func labels(values ...string) []string {
	for i, v := range values {
		values[i] = label(v)
	}
	return values
}

// hookLabels are the names that belong to labels.
func (s *Self) hookLabels(more ...string) []string {
	if s.standalone {
		return append([]string{"hook"}, more...)
	}
	return append([]string{"module", "hook"}, more...)
}

// fast buckets suit requests, filters and hooks without modules: 1 ms to 10 s; slow
// ones suit passes and hooks of modules: 20 ms to 500 s (C-513).
func fast() []float64 {
	return []float64{0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10}
}

func slow() []float64 {
	return []float64{0, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500}
}

// factory makes metrics and registers them.
type factory struct {
	reg    prometheus.Registerer
	prefix string
	self   *Self
	// telemetry stands before the prefix in the names of a few metrics.
	telemetry string
	// hooks makes labels begin with those of a hook; Forget then drops their series.
	hooks bool
}

// off makes metrics that nobody sees.
func (f factory) off() factory {
	f.reg = prometheus.NewRegistry()
	return f
}

func (f factory) ofHooks() factory {
	f.hooks = true
	return f
}

func (f factory) asTelemetry() factory {
	f.telemetry = "d8_telemetry_"
	return f
}

func (f factory) name(name string) string { return f.telemetry + f.prefix + name }

func (f factory) labels(names []string) []string {
	if f.hooks {
		return f.self.hookLabels(names...)
	}
	return names
}

func register[V vector](f factory, v V) V {
	f.reg.MustRegister(v)
	if f.hooks {
		f.self.owned = append(f.self.owned, v)
	}
	return v
}

func (f factory) counter(name, help string, labels ...string) *prometheus.CounterVec {
	return register(f, prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.name(name), Help: help}, f.labels(labels)))
}

func (f factory) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(f, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.name(name), Help: help}, f.labels(labels)))
}

func (f factory) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return register(f, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.name(name), Help: help, Buckets: buckets}, f.labels(labels)))
}
