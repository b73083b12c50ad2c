package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// widgets is a CRD of a test; schema is that of spec.
func widgets(spec string) string {
	return `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.refused.example.com}
spec:
  group: refused.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: ` + spec + `}}}
`
}

// A version that does not fit here is refused before it touches what runs, and says what does not fit.
func TestAVersionThatDoesNotFitTouchesNothing(t *testing.T) {
	s := newShop(t)
	policies := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"}
	bindings := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"}
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	t.Cleanup(func() {
		ctx := context.Background()
		_ = s.Dynamic.Resource(policies).Delete(ctx, s.Namespace, metav1.DeleteOptions{})
		_ = s.Dynamic.Resource(bindings).Delete(ctx, s.Namespace, metav1.DeleteOptions{})
		_ = s.Dynamic.Resource(crds).Delete(ctx, "widgets.refused.example.com", metav1.DeleteOptions{})
	})
	s.create(policies, "", fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: %s},
spec: {failurePolicy: Fail, matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]},
validations: [{expression: "object.metadata.name != 'fits' || object.metadata.namespace != '%s' || object.data.v != '1.3.0'", message: version 1.3.0 is not for us}]}}`, s.Namespace, s.Namespace))
	s.create(bindings, "", fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: %s}, spec: {policyName: %s, validationActions: [Deny]}}`, s.Namespace, s.Namespace))

	schemaOf := func(size string) string {
		return "type: object\nadditionalProperties: false\nproperties: {size: {type: " + size + "}}\n"
	}
	wide := "{type: object, properties: {size: {type: integer, maximum: 100}}}"
	version := func(v, size, spec, template string) catalog.Ref {
		return s.module("fits", v, template, map[string]string{"openapi/config-values.yaml": schemaOf(size), "crds/widgets.yaml": widgets(spec)})
	}
	show := func(v string) string { return shown("fits", "v", v) }
	s.settings(map[string]string{"fitsEnabled": "true", "fits": "size: large\n"})
	s.promote("stable", "fits", version("1.0.0", "string", wide, show("1.0.0")), nil)
	s.start()
	s.follow("  modules: [fits]\n" + quick)
	s.deployed("fits", "1.0.0")
	s.create(schema.GroupVersionResource{Group: "refused.example.com", Version: "v1", Resource: "widgets"}, s.Namespace,
		"{apiVersion: refused.example.com/v1, kind: Widget, metadata: {name: one}, spec: {size: 50}}")
	before := s.revision("fits")

	refused := func(v string, texts ...string) {
		t.Helper()
		s.phase("fits", v, "Failed", append(texts, "PreflightFailed")...)
		s.kept("fits", "1.0.0", "PreflightFailed", texts...)
		s.ready("fits")
		s.shown("1.0.0", configMaps, "fits", "data", "v")
		s.sameRevisions(map[string]int{"fits": before})
	}
	s.promote("stable", "fits", version("1.1.0", "integer", wide, show("1.1.0")), nil)
	refused("1.1.0", "fits", "size")
	s.promote("stable", "fits", version("1.2.0", "string", "{type: object, properties: {size: {type: integer, maximum: 10}}}", show("1.2.0")), nil)
	refused("1.2.0", "widgets.refused.example.com", "narrows")
	s.phase("fits", "1.1.0", "Failed") // as it was
	s.promote("stable", "fits", version("1.3.0", "string", wide, show("1.3.0")), nil)
	refused("1.3.0", "version 1.3.0 is not for us")
	s.promote("stable", "fits", version("1.4.0", "string", wide, show("1.4.0")+"  broken: {{ fail \"no chart of mine\" }}\n"), nil)
	refused("1.4.0", "no chart of mine")

	// A cause that is gone, and somebody who asks again.
	s.promote("stable", "fits", version("1.3.0", "string", wide, show("1.3.0")), nil)
	s.phase("fits", "1.3.0", "Failed", "not for us")
	if err := s.Dynamic.Resource(bindings).Delete(s.ctx, s.Namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually(func() bool { // the API server takes a while to forget a policy
		if err := s.ask(s.Dynamic, "fits", "1.3.0", fmt.Sprintf(`{"retry":"%d"}`, s.log.lines())); err != nil {
			t.Fatal(err)
		}
		return s.release("fits", "1.3.0")["phase"] == "Deployed"
	}, "a retry tries again")
	s.deployed("fits", "1.3.0")

	// Values that fit are a reason to try again, too.
	s.promote("stable", "fits", version("1.5.0", "integer", wide, show("1.5.0")), nil)
	s.phase("fits", "1.5.0", "Failed", "PreflightFailed", "size")
	s.edit("fits", "size: 5\n")
	s.deployed("fits", "1.5.0")
}

