package kube

import (
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Observer is told what watches and requests do, for the metrics of C-502 and
// C-503. Every field may be nil, and what is nil costs nothing. The functions are
// called from many goroutines and must return at once.
type Observer struct {
	// Objects is how many objects the snapshot of a binding holds, whenever that
	// changes: kube_snapshot_objects.
	Objects func(id hook.ID, b hook.Kubernetes, n int)
	// Stopped says that a binding is not watched any more: its series of Objects ends.
	Stopped func(id hook.ID, b hook.Kubernetes)
	// Filtered is one run of a binding's jqFilter: kube_jq_filter_duration_seconds.
	Filtered func(id hook.ID, b hook.Kubernetes, took time.Duration)
	// Handled is one object from its arrival to the binding's cache and queue,
	// filter included: kube_event_duration_seconds.
	Handled func(id hook.ID, b hook.Kubernetes, took time.Duration)
	// WatchFailed counts watches that ended, by error_type of C-503: expired, eof,
	// unexpected-eof or fail: kubernetes_client_watch_errors_total.
	WatchFailed func(errorType string)
	// Requested is one answered or failed request, of a watch its opening:
	// kubernetes_client_request_latency_seconds and _request_result_total.
	Requested func(Request)
	// Throttled is a request that had to wait for WithRate, or did not:
	// kubernetes_client_rate_limiter_latency_seconds.
	Throttled func(method, path string, took time.Duration)
}

// Request is one request to the API server.
type Request struct {
	// Component is "main", or "object_patcher" for the object operations of hooks.
	Component string
	Method    string
	Host      string
	// Path is without names: /api/v1/namespaces/{namespace}/pods/{name}.
	Path string
	// Code is the HTTP status; 0 when no answer came.
	Code int
	// Took is the time until the head of the answer.
	Took time.Duration
}

// Values of error_type (C-503).
const (
	watchExpired       = "expired"
	watchEOF           = "eof"
	watchUnexpectedEOF = "unexpected-eof"
	watchFail          = "fail"
)

func (o *Observer) watchFailed(errorType string) {
	if o.WatchFailed != nil {
		o.WatchFailed(errorType)
	}
}
