package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

var allEvents = []hook.WatchEvent{hook.Added, hook.Modified, hook.Deleted}

var testHook = hook.ID{Name: "hooks/test.sh"}

// configMaps is a binding on the ConfigMaps of a test, without the one that Kubernetes makes.
func configMaps(t testing.TB, ns string) hook.Kubernetes {
	return hook.Kubernetes{Kind: "ConfigMap", Events: allEvents, Namespaces: []string{ns},
		Labels: &metav1.LabelSelector{MatchLabels: map[string]string{"test": "yes"}},
		Filter: filter(t, `.metadata.name + "=" + (.data.a // "")`)}
}

var yes = map[string]any{"test": "yes"}

func start(t testing.TB, w *Watcher, b hook.Kubernetes, r *recorder) hook.Watch {
	t.Helper()
	got, err := w.Watch(within(t), testHook, b, r.handler())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(got.Stop)
	return got
}

// C-145, C-147, C-153: events wait for Unlock, a snapshot swallows them, equal
// filter results give none, leaving the selector is Deleted.
func TestEventsOfABinding(t *testing.T) {
	leaks(t)
	c := clients(t)
	ns := namespace(t, c, nil)
	mustCreate(t, c, configMap(ns, "a", yes, map[string]any{"a": "1"}))
	mustCreate(t, c, configMap(ns, "unlabelled", nil, nil))
	var r, shadow recorder
	w := NewWatcher(c, quiet)
	m := start(t, w, configMaps(t, ns), &r)
	if got := results(m.Snapshot()); got != `"a=1"` {
		t.Fatal(got)
	}
	// A second binding that is unlocked shows when events have arrived.
	free := start(t, w, configMaps(t, ns), &shadow)
	free.Unlock()

	mustCreate(t, c, configMap(ns, "b", yes, map[string]any{"a": "2"}))
	shadow.expect(t, `Added "b=2"`)
	if got := results(m.Snapshot()); got != `"a=1" "b=2"` {
		t.Fatal(got)
	}
	do(t, c, mergePatch("ConfigMap", ns, "b", `{"data":{"a":"3"}}`), mergePatch("ConfigMap", ns, "b", `{"data":{"a":"4"}}`))
	shadow.expect(t, `Added "b=2"`, `Modified "b=3"`, `Modified "b=4"`)
	r.expect(t)
	eventually(t, "the other binding sees b=4", func() bool { return buffered(m) == 1 })
	m.Unlock()
	r.expect(t, `Modified "b=4"`)
	do(t, c,
		mergePatch("ConfigMap", ns, "a", `{"data":{"unseen":"x"}}`), // same filter result: no event
		mergePatch("ConfigMap", ns, "a", `{"metadata":{"labels":{"test":"no"}}}`),
		mergePatch("ConfigMap", ns, "a", `{"metadata":{"labels":{"test":"yes"}}}`),
		deletion("ConfigMap", ns, "b"))
	r.expect(t, `Modified "b=4"`, `Deleted "a=1"`, `Added "a=1"`, `Deleted "b=4"`)
}

func buffered(m hook.Watch) int {
	b := m.(*bindingWatch)
	b.monitor.mu.Lock()
	defer b.monitor.mu.Unlock()
	return b.monitor.buffer.n
}

// C-146: the snapshot follows events that the binding does not listen to.
func TestSnapshotFollowsWithoutEvents(t *testing.T) {
	c := clients(t)
	ns := namespace(t, c, nil)
	b := configMaps(t, ns)
	b.Events = nil
	var r recorder
	m := start(t, NewWatcher(c, quiet), b, &r)
	m.Unlock()
	mustCreate(t, c, configMap(ns, "a", yes, nil))
	eventually(t, "the snapshot shows the object", func() bool { return results(m.Snapshot()) == `"a="` })
	r.expect(t)
}

