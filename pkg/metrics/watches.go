package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// watchMetrics are those of C-502 and binding_count of C-507.
type watchMetrics struct {
	objects          *prometheus.GaugeVec
	filtered, events *prometheus.HistogramVec
	bindings         *prometheus.GaugeVec
	missing          *prometheus.CounterVec
}

func newWatchMetrics(f, withModules factory) watchMetrics {
	labels := []string{"binding", "queue", "kind"}
	if f.self.standalone {
		labels = labels[:2]
	}
	of := f.ofHooks()
	return watchMetrics{
		objects:  of.gauge("kube_snapshot_objects", "Objects in the snapshot of a binding.", labels...),
		filtered: of.histogram("kube_jq_filter_duration_seconds", "Duration of a run of a binding's jqFilter.", fast(), labels...),
		events:   of.histogram("kube_event_duration_seconds", "Time from the arrival of an object to the queue of its binding, filter included.", fast(), labels...),
		bindings: withModules.ofHooks().gauge("binding_count", "Bindings of a hook."),
		missing:  f.counter("binding_monitor_missing_total", "Snapshots asked of a binding that is not watched.", "binding"),
	}
}

func (s *Self) binding(id hook.ID, b hook.Kubernetes) []string {
	if s.standalone {
		return s.labels(id, b.Name, b.Queue)
	}
	return s.labels(id, b.Name, b.Queue, b.Kind)
}

// Objects sets how many objects the snapshot of a binding holds.
func (s *Self) Objects(id hook.ID, b hook.Kubernetes, n int) {
	s.watches.objects.WithLabelValues(s.binding(id, b)...).Set(float64(n))
}

// Stopped drops the number of objects of a binding that is not watched any more.
func (s *Self) Stopped(id hook.ID, b hook.Kubernetes) {
	s.watches.objects.DeleteLabelValues(s.binding(id, b)...)
}

// Filtered counts one run of a binding's jqFilter.
func (s *Self) Filtered(id hook.ID, b hook.Kubernetes, took time.Duration) {
	s.watches.filtered.WithLabelValues(s.binding(id, b)...).Observe(took.Seconds())
}

// Handled counts one object that came to a binding.
func (s *Self) Handled(id hook.ID, b hook.Kubernetes, took time.Duration) {
	s.watches.events.WithLabelValues(s.binding(id, b)...).Observe(took.Seconds())
}

// Bindings sets how many bindings a hook has.
func (s *Self) Bindings(id hook.ID, n int) {
	s.watches.bindings.WithLabelValues(s.labels(id)...).Set(float64(n))
}

// MonitorMissing counts a snapshot asked of a binding that is not watched.
func (s *Self) MonitorMissing(binding string) {
	s.watches.missing.WithLabelValues(label(binding)).Inc()
}

// clientMetrics are those of C-503.
type clientMetrics struct {
	watchErrors *prometheus.CounterVec
	latency     *prometheus.HistogramVec
	results     *prometheus.CounterVec
	throttled   *prometheus.HistogramVec
}

func newClientMetrics(f factory) clientMetrics {
	m := clientMetrics{
		watchErrors: f.counter("kubernetes_client_watch_errors_total", "Watches that ended, by why.", "error_type"),
		latency:     f.histogram("kubernetes_client_request_latency_seconds", "Time to the head of the API server's answer.", fast(), "component", "verb", "url"),
		results:     f.counter("kubernetes_client_request_result_total", "Requests to the API server by status code.", "component", "code", "method", "host"),
		throttled:   f.histogram("kubernetes_client_rate_limiter_latency_seconds", "Time that a request waited for the client's own rate limit, where there is one.", fast(), "verb", "url"),
	}
	for _, t := range []string{"expired", "eof", "unexpected-eof", "fail", "nil"} {
		m.watchErrors.WithLabelValues(t)
	}
	return m
}

// Request is one answered or failed request to the API server.
type Request struct {
	// Component is who asked: main, or object_patcher for object operations of hooks.
	Component string
	Method    string
	Host      string
	// Path is without names, or there were a series for each object.
	Path string
	// Code is the HTTP status; 0 when no answer came.
	Code int
	// Took is the time until the head of the answer.
	Took time.Duration
}

// Requested counts a request.
func (s *Self) Requested(r Request) {
	code := "<error>"
	if r.Code != 0 {
		code = strconv.Itoa(r.Code)
	}
	s.client.latency.WithLabelValues(labels(r.Component, r.Method, r.Path)...).Observe(r.Took.Seconds())
	s.client.results.WithLabelValues(labels(r.Component, code, r.Method, r.Host)...).Inc()
}

// Throttled counts a request that the client's own rate limit let pass; path is without names.
func (s *Self) Throttled(method, path string, took time.Duration) {
	s.client.throttled.WithLabelValues(labels(method, path)...).Observe(took.Seconds())
}

// WatchFailed counts a watch that ended; errorType is expired, eof, unexpected-eof, fail or nil.
func (s *Self) WatchFailed(errorType string) { s.client.watchErrors.WithLabelValues(errorType).Inc() }
