package kube

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

func TestNamespacesOfModules(t *testing.T) {
	const name, instance = "kube-test-own", "ns.addon-operator"
	c := clients(t)
	get := func() *unstructured.Unstructured {
		u, err := c.namespaces().Get(within(t), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	ensure := func(level string) {
		t.Helper()
		if err := c.EnsureNamespace(within(t), name, level, instance); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(instance string) (bool, string) {
		t.Helper()
		removed, why, err := c.RemoveNamespace(within(t), name, instance)
		if err != nil {
			t.Fatal(err)
		}
		return removed, why
	}
	ensure("baseline")
	if l := get().GetLabels(); l[managedByLabel] != managedBy || l[instanceLabel] != instance || l[podSecurityLabel] != "baseline" {
		t.Fatalf("labels are %v", l)
	}
	ensure("restricted")
	if l := get().GetLabels()[podSecurityLabel]; l != "restricted" {
		t.Errorf("the level of a namespace of ours stayed %s", l)
	}
	mustCreate(t, c, configMap(name, "x", nil, nil))
	if removed, why := remove(instance); removed || !contains(why, "ConfigMap/x") {
		t.Errorf("removed %t because %q", removed, why)
	}
	do(t, c, deletion("ConfigMap", name, "x"))
	if removed, why := remove("other.addon-operator"); removed || !contains(why, "not made by this operator") {
		t.Errorf("removed %t because %q", removed, why)
	}
	if removed, why := remove(instance); !removed {
		t.Errorf("an empty namespace of ours was kept: %s", why)
	}
	ensure("") // waits for the deletion to end
	if get().GetDeletionTimestamp() != nil {
		t.Error("the namespace is still being deleted")
	}
	if removed, _ := remove(instance); !removed {
		t.Error("not removed again")
	}
	if removed, _, err := c.RemoveNamespace(within(t), "kube-test-none", instance); !removed || err != nil {
		t.Errorf("one that does not exist: %t, %v", removed, err)
	}
}

func TestNamespaceOfSomebodyElseIsLeftAlone(t *testing.T) {
	c := clients(t)
	ns := namespace(t, c, map[string]any{"theirs": "x"})
	if err := c.EnsureNamespace(within(t), ns, "restricted", "i"); err != nil {
		t.Fatal(err)
	}
	u, err := c.namespaces().Get(within(t), ns, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, set := u.GetLabels()[podSecurityLabel]; set {
		t.Errorf("labels became %v", u.GetLabels())
	}
	if removed, why, err := c.RemoveNamespace(within(t), ns, "i"); removed || err != nil {
		t.Errorf("removed: %t, %s, %v", removed, why, err)
	}
}

func TestNamespaceThatDoesNotEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the deadline")
	}
	c := clients(t)
	ns := namespace(t, c, nil)
	held := configMap(ns, "held", nil, nil)
	held["metadata"].(map[string]any)["finalizers"] = []any{"kube.test/held"}
	mustCreate(t, c, held)
	do(t, c, deletion("Namespace", "", ns))
	t.Cleanup(func() { do(t, c, mergePatch("ConfigMap", ns, "held", `{"metadata":{"finalizers":null}}`)) })
	err := c.EnsureNamespace(within(t), ns, "", "i")
	if err == nil || !contains(err.Error(), "being deleted") || !contains(err.Error(), "ConfigMap/held (finalizer kube.test/held)") ||
		!errors.Is(err, installed.ErrTerminating) {
		t.Errorf("the error is %v", err)
	}
	// A foreground deletion waits in the same way, and says so.
	err = c.Execute(within(t), []hook.Operation{{Verb: hook.Delete, Kind: "ConfigMap", Namespace: ns, Name: "held"}})
	if err == nil || !contains(err.Error(), "kube.test/held") {
		t.Errorf("the error is %v", err)
	}
}

// An aggregated API that does not answer hides no other kind; but what it holds
// is unknown, so a namespace is kept.
func TestAggregatedAPIThatIsAway(t *testing.T) {
	c := clients(t)
	const instance = "i"
	mustCreate(t, c, parse(t, `{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.away.kube.test},
	  spec: {group: away.kube.test, version: v1, groupPriorityMinimum: 10, versionPriority: 10, insecureSkipTLSVerify: true, service: {namespace: default, name: none}}}`))
	t.Cleanup(func() { do(t, c, deletion("APIService", "", "v1.away.kube.test")) })
	ns := namespace(t, c, map[string]any{managedByLabel: managedBy, instanceLabel: instance})
	eventually(t, "the namespace is kept", func() bool {
		c.Mapper.Reset()
		removed, why, err := c.RemoveNamespace(within(t), ns, "other")
		if removed || err != nil {
			t.Fatalf("%t %s %v", removed, why, err)
		}
		_, err = c.contents(within(t), ns, ofSomebody)
		return err != nil && contains(err.Error(), "away.kube.test")
	})
	if removed, why, err := c.RemoveNamespace(within(t), ns, instance); removed || err != nil || !contains(why, "may not be empty") {
		t.Errorf("removed %t because %q, %v", removed, why, err)
	}
	if r, err := c.resolve("", "deploy"); err != nil || r.kind != "Deployment" {
		t.Errorf("%s %v", r.kind, err)
	}
}