// C-141, C-160: what items hold. Full objects are one copy for all bindings of an informer.
func TestItemsHoldWhatTheBindingKeeps(t *testing.T) {
	c := clients(t)
	ns := namespace(t, c, nil)
	mustCreate(t, c, configMap(ns, "a", yes, nil))
	w := NewWatcher(c, quiet)
	full := configMaps(t, ns)
	full.KeepFullObjects = true
	bare := configMaps(t, ns)
	bare.Filter = nil
	one, two, empty := start(t, w, full, &recorder{}), start(t, w, full, &recorder{}), start(t, w, bare, &recorder{})
	if i := empty.Snapshot()[0]; i.Object != nil || i.FilterResult != nil {
		t.Errorf("an item without filter and object holds %s", i)
	}
	a := one.Snapshot()[0].Object
	var object map[string]any
	if err := json.Unmarshal(a, &object); err != nil || object["kind"] != "ConfigMap" {
		t.Fatalf("%v in %s", err, a)
	}
	eventually(t, "both bindings share one copy", func() bool { return &one.Snapshot()[0].Object[0] == &two.Snapshot()[0].Object[0] })
	if n := len(w.informers.all); n != 1 {
		t.Errorf("%d informers for three bindings, expected 1 (C-156)", n)
	}
}

// C-150: names and namespaces multiply; a field selector is added.
func TestNamesNamespacesAndFields(t *testing.T) {
	c := clients(t)
	one, two := namespace(t, c, nil), namespace(t, c, nil)
	for _, ns := range []string{one, two} {
		for _, name := range []string{"a", "b", "c"} {
			mustCreate(t, c, configMap(ns, name, yes, map[string]any{"a": ns}))
		}
	}
	b := configMaps(t, one)
	b.Namespaces = []string{one, two, one}
	b.Names = []string{"a", "b"}
	m := start(t, NewWatcher(c, quiet), b, &recorder{})
	if got := len(m.Snapshot()); got != 4 {
		t.Errorf("%d objects for two names in two namespaces, expected 4", got)
	}
	b.Names, b.Fields = nil, "metadata.namespace!="+two
	m = start(t, NewWatcher(c, quiet), b, &recorder{})
	if got := len(m.Snapshot()); got != 3 {
		t.Errorf("%d objects outside the second namespace, expected 3", got)
	}
}

// C-151 and C-152, done right: objects enter and leave with their namespaces, and
// names narrow the labels down.
func TestNamespacesByLabel(t *testing.T) {
	leaks(t)
	c := clients(t)
	label := fmt.Sprintf("l%d", len(t.Name()))
	in, late, other := namespace(t, c, map[string]any{label: "x"}), namespace(t, c, nil), namespace(t, c, map[string]any{label: "x"})
	for _, ns := range []string{in, late, other} {
		mustCreate(t, c, configMap(ns, "a", yes, map[string]any{"a": ns}))
	}
	b := configMaps(t, "")
	b.Namespaces = []string{in, late}
	b.NamespaceLabels = &metav1.LabelSelector{MatchLabels: map[string]string{label: "x"}}
	var r recorder
	m := start(t, NewWatcher(c, quiet), b, &r)
	if got := results(m.Snapshot()); got != `"a=`+in+`"` {
		t.Fatal(got)
	}
	m.Unlock()
	do(t, c, mergePatch("Namespace", "", late, `{"metadata":{"labels":{"`+label+`":"x"}}}`))
	r.expect(t, `Added "a=`+late+`"`)
	do(t, c, mergePatch("ConfigMap", late, "a", `{"data":{"a":"moved"}}`))
	r.expect(t, `Added "a=`+late+`"`, `Modified "a=moved"`)
	do(t, c, mergePatch("Namespace", "", late, `{"metadata":{"labels":{"`+label+`":null}}}`))
	r.expect(t, `Added "a=`+late+`"`, `Modified "a=moved"`, `Deleted "a=moved"`)
	do(t, c, deletion("Namespace", "", in))
	r.expect(t, `Added "a=`+late+`"`, `Modified "a=moved"`, `Deleted "a=moved"`, `Deleted "a=`+in+`"`)
}

