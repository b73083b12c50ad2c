package operator_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// webhooks has the API server ask the bed's operator, and only about the bed's namespace.
func (b *bed) webhooks() {
	b.t.Helper()
	c := &b.Config.Webhooks
	c.Admission.ListenAddress, c.Conversion.ListenAddress = freePort(b.t), freePort(b.t)
	c.URL = "https://" + c.Admission.ListenAddress
	c.ConfigurationName = b.Namespace
	label := []byte(`{"metadata":{"labels":{"reviewed-by":"` + b.Namespace + `"}}}`)
	if _, err := b.Client.CoreV1().Namespaces().Patch(b.ctx, b.Namespace, types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(b.withdraw)
}

// dryRun is what the API server says to a new ConfigMap with a label.
func (b *bed) dryRun(name, check string) (*corev1.ConfigMap, error) {
	return b.Client.CoreV1().ConfigMaps(b.Namespace).Create(b.ctx,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"check": check}}},
		metav1.CreateOptions{DryRun: []string{"All"}})
}

func (b *bed) denied(name, check, words string) bool {
	_, err := b.dryRun(name, check)
	return err != nil && strings.Contains(err.Error(), words)
}

// configurations are the names of the bed's webhook configurations.
func (b *bed) configurations() string {
	var names []string
	v, err := b.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(b.ctx, metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range v.Items {
		if owner, ok := strings.CutPrefix(c.Name, b.Namespace+"-"); ok {
			names = append(names, "validating "+owner)
		}
	}
	m, err := b.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(b.ctx, metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range m.Items {
		if owner, ok := strings.CutPrefix(c.Name, b.Namespace+"-"); ok {
			names = append(names, "mutating "+owner)
		}
	}
	return strings.Join(names, ", ")
}

// Hooks of a module and global hooks answer reviews, with values and snapshots, as
// long as their owner is on: configurations stay over a restart, go with the module,
// and when the hook that wanted them is gone (C-034, C-242, C-243).
func TestWebhooksOfModulesComeAndGoWithTheirOwner(t *testing.T) {
	b := newBed(t)
	b.webhooks()
	guard := "modules/100-guarded/hooks/guard.sh"
	b.files(map[string]string{
		guard: script(fmt.Sprintf(`kubernetes:
- {name: known, apiVersion: v1, kind: ConfigMap, group: review, jqFilter: .metadata.name,
   labelSelector: {matchLabels: {known: "yes"}}, namespace: {nameSelector: {matchNames: [%s]}}}
kubernetesValidating:
- name: guard.example.com
  group: review
  labelSelector: {matchLabels: {check: guard}}
  namespace: {labelSelector: {matchLabels: {reviewed-by: %s}}}
  rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]`, b.Namespace, b.Namespace), `
[[ $(jq -r '.[0].type' "$BINDING_CONTEXT_PATH") == Validating ]] || exit 0
[[ $(jq -r '.guarded.word' "$VALUES_PATH") == please ]]
jq -c '.[0] | (.review.request.object.metadata.name) as $name | if any(.snapshots.known[]; .filterResult == $name)
  then {allowed: false, message: ($name + " is known already")} else {allowed: true} end' "$BINDING_CONTEXT_PATH" >"$VALIDATING_RESPONSE_PATH"`),
		"modules/100-guarded/values.yaml": "guarded: {word: please}\n",
		"global-hooks/hooks/stamp.sh": script(fmt.Sprintf(`kubernetesMutating:
- name: stamp.example.com
  labelSelector: {matchLabels: {check: stamp}}
  namespace: {labelSelector: {matchLabels: {reviewed-by: %s}}}
  rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]`, b.Namespace), `
patch=$(printf '[{"op":"add","path":"/data","value":{"stamped":"yes"}}]' | base64 -w0)
printf '{"allowed":true,"patch":"%s"}' "$patch" >"$ADMISSION_RESPONSE_PATH"`),
	})
	b.chart("100-guarded", shown("guarded-shows", "a", "b"))
	known := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "twice", Labels: map[string]string{"known": "yes"}}}
	if _, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Create(b.ctx, known, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.settings(map[string]string{"guardedEnabled": "true"})
	stop := b.start()
	b.ready("guarded")

	b.eventually(func() bool { return b.denied("twice", "guard", "twice is known already") }, "the module's hook denies what its snapshot has")
	if _, err := b.dryRun("once", "guard"); err != nil {
		t.Errorf("the module's hook denies what its snapshot has not: %v", err)
	}
	b.eventually(func() bool { cm, err := b.dryRun("any", "stamp"); return err == nil && cm.Data["stamped"] == "yes" }, "the global hook changes the object")
	if got := b.configurations(); got != "validating guarded, mutating global" {
		t.Errorf("got %s", got)
	}

	stop()
	if got := b.configurations(); got != "validating guarded, mutating global" {
		t.Errorf("a policy must not lapse during a restart; got %s", got)
	}
	if !b.denied("once", "guard", "failed calling webhook") {
		t.Error("without the operator the API server must refuse what the hook has not seen")
	}
	stop = b.start()
	b.eventually(func() bool { return b.denied("twice", "guard", "twice is known already") }, "the hook answers again")

	b.edit("guardedEnabled", "false")
	b.eventually(func() bool { return b.configurations() == "mutating global" }, "the module's configuration goes with it: %s", b.configurations())
	if b.denied("twice", "guard", "webhook") {
		t.Error("a module that is off denies")
	}
	b.edit("guardedEnabled", "true")
	b.eventually(func() bool { return b.denied("twice", "guard", "twice is known already") }, "the module is on again")

	stop()
	if err := os.Remove(filepath.Join(b.Dir, guard)); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.eventually(func() bool { return b.configurations() == "mutating global" }, "the configuration goes with the hook that wanted it: %s", b.configurations())
}