// lines is how many lines were logged.
func (l *logBuffer) lines() int { return strings.Count(l.String(), "\n") }

// A version that gets sick: one that must not be rolled back stops, another goes back with the values that were
// well, and the user's next word ends that.
func TestASickVersionGoesBackWithTheValuesThatWereWell(t *testing.T) {
	s, c := newShop(t), newClinic(t)
	const policy = "  update: {soak: 1s, timeout: 10s}\n"
	template := shown("layer", "v", "{{ .Chart.Version }}", "color", "{{ .Values.layer.color }}")
	version := func(v, more string) catalog.Ref { return s.module("layer", v, template, c.definition(v, more)) }
	s.settings(map[string]string{"layerEnabled": "true", "layer": "color: red\n"})
	s.promote("stable", "layer", version("1.0.0", ""), nil)
	s.start()
	s.follow("  modules: [layer]\n" + policy)
	s.deployed("layer", "1.0.0")

	// The user changes a value while the version is verified.
	c.ails("1.1.0", true)
	s.promote("stable", "layer", version("1.1.0", ""), nil)
	s.phase("layer", "1.1.0", "Verifying")
	s.edit("layer", "color: blue\n")
	s.phase("layer", "1.1.0", "RolledBack", "1.1.0", "was not Ready")
	s.deployed("layer", "1.0.0")
	s.shown("red", configMaps, "layer", "data", "color")
	s.kept("layer", "1.0.0", "Rejected", "1.1.0", "retry")
	s.eventually(func() bool { return s.event("layer", "RolledBack", "1.1.0") }, "an Event tells of it")
	status, _ := s.sourceStatus().(map[string]any)
	if text := fmt.Sprint(status["rejected"]); !strings.Contains(text, "1.1.0") || !strings.Contains(text, "sha256:") {
		t.Errorf("the ModuleSource shows %v as rejected", text)
	}

	// The next change ends the hold, and is a reason to try the version again, which fails again.
	s.edit("layer", "color: green\n")
	s.shown("1.1.0", configMaps, "layer", "data", "v")
	s.shown("green", configMaps, "layer", "data", "color")
	s.shown("1.0.0", configMaps, "layer", "data", "v")
	s.deployed("layer", "1.0.0")
	s.shown("red", configMaps, "layer", "data", "color")

	// Well again, it is tried when somebody asks, and comes with what was well until the user says more.
	c.ails("1.1.0", false)
	if err := s.ask(s.Dynamic, "layer", "1.1.0", `{"retry":"now"}`); err != nil {
		t.Fatal(err)
	}
	s.deployed("layer", "1.1.0")
	s.shown("red", configMaps, "layer", "data", "color")
	s.edit("layer", "color: yellow\n")
	s.shown("yellow", configMaps, "layer", "data", "color")

	// Unsafe: it stops, and says that it must not go back.
	c.ails("1.2.0", true)
	s.promote("stable", "layer", version("1.2.0", "release: {rollback: unsafe}\n"), nil)
	s.phase("layer", "1.2.0", "Failed", "RollbackUnsafe", "must not be rolled back", "spec.retry")
	s.shown("1.2.0", configMaps, "layer", "data", "v")
	s.kept("layer", "1.2.0", "RollbackUnsafe")
	c.ails("1.2.0", false) // it is well by itself
	s.deployed("layer", "1.2.0")
}