// C-143: a filter sees the whole object, also what the API server keeps of its writers.
func TestFilterSeesTheWholeObject(t *testing.T) {
	c := clients(t)
	ns := namespace(t, c, nil)
	mustCreate(t, c, configMap(ns, "a", yes, nil))
	b := configMaps(t, ns)
	b.Filter = filter(t, `[.kind, .apiVersion, (.metadata.managedFields | length > 0), (.metadata.uid | length > 0)]`)
	m := start(t, NewWatcher(c, quiet), b, &recorder{})
	if got := results(m.Snapshot()); got != `["ConfigMap","v1",true,true]` {
		t.Error(got)
	}
}

// C-151: trouble with a namespace that enters is told, and over when the API server answers.
func TestNamespaceThatCannotBeListedAtFirst(t *testing.T) {
	leaks(t)
	direct := clients(t)
	label := "late-namespace"
	ns := namespace(t, direct, nil)
	mustCreate(t, direct, configMap(ns, "a", yes, map[string]any{"a": "1"}))
	var mu sync.Mutex
	refuse := true
	c := between(t, func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		return refuse && isList(r) && write(w, http.StatusForbidden, `{"kind":"Status","status":"Failure","reason":"Forbidden","code":403,"message":"not yet"}`)
	})
	b := configMaps(t, "")
	b.Namespaces, b.NamespaceLabels = nil, &metav1.LabelSelector{MatchLabels: map[string]string{label: "x"}}
	var r recorder
	m := start(t, NewWatcher(c, quiet), b, &r)
	m.Unlock()
	do(t, direct, mergePatch("Namespace", "", ns, `{"metadata":{"labels":{"`+label+`":"x"}}}`))
	r.expect(t, "failed true")
	mu.Lock()
	refuse = false
	mu.Unlock()
	eventually(t, "the objects are Added and the trouble is over", func() bool {
		s := r.String()
		return strings.Contains(s, `Added "a=1"`) && strings.Contains(s, "failed false")
	})
	if got := results(m.Snapshot()); got != `"a=1"` {
		t.Errorf("the snapshot is %s", got)
	}
}

// C-144: at the initial list the error is Watch's, at an event the entry stays.
func TestFilterThatFails(t *testing.T) {
	leaks(t)
	c := clients(t)
	ns := namespace(t, c, nil)
	b := configMaps(t, ns)
	b.Filter = filter(t, `if .data.a == "bad" then error("no") else .data.a end`)
	mustCreate(t, c, configMap(ns, "a", yes, map[string]any{"a": "good"}))
	var r recorder
	w := NewWatcher(c, quiet)
	m := start(t, w, b, &r)
	m.Unlock()
	do(t, c, mergePatch("ConfigMap", ns, "a", `{"data":{"a":"bad"}}`))
	r.expect(t, "failed true")
	if got := results(m.Snapshot()); got != `"good"` {
		t.Errorf("the entry became %s", got)
	}
	if _, err := w.Watch(within(t), testHook, b, hook.WatchHandler{}); err == nil || !strings.Contains(err.Error(), "jqFilter on ConfigMap/"+ns+"/a") {
		t.Errorf("the error is %v", err)
	}
	do(t, c, mergePatch("ConfigMap", ns, "a", `{"data":{"a":"better"}}`))
	r.expect(t, "failed true", "failed false", `Modified "better"`)
}

func TestWatchEndsWithItsContextAndSaysWhatTheServerRefused(t *testing.T) {
	leaks(t)
	c := clients(t)
	b := configMaps(t, "x")
	b.Fields = "spec.nothing=a"
	if _, err := NewWatcher(c, quiet).Watch(within(t), testHook, b, hook.WatchHandler{}); err == nil || !strings.Contains(err.Error(), "spec.nothing") {
		t.Errorf("a field selector that the server refuses gives %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := NewWatcher(c, quiet).Watch(ctx, testHook, configMaps(t, "x"), hook.WatchHandler{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended gives %v", err)
	}
}

