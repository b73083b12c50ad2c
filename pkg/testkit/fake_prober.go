package testkit

import (
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/status"
)

type prober struct{ *World }

func (w prober) Configure(name string, checks []module.HealthCheck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, c := range checks {
		names = append(names, c.Name)
	}
	if slices.Equal(w.probes[name], names) {
		return
	}
	w.probes[name] = names
	w.note(name, "health checks: %s", strings.Join(names, ", "))
}

func (w prober) Renew(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.probes[name] {
		delete(w.problems, name+"/"+c)
	}
}

func (w prober) Forget(name string) { w.Configure(name, nil) }

func (w prober) Results(name string) (out []status.Check) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.probes[name] {
		problem, looked := w.problems[name+"/"+c]
		out = append(out, status.Check{Name: c, Looked: looked, Problem: problem})
	}
	return out
}

// Look gives a health check its result; "" is a check that holds.
func (w *World) Look(name, check, problem string) {
	w.mu.Lock()
	w.problems[name+"/"+check] = problem
	loop := w.loop
	w.mu.Unlock()
	loop.ChecksChanged(name)
}
