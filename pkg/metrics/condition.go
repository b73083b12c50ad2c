package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/addon-operator/addon-operator/pkg/status"
)

// conditionMetrics show what Module resources show, for alerts.
type conditionMetrics struct{ holds *prometheus.GaugeVec }

func newConditionMetrics(f factory) conditionMetrics {
	return conditionMetrics{f.gauge("module_condition", "1 while a condition of a module is True, 0 while it is not.", "module", "condition")}
}

// Conditions shows the conditions of a module, such as Ready and Stalled.
func (s *Self) Conditions(m status.Module) {
	for _, c := range m.Conditions {
		v := 0.0
		if c.Status {
			v = 1
		}
		s.conditions.holds.WithLabelValues(m.Name, c.Type).Set(v)
	}
}

// WatchProgress shows how far convergence is, asked at each scrape: whether everything
// was attempted once, and how many modules have inputs that were not attempted yet. Call it once.
func (s *Self) WatchProgress(read func() (converged bool, unsettled int)) {
	if s.standalone {
		return
	}
	gauge := func(name, help string, value func() float64) {
		s.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: s.prefix + name, Help: help}, value))
	}
	gauge("converged", "1 once everything was attempted since the start.", func() float64 {
		if converged, _ := read(); converged {
			return 1
		}
		return 0
	})
	gauge("modules_unsettled", "Modules whose wanted inputs were not attempted yet.", func() float64 {
		_, unsettled := read()
		return float64(unsettled)
	})
}
