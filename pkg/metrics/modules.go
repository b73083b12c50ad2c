package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// moduleMetrics are those of C-507 … C-509 and C-511.
type moduleMetrics struct {
	runSeconds, helmSeconds, helmOperations      *prometheus.HistogramVec
	runErrors, deleteErrors, redeployed, absent  *prometheus.CounterVec
	enabled, enabledTelemetry, info, maintenance *prometheus.GaugeVec
	configErrors, discoverErrors                 *prometheus.CounterVec
	convergenceSeconds, convergences             *prometheus.CounterVec
	// one keeps the replacing of a module's series whole.
	one *sync.Mutex
}

func newModuleMetrics(f factory) moduleMetrics {
	m := moduleMetrics{
		runSeconds:     f.histogram("module_run_seconds", "Duration of a module's pass.", slow(), "module", "activation"),
		runErrors:      f.counter("module_run_errors_total", "Passes of a module that failed.", "module"),
		deleteErrors:   f.counter("module_delete_errors_total", "Removals of a module that failed.", "module"),
		helmSeconds:    f.histogram("module_helm_seconds", "Time a module's pass spent on rendering and applying.", slow(), "module", "activation"),
		helmOperations: f.histogram("helm_operation_seconds", "Duration of one step with Helm: template, check-upgrade or upgrade.", slow(), "module", "activation", "operation"),
		redeployed:     f.counter("modules_helm_release_redeployed_total", "Upgrades of a module's release.", "module"),
		absent:         f.counter("modules_absent_resources_total", "Objects of a module's release that were found missing.", "module", "resource"),
		enabled:        f.gauge("mm_module_enabled", "1 while a module is on.", "module", "version"),
		info:           f.gauge("mm_module_info", "1 for each module that is known.", "module", "enabled", "critical"),
		maintenance:    f.gauge("mm_module_maintenance", "1 while a module is not managed.", "module", "state"),

		configErrors:       f.counter("config_values_errors_total", "Keys of the ConfigMap that could not be used."),
		discoverErrors:     f.counter("modules_discover_errors_total", "Decisions on which modules are on that failed."),
		convergenceSeconds: f.counter("convergence_seconds", "Time spent on bringing all modules to their wanted state.", "activation"),
		convergences:       f.counter("convergence_total", "How often all modules came to their wanted state.", "activation"),
		one:                &sync.Mutex{},
	}
	m.enabledTelemetry = register(f, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "d8_telemetry_module_enabled", Help: "1 while a module is on."}, []string{"module", "version"}))
	// Counters without labels are there from the start.
	m.configErrors.WithLabelValues()
	m.discoverErrors.WithLabelValues()
	return m
}

// ModuleRun counts a pass of a module (C-508).
func (s *Self) ModuleRun(module, activation string, took, helm time.Duration, upgraded, failed bool) {
	m := s.modules
	m.runSeconds.WithLabelValues(module, activation).Observe(took.Seconds())
	if helm > 0 {
		m.helmSeconds.WithLabelValues(module, activation).Observe(helm.Seconds())
	}
	if upgraded {
		m.redeployed.WithLabelValues(module).Inc()
	}
	if failed {
		m.runErrors.WithLabelValues(module).Inc()
	}
}

// ModuleDeleteFailed counts a removal of a module that failed (C-508).
func (s *Self) ModuleDeleteFailed(module string) {
	s.modules.deleteErrors.WithLabelValues(module).Inc()
}

// HelmOperation counts one step with Helm: template, check-upgrade or upgrade (C-508).
func (s *Self) HelmOperation(module, activation, operation string, took time.Duration) {
	s.modules.helmOperations.WithLabelValues(module, activation, operation).Observe(took.Seconds())
}

// ResourceAbsent counts an object of a module's release that was found missing;
// resource is namespace/kind/name (C-508).
func (s *Self) ResourceAbsent(module, resource string) {
	s.modules.absent.WithLabelValues(module, resource).Inc()
}

// Enabled shows whether a module is on (C-509).
func (s *Self) Enabled(module, version string, on bool) {
	m := s.modules
	m.one.Lock()
	defer m.one.Unlock()
	state, value := "false", 0.0
	if on {
		state, value = "true", 1
	}
	of := prometheus.Labels{"module": module}
	// Series of a version before would go on to say that it is on.
	for _, v := range []*prometheus.GaugeVec{m.enabled, m.enabledTelemetry, m.info} {
		v.DeletePartialMatch(of)
	}
	m.enabled.WithLabelValues(module, version).Set(value)
	m.enabledTelemetry.WithLabelValues(module, version).Set(value)
	// No module is critical here: a failing one stops no other.
	m.info.WithLabelValues(module, state, "false").Set(1)
}

// Maintenance shows that a module is not managed, and why in state; "" ends that (C-509).
func (s *Self) Maintenance(module, state string) {
	m := s.modules
	m.one.Lock()
	defer m.one.Unlock()
	m.maintenance.DeletePartialMatch(prometheus.Labels{"module": module})
	if state != "" {
		m.maintenance.WithLabelValues(module, state).Set(1)
	}
}

// ForgetModule drops every series of a module that is gone.
func (s *Self) ForgetModule(module string) {
	m := s.modules
	m.one.Lock()
	defer m.one.Unlock()
	of := prometheus.Labels{"module": module}
	for _, v := range []vector{m.runSeconds, m.helmSeconds, m.helmOperations, m.runErrors, m.deleteErrors, m.redeployed, m.absent,
		m.enabled, m.enabledTelemetry, m.info, m.maintenance} {
		v.DeletePartialMatch(of)
	}
}

// ConfigProblem counts a ConfigMap key that could not be used (C-375).
func (s *Self) ConfigProblem() { s.modules.configErrors.WithLabelValues().Inc() }

// DiscoverFailed counts a decision on which modules are on that failed (C-507).
func (s *Self) DiscoverFailed() { s.modules.discoverErrors.WithLabelValues().Inc() }

// Converged counts a convergence, by what began it (C-511).
func (s *Self) Converged(activation string, took time.Duration) {
	s.modules.convergenceSeconds.WithLabelValues(activation).Add(took.Seconds())
	s.modules.convergences.WithLabelValues(activation).Inc()
}