func TestKindsAreFoundAsUsersWriteThem(t *testing.T) {
	c := clients(t)
	for name, want := range map[string]string{
		"cm": "ConfigMap", "deployments": "Deployment", "PODS": "Pod", "ingress": "Ingress", "apps/v1 deploy": "Deployment", "v1 Event": "Event",
	} {
		apiVersion, kind, found := strings.Cut(name, " ")
		if !found {
			apiVersion, kind = "", name
		}
		if r, err := c.resolve(apiVersion, kind); err != nil || r.kind != want {
			t.Errorf("%q is %s (%v), expected %s", name, r.kind, err, want)
		}
	}
	for _, name := range []string{"apps/v1 Nothing", "nothing.io/v1 Pod", " Nothing"} {
		apiVersion, kind, _ := strings.Cut(name, " ")
		if _, err := c.resolve(apiVersion, kind); !errors.Is(err, errNotServed) {
			t.Errorf("%q gives %v, expected that it is not served", name, err)
		}
	}
}

// A restart of the API server loses nothing and adds no event for what did not change (C-148).
func TestWatchSurvivesARestartOfTheAPIServer(t *testing.T) {
	c := clients(t)
	ns := namespace(t, c, nil)
	mustCreate(t, c, configMap(ns, "a", yes, map[string]any{"a": "1"}))
	var r recorder
	b := configMaps(t, ns)
	h := r.handler()
	h.Failed = nil // requests may or may not fail in between
	m, err := NewWatcher(c, quiet).Watch(within(t), testHook, b, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	m.Unlock()
	// Changes right before the end and right after the start.
	mustCreate(t, c, configMap(ns, "b", yes, map[string]any{"a": "1"}))
	testkit.StopAPIServer(t)
	testkit.StartAPIServer(t)
	eventually(t, "the API server answers", func() bool {
		return c.Execute(within(t), []hook.Operation{mergePatch("ConfigMap", ns, "a", `{"data":{"a":"2"}}`)}) == nil
	})
	r.expect(t, `Added "b=1"`, `Modified "a=2"`)
	do(t, c, deletion("ConfigMap", ns, "b"))
	r.expect(t, `Added "b=1"`, `Modified "a=2"`, `Deleted "b=1"`)
	if got, want := results(m.Snapshot()), inCluster(t, c, ns); got != want {
		t.Errorf("the snapshot is %s, the cluster %s", got, want)
	}
}

// Lists come by pages, and thousands of objects of 6 KB are never in memory together.
func TestMemoryHoldsProjectionsOnly(t *testing.T) {
	if testing.Short() {
		t.Skip("makes thousands of objects")
	}
	const n = 3000
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // what is in use, not what was
	c := clients(t)
	ns := namespace(t, c, nil)
	payload := strings.Repeat("0123456789abcdef", 6*1024/16)
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
	stop, peak := make(chan struct{}), make(chan uint64)
	before := heap()
	go sample(stop, peak)
	m := start(t, NewWatcher(c, quiet), configMaps(t, ns), &recorder{})
	close(stop)
	high, items := <-peak, len(m.Snapshot())
	after := heap()
	t.Logf("%d objects; heap before %d MB, highest %d MB, after %d MB", items, before>>20, high>>20, after>>20)
	if items != n {
		t.Errorf("%d objects, expected %d", items, n)
	}
	if kept := int64(after) - int64(before); kept > n*1024 {
		t.Errorf("%d bytes are kept of each object, expected a projection below 1 KB", kept/n)
	}
	if high > before+n*6*1024 {
		t.Errorf("%d MB were in use while listing: all objects were held", high>>20)
	}
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// sample reports the highest heap size until stop.
func sample(stop <-chan struct{}, peak chan<- uint64) {
	var high uint64
	for {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		high = max(high, s.HeapAlloc)
		select {
		case <-stop:
			peak <- high
			return
		default:
			runtime.Gosched()
		}
	}
}
