package kube

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func crdOf(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	v, err := values.DecodeYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: v.(map[string]any)}
}

// C-347: what may refuse an object that was accepted before.
func TestNarrowingsAreFound(t *testing.T) {
	version := func(properties string) string {
		return `[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, ` + properties + `}}}}}]`
	}
	was := `properties: {size: {type: integer, maximum: 10}, kind: {type: string, enum: [a, b], nullable: true}}`
	for name, c := range map[string]struct{ now, want string }{
		"nothing changed":          {was, ""},
		"a field more":             {`properties: {size: {type: integer, maximum: 10}, kind: {type: string, enum: [a, b], nullable: true}, more: {type: string}}`, ""},
		"wider":                    {`properties: {size: {type: integer, maximum: 20}, kind: {type: string, enum: [a, b, c], nullable: true, description: x}}`, ""},
		"a field less":             {`properties: {size: {type: integer, maximum: 10}}`, "spec.kind"},
		"another type":             {`properties: {size: {type: string}, kind: {type: string, enum: [a, b], nullable: true}}`, "type changed"},
		"a lower maximum":          {`properties: {size: {type: integer, maximum: 5}, kind: {type: string, enum: [a, b], nullable: true}}`, "maximum"},
		"a value less":             {`properties: {size: {type: integer, maximum: 10}, kind: {type: string, enum: [a], nullable: true}}`, "enum"},
		"a field that is required": {was + `, required: [size]`, "required"},
		"null is forbidden":        {`properties: {size: {type: integer, maximum: 10}, kind: {type: string, enum: [a, b]}}`, "null"},
		"a pattern":                {`properties: {size: {type: integer, maximum: 10}, kind: {type: string, enum: [a, b], nullable: true, pattern: x}}`, "pattern"},
		"a rule":                   {was + `, x-kubernetes-validations: [{rule: "self.size > 1"}]`, "new rule: self.size > 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := narrowings(crdOf(t, testCRD("ones", version(was))), crdOf(t, testCRD("ones", version(c.now))))
			text := strings.Join(got, "; ")
			if err != nil || (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
}

// C-347: an upgrade of a CRD never loses objects, and breaks none unless the user says so.
func TestACRDIsUpgradedOnlyIfItsObjectsFit(t *testing.T) {
	c := clients(t)
	version := func(name string, storage bool, properties string) string {
		text := `{name: ` + name + `, served: true, storage: false, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {` + properties + `}}}}}}`
		if storage {
			text = strings.Replace(text, "storage: false", "storage: true", 1)
		}
		return text
	}
	ensure := func(versions ...string) error {
		return c.EnsureCRDs(within(t), []module.CRD{{File: "crds/fits.yaml", Name: "fits.kube.test", Text: jsonOf(t, testCRD("fits", "["+strings.Join(versions, ",")+"]"))}}, nil)
	}
	refused := func(err error, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Fatalf("%q is not in the error: %v", text, err)
			}
		}
	}
	live := func() *unstructured.Unstructured {
		u, err := c.Dynamic.Resource(crdResource).Get(within(t), "fits.kube.test", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	t.Cleanup(func() { do(t, c, deletion("CustomResourceDefinition", "", "fits.kube.test")) })
	const wide, narrow = "size: {type: integer}", "size: {type: integer, maximum: 3}"
	steps := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	steps(ensure(version("v1", true, wide)))
	// Without an object everything goes, stored versions included.
	steps(ensure(version("v2", true, wide), version("v3", false, wide)))
	if stored, _, _ := unstructured.NestedStringSlice(live().Object, "status", "storedVersions"); strings.Join(stored, " ") != "v2" {
		t.Fatalf("status.storedVersions is %v", stored)
	}
	object := crdOf(t, `{apiVersion: kube.test/v3, kind: Fits, metadata: {name: one}, spec: {size: 5}}`)
	_, err := c.Dynamic.Resource(schema.GroupVersionResource{Group: "kube.test", Version: "v3", Resource: "fits"}).
		Create(within(t), object, metav1.CreateOptions{FieldManager: "somebody"})
	steps(err)

	refused(ensure(version("v3", true, wide)), "still be stored as v2", "storedVersions")
	refused(ensure(version("v2", true, wide)), "version v3 is dropped", "somebody wrote Fits one", "crd-upgrade=force")
	refused(ensure(version("v2", true, narrow), version("v3", false, wide)), "narrows fields", "maximum", "kubectl annotate crd fits.kube.test addon-operator.io/crd-upgrade=force")
	if len(versions(live(), func(map[string]any) bool { return true })) != 2 {
		t.Fatal("a refused definition must change nothing")
	}

	do(t, c, mergePatch("CustomResourceDefinition", "", "fits.kube.test", `{"metadata":{"annotations":{"addon-operator.io/crd-upgrade":"force"}}}`))
	steps(ensure(version("v2", true, narrow)))
	if live().GetAnnotations()[crdUpgradeAnnotation] != "" {
		t.Error("the permission is for one upgrade")
	}
	do(t, c, hook.Operation{Verb: hook.DeleteInBackground, APIVersion: "kube.test/v2", Kind: "Fits", Name: "one"})
}
