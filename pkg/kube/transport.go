package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/client-go/util/flowcontrol"
)

// Bounds of one request. The API server gives up an ordinary one after a minute,
// so waiting longer than that is waiting for an answer that will not come.
const (
	requestTimeout   = 70 * time.Second
	operationTimeout = 10 * time.Second // C-211
)

// transport bounds requests in time and tells an Observer of them. Watches and
// followed logs go on for ever by design: whoever opens one bounds it. That the
// peer behind a connection is gone is found out by client-go's HTTP/2 pings.
type transport struct {
	next      http.RoundTripper
	component string
	timeout   time.Duration
	limit     flowcontrol.RateLimiter // nil is no limit
	observe   Observer
	fence     Fence // nil: always up
}

// WrappedRoundTripper lets client-go find the transport below.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.next }

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.throttle(r); err != nil {
		return nil, err
	}
	if err := fenced(t.fence, r); err != nil {
		return nil, err
	}
	began := time.Now()
	res, err := t.bounded(r)
	if t.observe.Requested != nil {
		o := Request{Component: t.component, Method: r.Method, Host: r.URL.Host, Path: anonymous(r.URL.Path), Took: time.Since(began)}
		if err == nil {
			o.Code = res.StatusCode
		}
		t.observe.Requested(o)
	}
	return res, err
}

// throttle waits until the rate allows a request.
func (t *transport) throttle(r *http.Request) error {
	if t.limit == nil {
		return nil
	}
	began := time.Now()
	if err := t.limit.Wait(r.Context()); err != nil {
		return fmt.Errorf("waiting for the client's own rate limit: %w", err)
	}
	if t.observe.Throttled != nil {
		t.observe.Throttled(r.Method, anonymous(r.URL.Path), time.Since(began))
	}
	return nil
}

func (t *transport) bounded(r *http.Request) (*http.Response, error) {
	if longRunning(r) {
		return t.next.RoundTrip(r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	bound := time.AfterFunc(t.timeout, func() {
		cancel(fmt.Errorf("no answer from %s within %s: %w", r.URL.Host, t.timeout, context.DeadlineExceeded))
	})
	res, err := t.next.RoundTrip(r.WithContext(ctx))
	bound.Stop()
	if err != nil {
		err = why(ctx, r, err)
		cancel(nil)
		return nil, err
	}
	res.Body = &boundBody{ReadCloser: res.Body, bound: bound, timeout: t.timeout, cancel: cancel,
		why: func(err error) error { return why(ctx, r, err) }}
	return res, nil
}

// why is what a request failed of: its bound, or else err.
func why(ctx context.Context, r *http.Request, err error) error {
	if cause := context.Cause(ctx); cause != nil && r.Context().Err() == nil {
		return cause
	}
	return err
}

// boundBody bounds each wait for more of an answer: a server may stop in the
// middle of it. The reader may take its time in between.
type boundBody struct {
	io.ReadCloser
	bound   *time.Timer
	timeout time.Duration
	cancel  context.CancelCauseFunc
	why     func(error) error
}

func (b *boundBody) Read(p []byte) (int, error) {
	b.bound.Reset(b.timeout)
	n, err := b.ReadCloser.Read(p)
	b.bound.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.why(err)
	}
	return n, err
}

func (b *boundBody) Close() error {
	b.bound.Stop()
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

func longRunning(r *http.Request) bool {
	q := r.URL.Query()
	on := func(key string) bool { v := q.Get(key); return v == "true" || v == "1" }
	if on("watch") || on("follow") {
		return true
	}
	switch r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] {
	case "exec", "attach", "portforward", "proxy":
		return true
	}
	return false
}

// anonymous replaces the names of namespaces and objects in a path of the
// Kubernetes API, so that it can be the label of a metric.
func anonymous(path string) string {
	parts := strings.Split(path, "/")
	rest := len(parts)
	switch {
	case len(parts) > 3 && parts[1] == "api":
		rest = 3
	case len(parts) > 4 && parts[1] == "apis":
		rest = 4
	}
	if rest+2 < len(parts) && parts[rest] == "namespaces" && parts[rest+2] != "status" && parts[rest+2] != "finalize" {
		parts[rest+1] = "{namespace}"
		rest += 2
	}
	if rest+1 < len(parts) {
		parts[rest+1] = "{name}"
	}
	return strings.Join(parts, "/")
}
