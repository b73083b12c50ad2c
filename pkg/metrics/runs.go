package metrics

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Run is one finished run of a hook.
type Run struct {
	ID                         hook.ID
	Binding, Queue, Activation string
	Usage                      hook.Usage
	// Waited is how long its first context was in a queue; 0 when it was in none.
	Waited               time.Duration
	Failed, AllowFailure bool
	// Reason is why it failed: hook.ReasonOf its error.
	Reason hook.Reason
}

// runMetrics are those of C-504, C-505, C-506 and C-510.
type runMetrics struct {
	module, global, standalone hookMetrics

	failures *prometheus.CounterVec
	waited   *prometheus.CounterVec

	enableSeconds, enableSuccess *prometheus.GaugeVec
	enableErrors                 *prometheus.CounterVec
}

// hookMetrics are those of one kind of owner. Counters have the names that the
// predecessor's code uses beside those of its documentation (C-512).
type hookMetrics struct {
	seconds, user, system    *prometheus.HistogramVec
	rss                      *prometheus.GaugeVec
	errors, allowed, success []*prometheus.CounterVec
}

func newRunMetrics(f, withModules, withoutModules factory) runMetrics {
	modules := []string{"", "_run"}
	return runMetrics{
		module:     withModules.ofHooks().runs("module_hook", slow(), modules, "binding", "queue", "activation"),
		global:     withModules.runs("global_hook", slow(), modules, "hook", "binding", "queue", "activation"),
		standalone: withoutModules.ofHooks().runs("hook", fast(), []string{"_run"}, "binding", "queue"),
		failures: register(f.ofHooks(), prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.name("hook_run_failures_total"),
			Help: "Failed runs of a hook by reason."}, []string{"module", "hook", "reason"})),
		waited:        f.ofHooks().counter("task_wait_in_queue_seconds_total", "Time that tasks of a hook waited in a queue.", "binding", "queue"),
		enableSeconds: withoutModules.ofHooks().gauge("hook_enable_kubernetes_bindings_seconds", "Time that a hook's kubernetes bindings took to start."),
		enableErrors:  withoutModules.ofHooks().counter("hook_enable_kubernetes_bindings_errors_total", "Failed starts of a hook's kubernetes bindings."),
		enableSuccess: withoutModules.ofHooks().gauge("hook_enable_kubernetes_bindings_success", "1 when a hook's kubernetes bindings have started."),
	}
}

// runs makes the metrics of runs; each counter once for every infix.
func (f factory) runs(name string, buckets []float64, infixes []string, labels ...string) hookMetrics {
	counters := func(what, help string) []*prometheus.CounterVec {
		var out []*prometheus.CounterVec
		for _, infix := range infixes {
			out = append(out, f.counter(name+infix+what, help, labels...))
		}
		return out
	}
	return hookMetrics{
		seconds: f.histogram(name+"_run_seconds", "Duration of a hook's run.", buckets, labels...),
		user:    f.histogram(name+"_run_user_cpu_seconds", "User CPU time of a hook's run.", buckets, labels...),
		system:  f.histogram(name+"_run_sys_cpu_seconds", "System CPU time of a hook's run.", buckets, labels...),
		rss:     f.gauge(name+"_run_max_rss_bytes", "Largest resident set of a hook's newest run.", labels...),
		errors:  counters("_errors_total", "Failed runs of a hook."),
		allowed: counters("_allowed_errors_total", "Failed runs of a hook that allows failure."),
		success: counters("_success_total", "Successful runs of a hook."),
	}
}

func (m hookMetrics) reset() {
	for _, v := range []vector{m.seconds, m.user, m.system, m.rss} {
		v.Reset()
	}
	for _, list := range [][]*prometheus.CounterVec{m.errors, m.allowed, m.success} {
		for _, v := range list {
			v.Reset()
		}
	}
}

// HookRun counts a run of a hook.
func (s *Self) HookRun(r Run) {
	m, labels := s.runs.of(r)
	// A run that could not start has used nothing.
	if r.Usage != (hook.Usage{}) {
		m.seconds.WithLabelValues(labels...).Observe(r.Usage.Wall.Seconds())
		m.user.WithLabelValues(labels...).Observe(r.Usage.User.Seconds())
		m.system.WithLabelValues(labels...).Observe(r.Usage.System.Seconds())
	}
	if r.Usage.MaxRSS > 0 { // of the shortest runs nobody knows
		m.rss.WithLabelValues(labels...).Set(float64(r.Usage.MaxRSS))
	}
	counters := m.success
	if r.Failed {
		counters = m.errors
		if r.AllowFailure {
			counters = m.allowed
		}
		s.runs.failures.WithLabelValues(label(r.ID.Owner.Module), label(r.ID.Name), string(cmp.Or(r.Reason, hook.ReasonExit))).Inc()
	}
	for _, c := range counters {
		c.WithLabelValues(labels...).Inc()
	}
	if r.Waited > 0 {
		s.runs.waited.WithLabelValues(s.labels(r.ID, r.Binding, r.Queue)...).Add(r.Waited.Seconds())
	}
}

// of picks the metrics of a run's owner and the values of their labels.
func (m runMetrics) of(r Run) (hookMetrics, []string) {
	labels := labels(r.ID.Owner.Module, r.ID.Name, r.Binding, r.Queue, r.Activation)
	switch {
	case r.ID.Owner.IsStandalone():
		return m.standalone, labels[1:4]
	case r.ID.Owner.IsGlobal():
		return m.global, labels[1:]
	}
	return m.module, labels
}

// BindingsStarted tells how the start of a hook's kubernetes bindings ended (C-506).
func (s *Self) BindingsStarted(id hook.ID, took time.Duration, err error) {
	labels := s.labels(id)
	s.runs.enableSeconds.WithLabelValues(labels...).Set(took.Seconds())
	success := 1.0
	if err != nil {
		success = 0
		s.runs.enableErrors.WithLabelValues(labels...).Inc()
	}
	s.runs.enableSuccess.WithLabelValues(labels...).Set(success)
}
