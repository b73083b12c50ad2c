package kube

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// fault answers a request in place of the API server; false lets the request through.
type fault func(w http.ResponseWriter, r *http.Request) bool

// between puts a server between clients and the API server that answers with fault.
func between(t *testing.T, f fault, opts ...Option) *Clients {
	t.Helper()
	cfg := testkit.Cluster(t)
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(cfg.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	c, err := NewClients(&rest.Config{Host: server.URL}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.HTTP.CloseIdleConnections(); server.CloseClientConnections(); server.Close() })
	return c
}

func isWatch(r *http.Request) bool {
	return r.URL.Query().Get("watch") != "" && strings.HasSuffix(r.URL.Path, "/configmaps")
}

func isList(r *http.Request) bool {
	return r.URL.Query().Get("watch") == "" && strings.HasSuffix(r.URL.Path, "/configmaps")
}

func write(w http.ResponseWriter, code int, text string) bool {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush()
	return true
}

// inCluster is what the cluster holds, as results shows a snapshot of configMaps.
func inCluster(t testing.TB, c *Clients, ns string) string {
	t.Helper()
	list, err := c.Dynamic.Resource(configMapResource).Namespace(ns).List(within(t), metav1.ListOptions{LabelSelector: "test=yes"})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, u := range list.Items {
		data, _ := u.Object["data"].(map[string]any)
		a, _ := data["a"].(string)
		all = append(all, fmt.Sprintf("%q", u.GetName()+"="+a))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// C-148, C-503: whatever a watch or a list ends with, the snapshot ends equal to the cluster,
// and what did not change brings no event.
func TestWatchesRecover(t *testing.T) {
	const gone = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old resource version"}`
	direct := clients(t)
	for name, c := range map[string]struct {
		strike func(w http.ResponseWriter) bool
		lists  bool
		metric string
	}{
		"from a 410 in the middle of a watch": {func(w http.ResponseWriter) bool {
			return write(w, 200, `{"type":"ERROR","object":`+gone+"}\n")
		}, false, watchExpired},
		"from a watch refused with 410": {func(w http.ResponseWriter) bool { return write(w, 410, gone) }, false, watchExpired},
		"from text that is no JSON":     {func(w http.ResponseWriter) bool { return write(w, 200, "<html>busy</html>") }, false, watchFail},
		"from a connection that is cut in the middle of an event": {func(w http.ResponseWriter) bool {
			write(w, 200, `{"type":"ADDED","obj`)
			panic(http.ErrAbortHandler)
		}, false, watchUnexpectedEOF},
		"from a watch that ends at once": {func(w http.ResponseWriter) bool { return write(w, 200, "") }, false, watchEOF},
		"from an error of the server":    {func(w http.ResponseWriter) bool { return write(w, 500, "oops") }, false, watchFail},
		"from a list cut in the middle": {func(w http.ResponseWriter) bool {
			write(w, 200, `{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"ghost"`)
			panic(http.ErrAbortHandler)
		}, true, ""},
		"from a list that is no list": {func(w http.ResponseWriter) bool { return write(w, 200, "<html>busy</html>") }, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			ns := namespace(t, direct, nil)
			mustCreate(t, direct, configMap(ns, "same", yes, map[string]any{"a": "1"}))
			mustCreate(t, direct, configMap(ns, "old", yes, map[string]any{"a": "1"}))
			var mu sync.Mutex
			left, metrics := 3, map[string]int{}
			p := between(t, func(w http.ResponseWriter, r *http.Request) bool {
				if c.lists != isList(r) || !c.lists && !isWatch(r) {
					return false
				}
				mu.Lock()
				left--
				broken := left >= 0
				mu.Unlock()
				return broken && c.strike(w)
			}, WithObserver(Observer{WatchFailed: func(kind string) { mu.Lock(); defer mu.Unlock(); metrics[kind]++ }}))
			var r recorder
			h := r.handler()
			h.Failed = nil
			m, err := NewWatcher(p, quiet).Watch(within(t), testHook, configMaps(t, ns), h)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Stop)
			m.Unlock()
			mustCreate(t, direct, configMap(ns, "new", yes, map[string]any{"a": "1"}))
			do(t, direct, mergePatch("ConfigMap", ns, "new", `{"data":{"a":"2"}}`), deletion("ConfigMap", ns, "old"))
			eventually(t, "the faults are over", func() bool { mu.Lock(); defer mu.Unlock(); return left < 0 })
			want := inCluster(t, direct, ns)
			eventually(t, "the snapshot equals the cluster", func() bool { return results(m.Snapshot()) == want })
			eventually(t, "the deletion was told", func() bool { return strings.Contains(r.String(), `Deleted "old=1"`) })
			if s := r.String(); strings.Contains(s, "same") || strings.Contains(s, "ghost") {
				t.Errorf("events of what did not change: %s", s)
			}
			mu.Lock()
			defer mu.Unlock()
			if c.metric != "" && metrics[c.metric] < 3 {
				t.Errorf("ends of watches: %v, expected 3 of %s", metrics, c.metric)
			}
		})
	}
}

