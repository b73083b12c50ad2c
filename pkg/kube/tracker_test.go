package kube

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// bench is a tracker at work on the objects of one test.
type bench struct {
	*Tracker
	t  *testing.T
	c  *Clients
	ns string

	mu    sync.Mutex
	calls int
	drift bool // as the last call said
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, c: clients(t)}
	b.ns = namespace(t, b.c, nil)
	b.Tracker = NewTracker(b.c, labels.SelectorFromSet(labels.Set{"release": b.ns}), func(module string, drifted bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.calls, b.drift = b.calls+1, drifted
	}, quiet)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	return b
}

// object is a manifest with the labels of the release.
func (b *bench) object(text string) map[string]any {
	obj := parse(b.t, text)
	u := &unstructured.Unstructured{Object: obj}
	u.SetNamespace(b.ns)
	u.SetLabels(map[string]string{"release": b.ns})
	return obj
}

// apply makes an object as an installer does.
func (b *bench) apply(obj map[string]any) installed.Manifested {
	b.t.Helper()
	manifest, err := compact(obj)
	if err != nil {
		b.t.Fatal(err)
	}
	live := mustCreate(b.t, b.c, obj)
	text, err := compact(live.Object)
	if err != nil {
		b.t.Fatal(err)
	}
	return installed.Manifested{Ref: refOf(live), Manifest: manifest, Live: text}
}

func (b *bench) expectHealth(lines ...string) {
	b.t.Helper()
	want := strings.Join(lines, "\n")
	testkit.Eventually(b.t, func() bool { return b.healthText() == want },
		func() string { return "want\n" + want + "\ngot\n" + b.healthText() })
}

func (b *bench) healthText() string {
	var all []string
	for _, h := range b.Health("m") {
		all = append(all, strings.TrimSpace(fmt.Sprint(h.Kind, "/", h.Name, " ", h.State, " ", h.Message)))
	}
	return strings.Join(all, "\n")
}

func (b *bench) expectDrift(want string) {
	b.t.Helper()
	testkit.Eventually(b.t, func() bool { return b.driftText() == want },
		func() string { return "drift " + want + ", got " + b.driftText() })
	testkit.Eventually(b.t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.drift == (want != "") },
		func() string { return "notify says so" })
}

func (b *bench) called() int { b.mu.Lock(); defer b.mu.Unlock(); return b.calls }

func (b *bench) driftText() string {
	var all []string
	for _, d := range b.Drift("m") {
		all = append(all, fmt.Sprint(d.Kind, "/", d.Name, " gone=", d.Gone))
	}
	return strings.Join(all, "\n")
}

func (b *bench) patch(kind, name, patch string) {
	b.t.Helper()
	do(b.t, b.c, mergePatch(kind, b.ns, name, patch))
}

// seen waits until the tracker has seen the newest version of an object.
func (b *bench) seen(ref object.Ref) {
	b.t.Helper()
	client, _, err := b.c.clientFor(ref)
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := client.Get(within(b.t), ref.Name, getOptions)
	if err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "the tracker has seen "+ref.String(), func() bool {
		b.Tracker.mu.Lock()
		defer b.Tracker.mu.Unlock()
		tr := b.modules["m"].objects[ref]
		return tr != nil && tr.version >= number(u.GetResourceVersion())
	})
}

const mapA = `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}`

func TestDriftIsWhatSomebodyElseChanged(t *testing.T) {
	leaks(t)
	b := newBench(t)
	o := b.object(mapA)
	b.Hold("m", []object.Ref{refOf(&unstructured.Unstructured{Object: o})})
	m := b.apply(o)
	b.Track("m", []installed.Manifested{m})
	b.expectHealth("ConfigMap/a Current")
	b.expectDrift("")
	eventually(t, "notify was called once", func() bool { return b.called() == 1 })

	b.patch("ConfigMap", "a", `{"data":{"theirs":"x"},"metadata":{"annotations":{"theirs":"y"}}}`)
	b.seen(m.Ref)
	b.expectDrift("")
	b.patch("ConfigMap", "a", `{"data":{"k":"w"}}`)
	b.expectDrift("ConfigMap/a gone=false")
	if n := b.called(); n != 2 {
		t.Errorf("notify was called %d times, expected once for the apply and once for the drift", n)
	}
	b.patch("ConfigMap", "a", `{"data":{"k":"v"}}`)
	b.expectDrift("")
	do(t, b.c, deletion("ConfigMap", b.ns, "a"))
	b.expectDrift("ConfigMap/a gone=true")
	b.expectHealth("ConfigMap/a Missing was deleted")
	b.Track("m", []installed.Manifested{b.apply(b.object(mapA))})
	b.expectDrift("")
	b.expectHealth("ConfigMap/a Current")
	b.Forget("m")
	if b.Health("m") != nil || b.Drift("m") != nil {
		t.Error("a forgotten module has objects")
	}
}

