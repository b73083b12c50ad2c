package kube

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

var errDown = errors.New("the fence is down")

// gate is a fence of tests.
type gate struct {
	mu          sync.Mutex
	write, send error
	asked       func() // when Write was asked
}

func (g *gate) set(write, send error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.write, g.send = write, send
}

func (g *gate) Write() error {
	if g.asked != nil {
		g.asked()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.write
}

func (g *gate) Send() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.send
}

// fencedClients are clients of a server that counts what arrives.
func fencedClients(t *testing.T, g *gate) (*Clients, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var arrived []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		arrived = append(arrived, r.Method)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}`))
	}))
	t.Cleanup(server.Close)
	c, err := NewClients(&rest.Config{Host: server.URL}, WithFence(g))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), arrived...) }
}

// C-450: of a replica that does not lead reads arrive, and no write by any client.
func TestOnlyReadsPassAFenceThatIsDown(t *testing.T) {
	g := &gate{write: errDown}
	c, arrived := fencedClients(t, g)
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}}}
	pods := resource{gvr: configMapResource, namespaced: true}
	for _, client := range []dynamic.ResourceInterface{c.client(pods, "a"), c.operator(pods, "a")} {
		writes := map[string]func(context.Context) error{
			"create": func(ctx context.Context) error {
				_, err := client.Create(ctx, object, metav1.CreateOptions{})
				return err
			},
			"update": func(ctx context.Context) error {
				_, err := client.Update(ctx, object, metav1.UpdateOptions{})
				return err
			},
			"patch": func(ctx context.Context) error {
				_, err := client.Patch(ctx, "x", "application/merge-patch+json", []byte("{}"), metav1.PatchOptions{})
				return err
			},
			"delete": func(ctx context.Context) error { return client.Delete(ctx, "x", metav1.DeleteOptions{}) },
		}
		for name, write := range writes {
			g.set(errDown, nil)
			if err := write(within(t)); !errors.Is(err, errDown) || !strings.Contains(err.Error(), "/api/v1/namespaces/a/configmaps") {
				t.Errorf("%s: %v", name, err)
			}
			g.set(nil, nil)
			if err := write(within(t)); err != nil {
				t.Errorf("%s while the fence is up: %v", name, err)
			}
		}
		g.set(errDown, nil)
		if _, err := client.Get(within(t), "x", metav1.GetOptions{}); err != nil {
			t.Errorf("get: %v", err)
		}
	}
	if n := len(arrived()); n != 2*(4+1) {
		t.Errorf("arrived: %v", arrived())
	}
}

// C-450: a process that is stopped after it asked, and before it sends, sends nothing when it goes on.
func TestNothingLeavesAConnectionOnceTheFenceIsDown(t *testing.T) {
	g := &gate{}
	c, arrived := fencedClients(t, g)
	pods := resource{gvr: configMapResource, namespaced: true}
	if _, err := c.client(pods, "a").Get(within(t), "x", metav1.GetOptions{}); err != nil { // there is a connection now
		t.Fatal(err)
	}
	g.asked = func() { g.set(nil, errDown) }
	err := c.client(pods, "a").Delete(within(t), "x", metav1.DeleteOptions{})
	if !errors.Is(err, errDown) {
		t.Errorf("delete: %v", err)
	}
	if got := arrived(); len(got) != 1 {
		t.Errorf("arrived: %v", got)
	}
}