// resynchronizationPeriod: a list finds what no event told, and nothing else happens.
func TestResynchronizationFindsWhatWasMissed(t *testing.T) {
	leaks(t)
	direct := clients(t)
	ns := namespace(t, direct, nil)
	mustCreate(t, direct, configMap(ns, "a", yes, map[string]any{"a": "1"}))
	var mu sync.Mutex
	lists := 0
	p := between(t, func(w http.ResponseWriter, r *http.Request) bool {
		if isList(r) {
			mu.Lock()
			defer mu.Unlock()
			lists++
		}
		if !isWatch(r) {
			return false
		}
		write(w, 200, "") // a watch without a word
		<-r.Context().Done()
		return true
	})
	b := configMaps(t, ns)
	b.Resync = 20 * time.Millisecond
	var r recorder
	m := start(t, NewWatcher(p, quiet), b, &r)
	m.Unlock()
	do(t, direct, mergePatch("ConfigMap", ns, "a", `{"data":{"a":"2"}}`))
	r.expect(t, `Modified "a=2"`)
	mu.Lock()
	after := lists + 3
	mu.Unlock()
	eventually(t, "it is listed three times more", func() bool { mu.Lock(); defer mu.Unlock(); return lists >= after })
	r.expect(t, `Modified "a=2"`)
}

// frozen is a connection that nothing comes through any more, though it is open.
type frozen struct {
	net.Conn
	ice <-chan struct{}
}

func (c frozen) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.ice:
		<-make(chan struct{}) // until the process ends: the peer is gone without a word
	default:
	}
	return n, err
}

func (c frozen) Write(p []byte) (int, error) {
	select {
	case <-c.ice:
		return len(p), nil
	default:
		return c.Conn.Write(p)
	}
}

// A peer that is gone without closing the connection is noticed, by HTTP/2 pings.
func TestHalfOpenConnectionIsNoticed(t *testing.T) {
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "1")
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "1")
	direct := clients(t)
	ns := namespace(t, direct, nil)
	mustCreate(t, direct, configMap(ns, "a", yes, map[string]any{"a": "1"}))
	ice := make(chan struct{})
	var mu sync.Mutex
	dials := 0
	cfg := testkit.Cluster(t)
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		mu.Lock()
		defer mu.Unlock()
		if dials++; err != nil || dials > 1 {
			return conn, err
		}
		return frozen{conn, ice}, nil
	}
	c, err := NewClients(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var r recorder
	h := r.handler()
	h.Failed = nil
	m, err := NewWatcher(c, quiet).Watch(within(t), testHook, configMaps(t, ns), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	m.Unlock()
	do(t, direct, mergePatch("ConfigMap", ns, "a", `{"data":{"a":"2"}}`))
	r.expect(t, `Modified "a=2"`)
	close(ice)
	do(t, direct, mergePatch("ConfigMap", ns, "a", `{"data":{"a":"3"}}`))
	r.expect(t, `Modified "a=2"`, `Modified "a=3"`)
}

// A binding that comes late sees everything, and those that share its informer
// nothing of it; it is listed only where none of them keeps whole objects.
func TestLateBindingGetsAWholeListing(t *testing.T) {
	leaks(t)
	direct := clients(t)
	ns := namespace(t, direct, nil)
	for _, name := range []string{"a", "b"} {
		mustCreate(t, direct, configMap(ns, name, yes, map[string]any{"a": "1"}))
	}
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprintf("others keep full objects: %t", full), func(t *testing.T) {
			var mu sync.Mutex
			lists := 0
			c := between(t, func(_ http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				if isList(r) {
					lists++
				}
				return false
			})
			w := NewWatcher(c, quiet)
			var first, late recorder
			b := configMaps(t, ns)
			b.KeepFullObjects = full
			one := start(t, w, b, &first)
			one.Unlock()
			two := start(t, w, configMaps(t, ns), &late)
			two.Unlock()
			if got := results(two.Snapshot()); got != `"a=1" "b=1"` {
				t.Errorf("the late one sees %s", got)
			}
			if mu.Lock(); (lists == 1) != full {
				t.Errorf("listed %d times", lists)
			}
			mu.Unlock()
			first.expect(t)
			do(t, direct, mergePatch("ConfigMap", ns, "a", `{"data":{"a":"2"}}`))
			first.expect(t, `Modified "a=2"`)
			late.expect(t, `Modified "a=2"`)
			do(t, direct, mergePatch("ConfigMap", ns, "a", `{"data":{"a":"1"}}`))
			if n := len(w.informers.all); n != 1 {
				t.Errorf("%d informers", n)
			}
			eventually(t, "all is as before", func() bool { return results(two.Snapshot()) == `"a=1" "b=1"` })
		})
	}
}

