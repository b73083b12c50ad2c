package kube

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// C-202 … C-208: each operation on an object that exists and on one that does not.
func TestOperations(t *testing.T) {
	c := clients(t)
	ns := namespace(t, c, nil)
	obj := func(a string) map[string]any { return configMap(ns, "x", nil, map[string]any{"a": a}) }
	op := func(verb hook.Verb, change func(*hook.Operation)) hook.Operation {
		o := hook.Operation{Verb: verb, Kind: "configmap", Namespace: ns, Name: "x"}
		if change != nil {
			change(&o)
		}
		return o
	}
	with := func(a string) func(*hook.Operation) { return func(o *hook.Operation) { o.Object = obj(a) } }
	text := func(s string) func(*hook.Operation) { return func(o *hook.Operation) { o.Patch = []byte(s) } }
	program := func(s string) func(*hook.Operation) { return func(o *hook.Operation) { o.Filter = filter(t, s) } }
	ignore := func(f func(*hook.Operation)) func(*hook.Operation) {
		return func(o *hook.Operation) { f(o); o.IgnoreMissingObject = true }
	}
	for name, k := range map[string]struct {
		op hook.Operation
		// what data.a is after it where it was "old" before, and where there was no object; "-" is no object
		existing, missing         string
		errorExisting, errMissing string
	}{
		"Create":                   {op(hook.Create, with("new")), "old", "new", "already exists", ""},
		"CreateIfNotExists":        {op(hook.CreateIfNotExists, with("new")), "old", "new", "", ""},
		"CreateOrUpdate":           {op(hook.CreateOrUpdate, with("new")), "new", "new", "", ""},
		"Delete":                   {op(hook.Delete, nil), "-", "-", "", ""},
		"DeleteInBackground":       {op(hook.DeleteInBackground, nil), "-", "-", "", ""},
		"DeleteNonCascading":       {op(hook.DeleteNonCascading, nil), "-", "-", "", ""},
		"MergePatch":               {op(hook.MergePatch, text(`{"data":{"a":"new"}}`)), "new", "-", "", "not found"},
		"MergePatch, may miss":     {op(hook.MergePatch, ignore(text(`{"data":{"a":"new"}}`))), "new", "-", "", ""},
		"JSONPatch":                {op(hook.JSONPatch, text(`[{"op":"remove","path":"/data/a"}]`)), "", "-", "", "not found"},
		"JSONPatch, may miss":      {op(hook.JSONPatch, ignore(text(`[{"op":"remove","path":"/data/a"}]`))), "", "-", "", ""},
		"JQPatch":                  {op(hook.JQPatch, program(`.data.a = "new"`)), "new", "-", "", "not found"},
		"JQPatch, may miss":        {op(hook.JQPatch, ignore(program(`.data.a = "new"`))), "new", "-", "", ""},
		"JQPatch without a change": {op(hook.JQPatch, program(`.`)), "old", "-", "", "not found"},
		"JQPatch that fails":       {op(hook.JQPatch, program(`error("x")`)), "old", "-", "jqFilter", "not found"},
		"JQPatch without object":   {op(hook.JQPatch, program(`1`)), "old", "-", "expected the whole object", "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, existing := range []bool{true, false} {
				do(t, c, hook.Operation{Verb: hook.Delete, Kind: "ConfigMap", Namespace: ns, Name: "x"})
				want, wantErr := k.missing, k.errMissing
				if existing {
					mustCreate(t, c, obj("old"))
					want, wantErr = k.existing, k.errorExisting
				}
				err := c.Execute(within(t), []hook.Operation{k.op})
				if (err == nil) != (wantErr == "") || (err != nil && !strings.Contains(err.Error(), wantErr)) {
					t.Errorf("existing %t: the error is %v, expected %q", existing, err, wantErr)
				}
				if err != nil && !strings.Contains(err.Error(), string(k.op.Verb)) || err != nil && !strings.Contains(err.Error(), ns+"/x") {
					t.Errorf("the error does not name verb and object: %v", err)
				}
				testkit.Eventually(t, func() bool { return dataA(t, c, ns) == want }, // some deletions end later
					func() string { return fmt.Sprintf("existing %t: data.a is %q", existing, want) })
			}
		})
	}
}

