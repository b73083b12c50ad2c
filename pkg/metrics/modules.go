package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/addon-operator/addon-operator/pkg/status"
)

// moduleMetrics are those of C-508 and C-509, and config_values_errors_total of C-507.
type moduleMetrics struct {
	runSeconds, helmSeconds         *prometheus.HistogramVec
	runErrors, redeployed           *prometheus.CounterVec
	enabled, enabledTelemetry, info *prometheus.GaugeVec
	configErrors, absent            *prometheus.CounterVec
	maintenance, paused             *prometheus.GaugeVec
	deleteErrors, discoverErrors    *prometheus.CounterVec
	helmOperations                  *prometheus.HistogramVec
	convergenceSeconds, convergence *prometheus.CounterVec
	shown                           *shownModules
}

// shownModules is what the series of C-509 say of each module.
type shownModules struct {
	// mu keeps the replacing of a module's series whole.
	mu  sync.Mutex
	now map[string]shownModule
}

type shownModule struct {
	version string
	on      bool
}

func (m shownModule) state() (text string, value float64) {
	if m.on {
		return "true", 1
	}
	return "false", 0
}

func newModuleMetrics(f factory) moduleMetrics {
	m := moduleMetrics{
		runSeconds:   f.histogram("module_run_seconds", "Duration of a module's pass.", slow(), "module", "activation"),
		runErrors:    f.counter("module_run_errors_total", "Passes of a module that failed.", "module"),
		helmSeconds:  f.histogram("module_helm_seconds", "Time a module's pass spent on rendering and applying.", slow(), "module", "activation"),
		redeployed:   f.counter("modules_helm_release_redeployed_total", "Upgrades of a module's release.", "module"),
		enabled:      f.gauge("mm_module_enabled", "1 while a module is on.", "module", "version"),
		info:         f.gauge("mm_module_info", "1 for each module that is known.", "module", "enabled", "critical"),
		configErrors: f.counter("config_values_errors_total", "Keys of the ConfigMap that could not be used."),
		shown:        &shownModules{now: map[string]shownModule{}},
		absent:       f.counter("modules_absent_resources_total", "Objects of releases that were deleted by somebody else and brought back.", "module", "resource"),
		maintenance:  f.gauge("mm_module_maintenance", "1 while a module is in the maintenance state.", "module", "state"),
		paused:       f.gauge("module_paused_until_seconds", "End of a module's pause as Unix time, while it is paused.", "module"),
	}
	m.enabledTelemetry = register(f, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "d8_telemetry_module_enabled", Help: "1 while a module is on."}, []string{"module", "version"}))
	m.deleteErrors = f.counter("module_delete_errors_total", "Removals of a module that failed.", "module")
	m.discoverErrors = f.counter("modules_discover_errors_total", "Decisions about modules, or readings of them, that failed.")
	m.helmOperations = f.histogram("helm_operation_seconds", "Duration of a part of Helm's work.", slow(), "module", "activation", "operation")
	m.convergenceSeconds = f.counter("convergence_seconds", "Time from a change that concerns every module until all are settled.", "activation")
	m.convergence = f.counter("convergence_total", "Convergences, by what they began with.", "activation")
	m.configErrors.WithLabelValues() // there from the start
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

// HelmOperation measures a part of Helm's work for a module: template, check-upgrade or upgrade (C-508).
func (s *Self) HelmOperation(module, activation, operation string, took time.Duration) {
	s.modules.helmOperations.WithLabelValues(module, activation, operation).Observe(took.Seconds())
}

// ModuleDeleteFailed counts a removal of a module that failed (C-508).
func (s *Self) ModuleDeleteFailed(module string) {
	s.modules.deleteErrors.WithLabelValues(module).Inc()
}

// DiscoverFailed counts a decision about a module, or a reading of modules, that failed (C-507).
func (s *Self) DiscoverFailed() { s.modules.discoverErrors.WithLabelValues().Inc() }

// Converged counts a convergence; activation is what it began with (C-511).
func (s *Self) Converged(activation string, took time.Duration) {
	s.modules.convergenceSeconds.WithLabelValues(activation).Add(took.Seconds())
	s.modules.convergence.WithLabelValues(activation).Inc()
}

// Enabled shows whether a module is on (C-509). Saying the same again costs nothing.
func (s *Self) Enabled(module, version string, on bool) {
	m := s.modules
	m.shown.mu.Lock()
	defer m.shown.mu.Unlock()
	next := shownModule{version, on}
	before, known := m.shown.now[module]
	if known && before == next {
		return
	}
	if known { // series of a version before would go on to say that it is on
		m.drop(module, before)
	}
	m.shown.now[module] = next
	state, value := next.state()
	m.enabled.WithLabelValues(module, version).Set(value)
	m.enabledTelemetry.WithLabelValues(module, version).Set(value)
	// No module is critical here: a failing one stops no other.
	m.info.WithLabelValues(module, state, "false").Set(1)
}

// drop removes what is shown of a module, by its exact labels: looking for them takes time that grows with all modules.
func (m moduleMetrics) drop(module string, was shownModule) {
	state, _ := was.state()
	m.enabled.DeleteLabelValues(module, was.version)
	m.enabledTelemetry.DeleteLabelValues(module, was.version)
	m.info.DeleteLabelValues(module, state, "false")
}

// Maintenance shows the maintenance mode of a module (C-355), "" for none.
func (s *Self) Maintenance(module, mode string) {
	m := s.modules
	m.maintenance.DeletePartialMatch(prometheus.Labels{"module": module})
	if mode != "" {
		m.maintenance.WithLabelValues(module, mode).Set(1)
	}
}

// Paused shows until when a module is paused; the zero time is not at all.
func (s *Self) Paused(module string, until time.Time) {
	if until.IsZero() {
		s.modules.paused.DeleteLabelValues(module)
		return
	}
	s.modules.paused.WithLabelValues(module).Set(float64(until.Unix()))
}

// ResourceAbsent counts an object of a release that was deleted and is brought back
// (C-445, C-508); resource is <namespace>/<kind>/<name>.
func (s *Self) ResourceAbsent(module, resource string) {
	s.modules.absent.WithLabelValues(module, resource).Inc()
}

// ForgetModule drops every series of a module that is gone.
func (s *Self) ForgetModule(module string) {
	s.Checks(status.Module{Name: module})
	s.channels.forget(module)
	m := s.modules
	m.shown.mu.Lock()
	defer m.shown.mu.Unlock()
	delete(m.shown.now, module)
	of := prometheus.Labels{"module": module}
	s.conditions.holds.DeletePartialMatch(of)
	for _, v := range []vector{m.runSeconds, m.helmSeconds, m.runErrors, m.redeployed, m.deleteErrors, m.helmOperations, m.enabled, m.enabledTelemetry, m.info, m.absent, m.maintenance, m.paused} {
		v.DeletePartialMatch(of)
	}
}

// ConfigProblem counts a ConfigMap key that could not be used (C-375).
func (s *Self) ConfigProblem() { s.modules.configErrors.WithLabelValues().Inc() }