// A jqFilter that does not end is told, and moves out: others wait for it once at most.
func TestSlowFilterGetsAnInformerOfItsOwn(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the time that a filter is given")
	}
	leaks(t)
	c := clients(t)
	ns := namespace(t, c, nil)
	mustCreate(t, c, configMap(ns, "a", yes, map[string]any{"a": "1"}))
	w := NewWatcher(c, quiet)
	endless := configMaps(t, ns)
	endless.Filter = filter(t, `def f: f; if .data.a == "x" then f else .data.a end`)
	var slow, quick recorder
	start(t, w, endless, &slow).Unlock()
	start(t, w, configMaps(t, ns), &quick).Unlock()
	do(t, c, mergePatch("ConfigMap", ns, "a", `{"data":{"a":"x"}}`))
	quick.expect(t, `Modified "a=x"`)
	slow.expect(t, "failed true")
	eventually(t, "it has moved out", func() bool {
		w.informers.mu.Lock()
		defer w.informers.mu.Unlock()
		return len(w.informers.all) == 2
	})
	do(t, c, mergePatch("ConfigMap", ns, "a", `{"data":{"a":"2"}}`))
	quick.expect(t, `Modified "a=x"`, `Modified "a=2"`)
	slow.expect(t, "failed true", "failed false", `Modified "2"`)
}

// C-153, C-165: of a burst nothing is lost and little is kept, while events wait for
// Unlock and while the handler has no room.
func TestBurstOfChanges(t *testing.T) { changeInABurst(t, 2000) }

func changeInABurst(t *testing.T, changes int) {
	leaks(t)
	c := clients(t)
	ns := namespace(t, c, nil)
	objects, rounds := changes/10, 10
	fill(t, c, ns, objects, 16)
	change := func(round int) {
		t.Helper()
		patches := make(chan hook.Operation)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for op := range patches {
					if err := c.Execute(context.Background(), []hook.Operation{op}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range objects {
			patches <- mergePatch("ConfigMap", ns, fmt.Sprintf("cm-%05d", i), fmt.Sprintf(`{"data":{"a":"%d"}}`, round))
		}
		close(patches)
		wg.Wait()
	}
	full := make(chan struct{})
	var mu sync.Mutex
	var room <-chan struct{} = full
	newest, events := map[string]bool{}, 0
	m, err := NewWatcher(c, quiet).Watch(within(t), testHook, configMaps(t, ns), hook.WatchHandler{
		Event: func(_ hook.WatchEvent, i hook.Item) {
			mu.Lock()
			defer mu.Unlock()
			events++
			newest[string(i.FilterResult)] = true
		},
		Room: func() <-chan struct{} { mu.Lock(); defer mu.Unlock(); return room },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	b := m.(*bindingWatch).monitor
	waiting := func() int { b.mu.Lock(); defer b.mu.Unlock(); return b.buffer.n + b.queue.n }
	seen := func(round int) func() bool {
		last := fmt.Sprintf(`"cm-%05d=%d"`, objects-1, round)
		return func() bool {
			items := m.Peek().Items
			return len(items) == objects && !slices.ContainsFunc(items, func(i hook.Item) bool {
				return !strings.HasSuffix(string(i.FilterResult), last[strings.IndexByte(last, '='):])
			})
		}
	}
	for round := range rounds {
		change(round + 2)
		if round == rounds/2 {
			eventually(t, "all changes have come", seen(round+2))
			if n := waiting(); n > objects {
				t.Errorf("%d events wait for Unlock of %d objects", n, objects)
			}
			m.Unlock()
		}
	}
	eventually(t, "the snapshot equals the cluster", seen(rounds+1))
	if n := waiting(); n > objects+crowded {
		t.Errorf("%d events wait for the handler of %d objects", n, objects)
	}
	if got, want := results(m.Peek().Items), inCluster(t, c, ns); got != want {
		t.Error("the snapshot differs from the cluster")
	}
	mu.Lock()
	room = nil
	mu.Unlock()
	close(full)
	eventually(t, "the handler gets the last state of each", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for i := range objects {
			if !newest[fmt.Sprintf(`"cm-%05d=%d"`, i, rounds+1)] {
				return false
			}
		}
		return true
	})
	t.Logf("%d changes, %d events", objects*rounds, events)
}
