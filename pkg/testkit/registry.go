package testkit

import (
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// OCIRegistry is a real registry in this process, on loopback and plain HTTP, with everything in memory.
type OCIRegistry struct {
	// Host is 127.0.0.1:PORT; it stays the same over outages.
	Host string

	t       testing.TB
	handler http.Handler

	mu        sync.Mutex
	server    *http.Server
	ended     chan struct{}
	requests  []string
	intercept func(w http.ResponseWriter, r *http.Request) bool
}

// Registry starts a registry that ends with the test.
func Registry(t testing.TB) *OCIRegistry {
	t.Helper()
	r := &OCIRegistry{t: t, handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	r.listen("127.0.0.1:0")
	t.Cleanup(r.Down)
	return r
}

func (r *OCIRegistry) listen(addr string) {
	r.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Host = l.Addr().String()
	server, ended := &http.Server{Handler: r}, make(chan struct{})
	r.server, r.ended = server, ended
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
}

// ServeHTTP implements http.Handler.
func (r *OCIRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests = append(r.requests, req.Method+" "+req.URL.Path)
	intercept := r.intercept
	r.mu.Unlock()
	if intercept == nil || !intercept(w, req) {
		r.handler.ServeHTTP(w, req)
	}
}

// Requests are METHOD PATH of all requests since the last Forget, in their order.
func (r *OCIRegistry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Count is how many of Requests begin with prefix.
func (r *OCIRegistry) Count(prefix string) int {
	n := 0
	for _, q := range r.Requests() {
		if strings.HasPrefix(q, prefix) {
			n++
		}
	}
	return n
}

// Forget empties Requests.
func (r *OCIRegistry) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// Intercept has f see each request first; when it answers true, the registry does not see it. Nil ends that.
func (r *OCIRegistry) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.intercept = f
}

// Down closes the registry's port and all connections; what it holds stays.
func (r *OCIRegistry) Down() {
	r.mu.Lock()
	server, ended := r.server, r.ended
	r.server = nil
	r.mu.Unlock()
	if server != nil {
		_ = server.Close()
		<-ended
	}
}

// Up opens the same port again.
func (r *OCIRegistry) Up() {
	r.t.Helper()
	r.listen(r.Host)
}