// After a restart nothing is known but manifests: the first state seen is the
// baseline, and an object that does not exist has drifted.
func TestTrackWithoutLiveState(t *testing.T) {
	b := newBench(t)
	a := b.apply(b.object(mapA))
	a.Live = nil
	gone := installed.Manifested{Ref: a.Ref, Manifest: a.Manifest}
	gone.Name = "gone"
	ignored := installed.Manifested{Ref: a.Ref, Manifest: a.Manifest, Ignored: true}
	ignored.Name = "ignored"
	b.Track("m", []installed.Manifested{a, gone, ignored})
	b.expectDrift("ConfigMap/gone gone=true")
	b.expectHealth("ConfigMap/a Current", "ConfigMap/gone Missing was deleted")
	// Once more, as another module of the same kind does, when the watch runs already.
	other := b.apply(b.object(replace(mapA, "name: a", "name: z")))
	other.Live = nil
	b.Track("m", []installed.Manifested{a, other})
	b.expectDrift("")
	b.expectHealth("ConfigMap/a Current", "ConfigMap/z Current")
	b.patch("ConfigMap", "a", `{"data":{"k":"w"}}`)
	b.expectDrift("ConfigMap/a gone=false")
}

// A repair is about some objects of a module; the baseline of the others stays.
func TestTrackAfterARepairOfOneObject(t *testing.T) {
	b := newBench(t)
	a, z := b.apply(b.object(mapA)), b.apply(b.object(replace(mapA, "name: a", "name: z")))
	b.Track("m", []installed.Manifested{a, z})
	b.expectHealth("ConfigMap/a Current", "ConfigMap/z Current")
	b.patch("ConfigMap", "a", `{"data":{"k":"w"}}`)
	b.patch("ConfigMap", "z", `{"data":{"k":"w"}}`)
	b.expectDrift("ConfigMap/a gone=false\nConfigMap/z gone=false")
	do(t, b.c, deletion("ConfigMap", b.ns, "a"))
	b.expectDrift("ConfigMap/a gone=true\nConfigMap/z gone=false")
	z.Live = nil
	b.Track("m", []installed.Manifested{b.apply(b.object(mapA)), z})
	b.expectDrift("ConfigMap/z gone=false")
	b.expectHealth("ConfigMap/a Current", "ConfigMap/z Current")
	b.patch("ConfigMap", "z", `{"data":{"k":"v"}}`)
	b.expectDrift("")
	do(t, b.c, deletion("ConfigMap", b.ns, "z"))
	b.expectDrift("ConfigMap/z gone=true")
}

// What happens between Hold and Track is judged by the new manifest, and by the old
// one after Release.
func TestEventsDuringAnApply(t *testing.T) {
	b := newBench(t)
	m := b.apply(b.object(mapA))
	b.Track("m", []installed.Manifested{m})
	b.expectHealth("ConfigMap/a Current")

	b.Hold("m", []object.Ref{m.Ref})
	b.patch("ConfigMap", "a", `{"data":{"k":"new"}}`)
	b.seen(m.Ref)
	if d := b.driftText(); d != "" {
		t.Errorf("drift while an apply is under way: %s", d)
	}
	b.Release("m")
	b.expectDrift("ConfigMap/a gone=false")

	// The same write of ours, applied, and then a foreign change before Track.
	b.Hold("m", []object.Ref{m.Ref})
	client, _, err := b.c.clientFor(m.Ref)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := client.Get(within(t), "a", getOptions)
	if err != nil {
		t.Fatal(err)
	}
	m.Manifest = []byte(replace(string(m.Manifest), `"v"`, `"new"`))
	m.Live, _ = compact(ours.Object)
	b.Track("m", []installed.Manifested{m})
	b.expectDrift("")
	b.Hold("m", []object.Ref{m.Ref})
	b.patch("ConfigMap", "a", `{"data":{"k":"foreign"}}`)
	b.seen(m.Ref)
	b.Track("m", []installed.Manifested{m}) // Live is the state before it
	b.expectDrift("ConfigMap/a gone=false")

	b.Hold("m", []object.Ref{m.Ref})
	do(t, b.c, deletion("ConfigMap", b.ns, "a"))
	eventually(t, "the deletion is remembered", func() bool {
		b.Tracker.mu.Lock()
		defer b.Tracker.mu.Unlock()
		return b.kinds[kindOf(m.Ref)].remembered[nameOf(m.Ref)].gone
	})
	b.Track("m", []installed.Manifested{m})
	b.expectDrift("ConfigMap/a gone=true")
}

