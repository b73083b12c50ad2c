package kube

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
)

const anyVersion = `[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]`

// watchDiscovery runs WatchDiscovery until the test ends and counts its calls.
func watchDiscovery(t *testing.T, c *Clients) (changes func() int, crds *recorder) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var mu sync.Mutex
	var wg sync.WaitGroup
	n, crds := 0, &recorder{}
	wg.Go(func() {
		onChange := func() { mu.Lock(); n++; mu.Unlock() }
		if err := c.WatchDiscovery(ctx, onChange, func(name string) { crds.add(name) }); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	return func() int { mu.Lock(); defer mu.Unlock(); return n }, crds
}

// C-155, done better: a missing kind is synchronised and empty; when it is served
// its binding has Appeared, and events are locked again.
func TestKindThatComesLater(t *testing.T) {
	leaks(t)
	c := clients(t)
	changes, _ := watchDiscovery(t, c)
	var r recorder
	b := hook.Kubernetes{Kind: "Later", APIVersion: "kube.test/v1", Events: allEvents, Filter: filter(t, ".metadata.name")}
	m := start(t, NewWatcher(c, quiet), b, &r)
	if len(m.Snapshot()) != 0 {
		t.Fatal("there are objects of a kind that is not served")
	}
	m.Unlock()
	mustCreate(t, c, parse(t, testCRD("later", anyVersion)))
	r.expect(t, "appeared")
	if changes() == 0 {
		eventually(t, "the change is told", func() bool { return changes() > 0 })
	}
	later := func(name string) map[string]any {
		return map[string]any{"apiVersion": "kube.test/v1", "kind": "Later", "metadata": map[string]any{"name": name}}
	}
	mustCreate(t, c, later("a"))
	eventually(t, "the snapshot shows it", func() bool { return results(m.Snapshot()) == `"a"` })
	m.Unlock()
	mustCreate(t, c, later("b"))
	r.expect(t, "appeared", `Added "b"`)
	// The kind goes away with its objects, and comes back: its Synchronization is due
	// again. (Had it come back before anybody noticed, the watch would have gone on.)
	do(t, c, deletion("CustomResourceDefinition", "", "later.kube.test"))
	eventually(t, "the objects are gone", func() bool { return len(m.Snapshot()) == 0 })
	eventually(t, "the CRD is gone", func() bool {
		_, err := c.Dynamic.Resource(crdResource).Get(within(t), "later.kube.test", metav1.GetOptions{})
		return err != nil
	})
	b1 := m.(*bindingWatch)
	eventually(t, "its end was noticed", func() bool { return len(b1.partsOf(func(partKey) bool { return true })) == 0 })
	mustCreate(t, c, parse(t, testCRD("later", anyVersion)))
	t.Cleanup(func() { do(t, c, deletion("CustomResourceDefinition", "", "later.kube.test")) })
	eventually(t, "the kind can be used again", func() bool {
		return c.Execute(within(t), []hook.Operation{{Verb: hook.CreateIfNotExists, Object: later("c")}}) == nil
	})
	eventually(t, "the watch is back", func() bool { return results(m.Snapshot()) == `"c"` })
	eventually(t, "both objects were told as deleted, and the kind as back", func() bool {
		lines := strings.Split(r.String(), "\n")
		slices.Sort(lines[2:min(4, len(lines))])
		return slices.Equal(lines, []string{"appeared", `Added "b"`, `Deleted "a"`, `Deleted "b"`, "appeared"})
	})
	m.Unlock()
	mustCreate(t, c, later("d"))
	eventually(t, "events flow again", func() bool { return strings.HasSuffix(r.String(), `Added "d"`) })
	if n := strings.Count(r.String(), "appeared"); n != 2 {
		t.Errorf("the kind appeared %d times, expected 2", n)
	}
}

// C-346, C-347, and that a stored version is never dropped.
func TestEnsureCRDs(t *testing.T) {
	c := clients(t)
	changes, touched := watchDiscovery(t, c)
	crd := func(plural, versions string) module.CRD {
		return module.CRD{File: "crds/" + plural + ".yaml", Name: plural + ".kube.test", Text: jsonOf(t, testCRD(plural, versions))}
	}
	get := func() map[string]any {
		u, err := c.Dynamic.Resource(crdResource).Get(within(t), "ones.kube.test", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u.Object
	}
	labels := map[string]string{"heritage": "addon-operator"}
	both := []module.CRD{crd("ones", anyVersion), crd("twos", anyVersion)}
	t.Cleanup(func() {
		do(t, c, deletion("CustomResourceDefinition", "", "ones.kube.test"), deletion("CustomResourceDefinition", "", "twos.kube.test"))
	})
	if err := c.EnsureCRDs(within(t), both, labels); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Ones", "Twos"} {
		if _, err := c.resolve("kube.test/v1", kind); err != nil {
			t.Errorf("right after EnsureCRDs: %v", err)
		}
	}
	eventually(t, "the change is told", func() bool { return changes() > 0 })

	// What others add stays, and nothing is written when nothing differs.
	do(t, c, mergePatch("CustomResourceDefinition", "", "ones.kube.test", `{"metadata":{"labels":{"theirs":"x"},"annotations":{"theirs":"y"}}}`))
	before := get()["metadata"].(map[string]any)["resourceVersion"]
	fresh := clients(t) // remembers nothing
	if err := fresh.EnsureCRDs(within(t), both, labels); err != nil {
		t.Fatal(err)
	}
	meta := get()["metadata"].(map[string]any)
	if meta["resourceVersion"] != before {
		t.Error("an unchanged CRD was written")
	}
	if l := meta["labels"].(map[string]any); l["heritage"] != "addon-operator" || l["theirs"] != "x" {
		t.Errorf("labels are %v", l)
	}

	// A live conversion webhook is kept, and the new version is served.
	do(t, c, mergePatch("CustomResourceDefinition", "", "ones.kube.test",
		`{"spec":{"conversion":{"strategy":"Webhook","webhook":{"clientConfig":{"url":"https://127.0.0.1:1/"},"conversionReviewVersions":["v1"]}}}}`))
	two := replace(anyVersion, "[{", `[{name: v2, served: true, storage: false, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}, {`)
	if err := c.EnsureCRDs(within(t), []module.CRD{crd("ones", two)}, labels); err != nil {
		t.Fatal(err)
	}
	if s := get()["spec"].(map[string]any)["conversion"].(map[string]any)["strategy"]; s != "Webhook" {
		t.Errorf("the live conversion became %v", s)
	}
	if _, err := c.resolve("kube.test/v2", "Ones"); err != nil {
		t.Error(err)
	}

	// One that fails does not stop another, and is named.
	do(t, c, hook.Operation{Verb: hook.Create, Object: parse(t, `{apiVersion: kube.test/v1, kind: Ones, metadata: {name: one}}`)})
	err := c.EnsureCRDs(within(t), []module.CRD{crd("ones", replace(anyVersion, "v1", "v3")), crd("twos", two),
		{File: "crds/x.yaml", Name: "x", Text: []byte(`{"kind":"Pod"}`)}}, labels)
	for _, want := range []string{"CRD ones.kube.test", "still be stored as v1", "crds/x.yaml", "not a CustomResourceDefinition"} {
		if err == nil || !contains(err.Error(), want) {
			t.Errorf("%q is not in the error: %v", want, err)
		}
	}
	if _, err := c.resolve("kube.test/v2", "Twos"); err != nil {
		t.Error(err)
	}

	// A CRD that was deleted is told, and restored.
	do(t, c, deletion("CustomResourceDefinition", "", "twos.kube.test"))
	eventually(t, "the deletion is told", func() bool { return contains(touched.String(), "twos.kube.test") })
	eventually(t, "it is restored", func() bool { return c.EnsureCRDs(within(t), both[1:], labels) == nil })
	if _, err := c.resolve("kube.test/v1", "Twos"); err != nil {
		t.Error(err)
	}
}