func dataA(t *testing.T, c *Clients, ns string) string {
	t.Helper()
	u, err := c.Dynamic.Resource(configMapResource).Namespace(ns).Get(within(t), "x", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	a, _, _ := unstructured.NestedString(u.Object, "data", "a")
	return a
}

// C-206: all are attempted in order, and every error is told.
func TestOperationsAfterAFailureAreAttempted(t *testing.T) {
	c := clients(t)
	ns := namespace(t, c, nil)
	err := c.Execute(within(t), []hook.Operation{
		mergePatch("ConfigMap", ns, "none", `{}`),
		{Verb: hook.Create, Object: configMap(ns, "x", nil, map[string]any{"a": "1"})},
		{Verb: hook.Delete, Kind: "Nothing", Name: "y"},
		mergePatch("ConfigMap", "", "none", `{}`),
	})
	for _, want := range []string{"MergePatch ConfigMap " + ns + "/none", "Delete Nothing y", "does not serve", "no namespace is given"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error: %v", want, err)
		}
	}
	if dataA(t, c, ns) != "1" {
		t.Error("the second operation was not attempted")
	}
}

// C-207, C-212: a subresource is patched, and numbers stay what they are.
func TestSubresourceAndIntegers(t *testing.T) {
	c := clients(t)
	ns := namespace(t, c, nil)
	do(t, c, hook.Operation{Verb: hook.Create, Object: parse(t, fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: %s},
	  spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b, ports: [{containerPort: 80}]}]}}}}`, ns))})
	scale := hook.Operation{Verb: hook.MergePatch, Kind: "Deployment", Namespace: ns, Name: "x", Subresource: "/scale", Patch: []byte(`{"spec":{"replicas":3}}`)}
	status := hook.Operation{Verb: hook.JQPatch, Kind: "Deployment", Namespace: ns, Name: "x", Subresource: "status",
		Filter: filter(t, `.status.conditions = ((.status.conditions // []) + [{type: "Test", status: "True"}])`)}
	do(t, c, scale, status)
	client, _, err := c.clientFor(target(scale))
	if err != nil {
		t.Fatal(err)
	}
	u, err := client.Get(within(t), "x", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas"); n != 3 {
		t.Errorf("%d replicas, expected 3", n)
	}
	if text, _ := compact(u.Object["status"]); !strings.Contains(string(text), `"Test"`) {
		t.Errorf("the status was not written: %s", text)
	}
}

// An object made by a CustomResourceDefinition of the same list is found.
func TestOperationOnAKindThatIsNew(t *testing.T) {
	c := clients(t)
	crd := testCRD("news", `[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]`)
	do(t, c, hook.Operation{Verb: hook.CreateOrUpdate, Object: parse(t, crd)})
	t.Cleanup(func() { do(t, c, deletion("CustomResourceDefinition", "", "news.kube.test")) })
	eventually(t, "the new kind can be used", func() bool {
		return c.Execute(within(t), []hook.Operation{{Verb: hook.CreateOrUpdate,
			Object: map[string]any{"apiVersion": "kube.test/v1", "kind": "News", "metadata": map[string]any{"name": "a"}}}}) == nil
	})
}

// testCRD is a cluster-scoped CRD of group kube.test; its kind is the plural with a capital.
func testCRD(plural, versions string) string {
	return fmt.Sprintf(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %s.kube.test},
	  spec: {group: kube.test, scope: Cluster, names: {plural: %s, kind: %s}, versions: %s}}`,
		plural, plural, strings.ToUpper(plural[:1])+plural[1:], versions)
}
