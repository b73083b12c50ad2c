package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/addon-operator/addon-operator/pkg/status"
)

// checkMetrics show the health checks of modules by HTTP and hook.
type checkMetrics struct {
	holds *prometheus.GaugeVec
	shown *shownChecks
}

// shownChecks are the names of the checks that have a series.
type shownChecks struct {
	mu  sync.Mutex
	now map[string][]string
}

func newCheckMetrics(f factory) checkMetrics {
	return checkMetrics{
		holds: f.gauge("module_health_check", "1 while a health check of a module by HTTP or hook holds, 0 while it does not or is not known.", "module", "check"),
		shown: &shownChecks{now: map[string][]string{}},
	}
}

// Checks shows the health checks of a module, in place of those shown before.
func (s *Self) Checks(m status.Module) {
	c := s.checks
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	old := c.shown.now[m.Name]
	if len(old) == 0 && len(m.Checks) == 0 {
		return
	}
	now := make([]string, 0, len(m.Checks))
	for _, check := range m.Checks {
		v := 0.0
		if check.Holds() {
			v = 1
		}
		now = append(now, label(check.Name))
		c.holds.WithLabelValues(labels(m.Name, check.Name)...).Set(v)
	}
	c.drop(m.Name, old, now)
	c.shown.now[m.Name] = now
	if len(now) == 0 {
		delete(c.shown.now, m.Name)
	}
}

// drop removes the series of checks that are not kept.
func (c checkMetrics) drop(module string, old, keep []string) {
	kept := map[string]bool{}
	for _, name := range keep {
		kept[name] = true
	}
	for _, name := range old {
		if !kept[name] {
			c.holds.DeleteLabelValues(module, name)
		}
	}
}
