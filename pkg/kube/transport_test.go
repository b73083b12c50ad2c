package kube

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

func TestPathsOfRequestsHoldNoNames(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/pods":                                    "/api/v1/pods",
		"/api/v1/namespaces":                              "/api/v1/namespaces",
		"/api/v1/namespaces/a":                            "/api/v1/namespaces/{name}",
		"/api/v1/namespaces/a/finalize":                   "/api/v1/namespaces/{name}/finalize",
		"/api/v1/namespaces/a/pods":                       "/api/v1/namespaces/{namespace}/pods",
		"/api/v1/namespaces/a/pods/b/status":              "/api/v1/namespaces/{namespace}/pods/{name}/status",
		"/apis/apps/v1/namespaces/a/deployments/b":        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
		"/apis/storage.k8s.io/v1/storageclasses/standard": "/apis/storage.k8s.io/v1/storageclasses/{name}",
		"/apis/apps/v1":                                   "/apis/apps/v1",
		"/apis":                                           "/apis",
		"/readyz":                                         "/readyz",
		"":                                                "",
	} {
		if got := anonymous(path); got != want {
			t.Errorf("%q is %q, expected %q", path, got, want)
		}
	}
}

// C-211, C-503: a server that does not answer, or stops in the middle of an answer,
// holds nobody up for ever; a watch may be silent as long as it likes.
func TestRequestsAreBoundedAndWatchesAreNot(t *testing.T) {
	leaks(t)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" || r.URL.Query().Get("watch") != "" {
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	var mu sync.Mutex
	var seen []Request
	client := &http.Client{Transport: &transport{next: http.DefaultTransport, component: "main", timeout: 50 * time.Millisecond,
		observe: Observer{Requested: func(r Request) { mu.Lock(); defer mu.Unlock(); seen = append(seen, r) }}}}
	get := func(path string) error {
		res, err := client.Get(server.URL + path)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
		return err
	}
	for _, path := range []string{"/never", "/half"} {
		if err := get(path); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s ended with %v", path, err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- get("/watched?watch=true") }()
	eventually(t, "the watch is open", func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) == 3 })
	if err := get("/never"); err == nil { // takes as long as the watch would have been given
		t.Error("the server answered")
	}
	select {
	case err := <-ended:
		t.Errorf("the watch ended with %v", err)
	default:
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 4 || seen[0].Code != 0 || seen[2].Code != http.StatusOK || seen[0].Path != "/never" || seen[0].Component != "main" {
		t.Errorf("observed %+v", seen)
	}
}

// C-211, C-503: requests of operations have a bound and a name of their own.
func TestClientsTellTheirRequests(t *testing.T) {
	var mu sync.Mutex
	components := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }))
	t.Cleanup(server.Close)
	c, err := NewClients(&rest.Config{Host: server.URL}, WithObserver(Observer{Requested: func(r Request) {
		mu.Lock()
		defer mu.Unlock()
		components[r.Component]++
	}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	pods := resource{gvr: configMapResource, namespaced: true}
	_, _ = c.client(pods, "a").Get(within(t), "x", metav1.GetOptions{})
	_, _ = c.operator(pods, "a").Get(within(t), "x", metav1.GetOptions{})
	if components["main"] != 1 || components["object_patcher"] != 1 {
		t.Errorf("requests by component: %v", components)
	}
}

// C-211, C-503: a rate that is asked for is kept, and the wait for it told.
func TestARateLimitsRequests(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	var told []string
	client := &http.Client{Transport: &transport{next: http.DefaultTransport, component: "main", timeout: time.Minute, limit: limiter(1e-6, 2),
		observe: Observer{Throttled: func(method, path string, _ time.Duration) { told = append(told, method+" "+path) }}}}
	get := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/namespaces/x/pods/y", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	for range 2 {
		if err := get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := get(ended); err == nil {
		t.Error("a third request was sent at once")
	}
	if want := "GET /api/v1/namespaces/{namespace}/pods/{name}"; len(told) != 2 || told[0] != want {
		t.Errorf("told %q", told)
	}
	if limiter(0, 10) != nil {
		t.Error("0 is a limit")
	}
}