func TestHealthOfARelease(t *testing.T) {
	leaks(t)
	b := newBench(t)
	do(t, b.c, hook.Operation{Verb: hook.CreateIfNotExists, Object: parse(t,
		`{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: kube-test-late}, provisioner: kube.test/none, volumeBindingMode: WaitForFirstConsumer}`)})
	claim := `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: late}, spec: {accessModes: [ReadWriteOnce], storageClassName: kube-test-late, resources: {requests: {storage: 1Gi}}}}`
	objs := []installed.Manifested{
		b.apply(b.object(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 1, selector: {matchLabels: {a: b}},
		  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}`)),
		b.apply(b.object(claim)),
		b.apply(b.object(replace(replace(claim, "name: late", "name: none"), "kube-test-late", "kube-test-none"))),
		// No controller acts on this class, so it never gets an address.
		b.apply(b.object(`{apiVersion: v1, kind: Service, metadata: {name: lb}, spec: {type: LoadBalancer, loadBalancerClass: kube.test/none, ports: [{port: 80}], selector: {a: b}}}`)),
	}
	nothing, err := compact(b.object(`{apiVersion: kube.test/v9, kind: Nothing, metadata: {name: x}}`))
	if err != nil {
		t.Fatal(err)
	}
	objs = append(objs, installed.Manifested{Ref: object.Ref{APIVersion: "kube.test/v9", Kind: "Nothing", Name: "x"}, Manifest: nothing},
		installed.Manifested{Ref: object.Ref{APIVersion: "v1", Kind: "ConfigMap", Name: "unlabelled"}, Manifest: []byte(`{}`)})
	b.Track("m", objs)
	b.expectHealth("Deployment/web Current", "Nothing/x Missing the cluster does not serve kind kube.test/v9 Nothing",
		"PersistentVolumeClaim/late Current is bound when a Pod uses it", "PersistentVolumeClaim/none InProgress PVC is not Bound. phase: Pending",
		"Service/lb InProgress the load balancer has no address yet")
	b.expectDrift("")
	status := mergePatch("Service", b.ns, "lb", `{"status":{"loadBalancer":{"ingress":[{"ip":"198.51.100.1"}]}}}`)
	status.Subresource = "status"
	do(t, b.c, status)
	eventually(t, "the Service is current", func() bool { return contains(b.healthText(), "Service/lb Current") })
	b.patch("Deployment", "web", `{"spec":{"replicas":2}}`)
	b.expectDrift("Deployment/web gone=false")
}

// An uninstall is told of every step, and what holds an object is named.
func TestWaitingForAnUninstall(t *testing.T) {
	b := newBench(t)
	held := b.object(replace(mapA, "name: a", "name: held"))
	held["metadata"].(map[string]any)["finalizers"] = []any{"kube.test/held"}
	objs := []installed.Manifested{b.apply(b.object(mapA)), b.apply(held)}
	b.Track("m", objs)
	b.expectHealth("ConfigMap/a Current", "ConfigMap/held Current")
	refs := []object.Ref{objs[0].Ref, objs[1].Ref, {APIVersion: "v1", Kind: "ConfigMap", Namespace: b.ns, Name: "never"},
		{APIVersion: "kube.test/v9", Kind: "Nothing", Name: "x"}}
	b.AwaitGone("m", refs)
	do(t, b.c, deletion("ConfigMap", b.ns, "a"), deletion("ConfigMap", b.ns, "held"))
	b.expectHealth("ConfigMap/held Terminating is being deleted, held by finalizers kube.test/held")
	b.expectDrift("")
	if r := b.Remaining("m"); len(r) != 1 || r[0].Name != "held" {
		t.Errorf("remaining: %v", r)
	}
	b.patch("ConfigMap", "held", `{"metadata":{"finalizers":null}}`)
	b.expectHealth()
	if r := b.Remaining("m"); len(r) != 0 {
		t.Errorf("remaining: %v", r)
	}
}

func TestTrackerSurvivesARestartOfTheAPIServer(t *testing.T) {
	b := newBench(t)
	m := b.apply(b.object(mapA))
	b.Track("m", []installed.Manifested{m})
	b.expectHealth("ConfigMap/a Current")
	testkit.StopAPIServer(t)
	testkit.StartAPIServer(t)
	eventually(t, "the API server answers", func() bool {
		return b.c.Execute(within(t), []hook.Operation{deletion("ConfigMap", b.ns, "a")}) == nil
	})
	b.expectDrift("ConfigMap/a gone=true")
}
