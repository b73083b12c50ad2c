package operator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

var (
	deployments  = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	configMaps   = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	autoscalers  = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	mutating     = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicies"}
	mutatingBind = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicybindings"}
)

// live is the text of a field of an object of the bed's namespace, "" when it is not there.
func (b *bed) live(r schema.GroupVersionResource, name string, path ...string) string {
	u, err := b.Dynamic.Resource(r).Namespace(b.Namespace).Get(b.ctx, name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	v, ok, _ := unstructured.NestedFieldNoCopy(u.Object, path...)
	if !ok {
		return ""
	}
	return fmt.Sprint(v)
}

func (b *bed) shown(want string, r schema.GroupVersionResource, name string, path ...string) {
	b.t.Helper()
	testkit.Eventually(b.t, func() bool { return b.live(r, name, path...) == want }, func() string {
		return fmt.Sprintf("%s %s has %q at %v; it has %q", r.Resource, name, want, path, b.live(r, name, path...))
	})
}

func (b *bed) patch(kind types.PatchType, r schema.GroupVersionResource, name, patch string, sub ...string) {
	b.t.Helper()
	_, err := b.Dynamic.Resource(r).Namespace(b.Namespace).Patch(b.ctx, name, kind, []byte(patch), metav1.PatchOptions{FieldManager: "somebody"}, sub...)
	if err != nil {
		b.t.Fatal(err)
	}
}

// create makes an object.
func (b *bed) create(r schema.GroupVersionResource, namespace, text string) {
	b.t.Helper()
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
		b.t.Fatal(err)
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		b.t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.Dynamic.Resource(r).Namespace(namespace).Create(b.ctx, u, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

const driftDeployment = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: {{ .Release.Namespace }}, labels: {ours: yes-it-is}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: nginx
          resources: {requests: {cpu: 1000m}}
          env: [{name: A, value: one}, {name: B, value: {{ .Values.drifting.b | default "two" | quote }}}]
`

// What others change is repaired without a revision (C-436, C-445), replicas under an
// autoscaler and fields left to others are not, and a policy that only adds is no drift.
func TestDriftOfFields(t *testing.T) {
	b := newBed(t)
	b.chart("100-drifting", driftDeployment+shown("plain", "k", "v")+shown("left", "theirs", "a", "ours", "b"))
	b.files(map[string]string{"modules/100-drifting/module.yaml": "drift: {ignore: [{kind: ConfigMap, name: left, paths: [/data/theirs]}]}\n"})
	b.settings(map[string]string{"driftingEnabled": "true"})
	b.start()
	b.ready("drifting")
	b.converged()

	// A field removed by hand, by either kind of patch, is back.
	env := []string{"spec", "template", "spec", "containers"}
	whole := b.live(deployments, "web", env...)
	b.patch(types.StrategicMergePatchType, deployments, "web", `{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","$patch":"delete"}]}]}}}}`)
	b.patch(types.JSONPatchType, configMaps, "plain", `[{"op":"remove","path":"/data/k"}]`)
	b.patch(types.JSONPatchType, deployments, "web", `[{"op":"remove","path":"/metadata/labels/ours"}]`)
	b.shown("v", configMaps, "plain", "data", "k")
	b.shown("yes-it-is", deployments, "web", "metadata", "labels", "ours")
	testkit.Eventually(t, func() bool { return strings.Contains(b.live(deployments, "web", env...), "value:one") }, func() string { return whole })

	// A field that is left to others stays when another one is repaired.
	b.patch(types.MergePatchType, configMaps, "left", `{"data":{"theirs":"changed","ours":"changed"}}`)
	b.shown("b", configMaps, "left", "data", "ours")
	b.shown("changed", configMaps, "left", "data", "theirs")

	// Replicas belong to an autoscaler as long as there is one: through a repair and an upgrade.
	b.create(autoscalers, b.Namespace, `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web},
  spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, minReplicas: 3, maxReplicas: 5}}`)
	b.shown("3", deployments, "web", "spec", "replicas")
	b.patch(types.JSONPatchType, deployments, "web", `[{"op":"remove","path":"/metadata/labels/ours"}]`)
	b.shown("yes-it-is", deployments, "web", "metadata", "labels", "ours")
	b.shown("3", deployments, "web", "spec", "replicas")
	b.sameRevisions(map[string]int{"drifting": 1})
	b.edit("drifting", "{b: three}")
	b.eventually(func() bool { return b.revision("drifting") == 2 }, "the module is upgraded")
	b.ready("drifting")
	b.shown("3", deployments, "web", "spec", "replicas")
	b.shown("changed", configMaps, "left", "data", "theirs")
	if err := b.Dynamic.Resource(autoscalers).Namespace(b.Namespace).Delete(b.ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.shown("1", deployments, "web", "spec", "replicas")
	b.ready("drifting")
	b.sameRevisions(map[string]int{"drifting": 2})
}

// A policy that adds labels is no drift; one that changes a field of ours is Contested
// and named, until the field is left to it.
func TestMutatingAdmissionPolicies(t *testing.T) {
	b := newBed(t)
	b.chart("100-mutated", driftDeploymentOf("mutated")+shown("plain", "k", `{{ .Values.mutated.k | default "v" | quote }}`))
	policy := func(name, expression, value string, path ...string) {
		full := name + "-" + b.Namespace
		b.create(mutating, "", fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicy, metadata: {name: %s},
  spec: {failurePolicy: Fail, reinvocationPolicy: Never, matchConstraints: {
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}},
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]},
    matchConditions: [{name: ours, expression: "object.metadata.name in ['plain', 'probe']"}],
    mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: %q}}]}}`, full, b.Namespace, expression))
		b.create(mutatingBind, "", fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicyBinding, metadata: {name: %s}, spec: {policyName: %s}}`, full, full))
		t.Cleanup(func() { b.dropPolicy(full) })
		testkit.Eventually(t, func() bool { // until it is in force
			b.configMap(b.Namespace, "probe", map[string]string{"k": "v"})
			return b.live(configMaps, "probe", path...) == value
		}, func() string { return "policy " + full + " is in force" })
	}
	policy("adds", `Object{metadata: Object.metadata{labels: {'policy': 'adds'}}}`, "adds", "metadata", "labels", "policy")
	b.settings(map[string]string{"mutatedEnabled": "true"})
	b.start()
	b.ready("mutated")
	b.shown("adds", configMaps, "plain", "metadata", "labels", "policy")
	b.patch(types.JSONPatchType, configMaps, "plain", `[{"op":"remove","path":"/data/k"}]`)
	b.shown("v", configMaps, "plain", "data", "k")
	b.ready("mutated")
	b.sameRevisions(map[string]int{"mutated": 1})

	policy("changes", `Object{data: {'k': 'the policy says'}}`, "the policy says", "data", "k")
	b.edit("mutated", "{k: new}")
	b.shown("the policy says", configMaps, "plain", "data", "k")
	b.wants("mutated", "Ready", "False Contested", "ConfigMap/"+b.Namespace+"/plain", "/data/k", "admission policy", "drift.ignore")
	b.sameRevisions(map[string]int{"mutated": 2})
	b.patch(types.MergePatchType, configMaps, "plain", `{"metadata":{"annotations":{"addon-operator.io/ignore-drift":"/data/k"}}}`)
	b.ready("mutated")
	if b.live(configMaps, "plain", "data", "k") != "the policy says" {
		t.Error("the field is not left to the policy")
	}
}

// driftDeploymentOf is driftDeployment in a module of another name.
func driftDeploymentOf(module string) string {
	return strings.ReplaceAll(driftDeployment, ".Values.drifting.", ".Values."+module+".")
}

func (b *bed) dropPolicy(name string) {
	ctx := context.Background() // that of the test has ended
	_ = b.Dynamic.Resource(mutatingBind).Delete(ctx, name, metav1.DeleteOptions{})
	_ = b.Dynamic.Resource(mutating).Delete(ctx, name, metav1.DeleteOptions{})
}
