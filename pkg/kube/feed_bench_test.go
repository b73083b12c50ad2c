package kube

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// fill creates n ConfigMaps of size bytes with a key "a" of value "1".
func fill(t testing.TB, c *Clients, ns string, n, size int) {
	t.Helper()
	payload := strings.Repeat("0123456789abcdef", size/16)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			u := &unstructured.Unstructured{Object: configMap(ns, fmt.Sprintf("cm-%05d", i), yes, map[string]any{"a": "1", "payload": payload})}
			_, err := c.Dynamic.Resource(configMapResource).Namespace(ns).Create(context.Background(), u, metav1.CreateOptions{})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// counter is a sink that counts objects and keeps none.
type counter struct {
	n    int
	done context.CancelFunc
}

func (c *counter) begin()               {}
func (c *counter) put(metav1.Object)    { c.n++ }
func (c *counter) remove(metav1.Object) {}
func (c *counter) end()                 { c.done() }
func (c *counter) fault(error)          {}

// BenchmarkListing is a listing of 3,000 ConfigMaps of 6 KB into a sink that keeps nothing.
func BenchmarkListing(b *testing.B) {
	const n = 3000
	c := clients(b)
	ns := namespace(b, c, nil)
	fill(b, c, ns, n, 6<<10)
	src := c.source(resource{gvr: configMapResource, kind: "ConfigMap", namespaced: true}, ns)
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		ctx, stop := context.WithCancel(context.Background())
		s := &counter{done: stop}
		newFeed(src, s, "test=yes", "", c.discoveryChanged).run(ctx)
		if s.n != n {
			b.Fatalf("%d objects", s.n)
		}
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N*n), "cpu-µs/object")
}

// cpu is what this process has spent.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
