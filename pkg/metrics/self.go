package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Self are the operator's own metrics.
type Self struct {
	module, global hookMetrics

	runSeconds  *prometheus.HistogramVec
	runErrors   *prometheus.CounterVec
	helmSeconds *prometheus.HistogramVec
	redeployed  *prometheus.CounterVec
	enabled     *prometheus.GaugeVec
	configError prometheus.Counter
}

type hookMetrics struct {
	seconds, user, system    *prometheus.HistogramVec
	rss                      *prometheus.GaugeVec
	errors, allowed, success *prometheus.CounterVec
}

// slow buckets suit hooks and passes: 20 ms to 500 s (C-513).
var slow = []float64{0, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500}

// NewSelf registers the metrics with names that begin with prefix, "addon_operator_"
// by default (C-507 … C-510).
func NewSelf(reg prometheus.Registerer, prefix string) *Self {
	f := factory{reg, prefix}
	s := &Self{
		module:      f.hooks("module_hook", "module"),
		global:      f.hooks("global_hook"),
		runSeconds:  f.histogram("module_run_seconds", "Duration of a module's pass.", "module", "activation"),
		runErrors:   f.counter("module_run_errors_total", "Passes of a module that failed.", "module"),
		helmSeconds: f.histogram("module_helm_seconds", "Time a module's pass spent on rendering and applying.", "module", "activation"),
		redeployed:  f.counter("modules_helm_release_redeployed_total", "Upgrades of a module's release.", "module"),
		enabled:     f.gauge("mm_module_enabled", "1 while a module is on.", "module", "version"),
	}
	s.configError = prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "config_values_errors_total",
		Help: "ConfigMap keys that could not be used."})
	reg.MustRegister(s.configError)
	ticks := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: prefix + "live_ticks", Help: "Grows by one every ten seconds."},
		sinceStart(time.Now()))
	reg.MustRegister(ticks, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

func sinceStart(start time.Time) func() float64 {
	return func() float64 { return float64(int(time.Since(start) / (10 * time.Second))) }
}

// Run is one finished run of a hook.
type Run struct {
	ID                         hook.ID
	Binding, Queue, Activation string
	Usage                      hook.Usage
	Failed, AllowFailure       bool
}

// HookRun counts a run of a hook (C-510).
func (s *Self) HookRun(r Run) {
	m, labels := s.module, []string{r.ID.Owner.Module, r.ID.Name, r.Binding, r.Queue, r.Activation}
	if r.ID.Owner.IsGlobal() {
		m, labels = s.global, labels[1:]
	}
	m.seconds.WithLabelValues(labels...).Observe(r.Usage.Wall.Seconds())
	m.user.WithLabelValues(labels...).Observe(r.Usage.User.Seconds())
	m.system.WithLabelValues(labels...).Observe(r.Usage.System.Seconds())
	m.rss.WithLabelValues(labels...).Set(float64(r.Usage.MaxRSS))
	switch {
	case !r.Failed:
		m.success.WithLabelValues(labels...).Inc()
	case r.AllowFailure:
		m.allowed.WithLabelValues(labels...).Inc()
	default:
		m.errors.WithLabelValues(labels...).Inc()
	}
}

// ModuleRun counts a pass of a module (C-508).
func (s *Self) ModuleRun(module, activation string, took, helm time.Duration, upgraded, failed bool) {
	s.runSeconds.WithLabelValues(module, activation).Observe(took.Seconds())
	if helm > 0 {
		s.helmSeconds.WithLabelValues(module, activation).Observe(helm.Seconds())
	}
	if upgraded {
		s.redeployed.WithLabelValues(module).Inc()
	}
	if failed {
		s.runErrors.WithLabelValues(module).Inc()
	}
}

// Enabled shows whether a module is on (C-509).
func (s *Self) Enabled(module, version string, on bool) {
	v := 0.0
	if on {
		v = 1
	}
	s.enabled.WithLabelValues(module, version).Set(v)
}

// ConfigProblem counts a ConfigMap key that could not be used (C-375).
func (s *Self) ConfigProblem() { s.configError.Inc() }

type factory struct {
	reg    prometheus.Registerer
	prefix string
}

func (f factory) hooks(name string, first ...string) hookMetrics {
	labels := append(first, "hook", "binding", "queue", "activation")
	return hookMetrics{
		seconds: f.histogram(name+"_run_seconds", "Duration of a hook's run.", labels...),
		user:    f.histogram(name+"_run_user_cpu_seconds", "User CPU time of a hook's run.", labels...),
		system:  f.histogram(name+"_run_sys_cpu_seconds", "System CPU time of a hook's run.", labels...),
		rss:     f.gauge(name+"_run_max_rss_bytes", "Largest resident set of a hook's newest run.", labels...),
		errors:  f.counter(name+"_errors_total", "Failed runs of a hook.", labels...),
		allowed: f.counter(name+"_allowed_errors_total", "Failed runs of a hook that allows failure.", labels...),
		success: f.counter(name+"_success_total", "Successful runs of a hook.", labels...),
	}
}

func (f factory) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.prefix + name, Help: help}, labels)
	f.reg.MustRegister(v)
	return v
}

func (f factory) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.prefix + name, Help: help}, labels)
	f.reg.MustRegister(v)
	return v
}

func (f factory) histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.prefix + name, Help: help, Buckets: slow}, labels)
	f.reg.MustRegister(v)
	return v
}
