package operator_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// factsHook is a global hook that makes global values out of the ConfigMap "facts" of the bed's namespace.
func (b *bed) factsHook() string {
	return script(`kubernetes:
- name: facts
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}
  nameSelector: {matchNames: [facts]}
  jqFilter: .data
  includeSnapshotsFrom: [facts]`, `
jq '[.[-1].snapshots.facts[0].filterResult // {} | to_entries[] | {op: "add", path: "/global/\(.key)", value}]' \
  "$BINDING_CONTEXT_PATH" > "$VALUES_JSON_PATCH_PATH"`)
}

// A global fact concerns the modules that see it: `inputs` limits the view.
func TestAChangedFactUpgradesOnlyTheModulesThatSeeIt(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.files(map[string]string{
		"global-hooks/hooks/facts.sh":           b.factsHook(),
		"modules/values.yaml":                   "global: {zone: none, nodes: none}\nseesZoneEnabled: true\nseesNodesEnabled: true\nseesAllEnabled: true\nseesNoneEnabled: true\n",
		"modules/100-sees-zone/module.yaml":     "inputs: [global.zone]\n",
		"modules/100-sees-nodes/module.yaml":    "inputs: [global.nodes]\n",
		"modules/100-sees-none/module.yaml":     "inputs: []\n",
		"modules/100-sees-zone/hooks/before.sh": script("beforeHelm: 1", `[[ $(jq -c '.global|keys' "$VALUES_PATH") == '["zone"]' ]] || { jq .global "$VALUES_PATH" >&2; exit 1; }`),
	})
	for name, text := range map[string]string{
		"sees-zone": shown("sees-zone", "zone", "{{ .Values.global.zone }}"), "sees-nodes": shown("sees-nodes", "nodes", "{{ .Values.global.nodes | quote }}"),
		"sees-all":  shown("sees-all", "zone", "{{ .Values.global.zone }}", "nodes", "{{ .Values.global.nodes | quote }}"),
		"sees-none": shown("sees-none", "is", "here"),
	} {
		b.chart("100-"+name, text)
	}
	b.configMap(b.Namespace, "facts", map[string]string{"zone": "east", "nodes": "3"})
	b.settings(nil)
	b.start()
	b.ready("sees-zone", "sees-nodes", "sees-all", "sees-none")
	b.converged()
	before := b.revisions("sees-zone", "sees-nodes", "sees-all", "sees-none")

	b.configMap(b.Namespace, "facts", map[string]string{"zone": "east", "nodes": "4"})
	b.eventually(func() bool { return b.shows("sees-nodes", "nodes", "4") && b.shows("sees-all", "nodes", "4") }, "the new fact is shown")
	b.converged()
	before["sees-nodes"]++
	before["sees-all"]++
	b.sameRevisions(before)
}

// global.discoveryOverride is the user's last word on a fact.
func TestTheUserOverrulesADiscoveredFact(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.files(map[string]string{
		"modules/values.yaml": "overruleEnabled: true\n",
		"global-hooks/hooks/cloud.sh": script("onStartup: 1",
			`echo '{"op":"add","path":"/global/discovery","value":{"cloud":{"provider":"aws","region":"r1"}}}' > "$VALUES_JSON_PATCH_PATH"`),
	})
	b.chart("100-overrule", shown("overrule", "provider", "{{ .Values.global.discovery.cloud.provider }}", "region", "{{ .Values.global.discovery.cloud.region }}"))
	b.settings(map[string]string{"global": "discoveryOverride: {cloud: {provider: gce}}\n"})
	b.start()
	b.ready("overrule")
	if !b.shows("overrule", "provider", "gce") || !b.shows("overrule", "region", "r1") {
		t.Error("the override must win over the discovered provider and leave the region alone")
	}
	b.edit("global", "{}\n")
	b.eventually(func() bool { return b.shows("overrule", "provider", "aws") }, "the fact is back")
}

const repairedChart = `apiVersion: apps/v1
kind: Deployment
metadata: {name: repaired, namespace: {{ .Release.Namespace }}}
spec:
  replicas: 1
  selector: {matchLabels: {app: repaired}}
  template:
    metadata: {labels: {app: repaired}}
    spec: {containers: [{name: main, image: "registry.invalid/main:1"}]}
`

// Drift is repaired without a new revision.
func TestADeletedOrChangedObjectComesBackWithTheSameRevision(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-repaired", repairedChart+shown("repaired", "value", "wanted"))
	b.settings(map[string]string{"repairedEnabled": "true"})
	b.start()
	b.ready("repaired")
	deployments := b.Client.AppsV1().Deployments(b.Namespace)
	get := func() *appsv1.Deployment {
		d, err := deployments.Get(b.ctx, "repaired", metav1.GetOptions{})
		if err != nil {
			return nil
		}
		return d
	}
	first := get()
	if err := deployments.Delete(b.ctx, "repaired", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually(func() bool { d := get(); return d != nil && d.UID != first.UID }, "the Deployment is back")
	b.ready("repaired")

	for sentence, patch := range map[string]string{
		"a number": `{"spec":{"replicas":3}}`,
		"an image": `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"registry.invalid/other:2"}]}}}}`,
	} {
		if _, err := deployments.Patch(b.ctx, "repaired", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		b.eventually(func() bool {
			d := get()
			return d != nil && *d.Spec.Replicas == 1 && d.Spec.Template.Spec.Containers[0].Image == "registry.invalid/main:1"
		}, "%s is repaired", sentence)
	}
	b.configMap(b.Namespace, "repaired", map[string]string{"value": "other", "more": "of somebody else"})
	b.eventually(func() bool { return b.shows("repaired", "value", "wanted") }, "the ConfigMap is repaired")
	b.eventually(func() bool { return b.event("repaired", "Repaired", "repaired") }, "an Event tells of the repair")
	b.ready("repaired")
	b.sameRevisions(map[string]int{"repaired": 1})
}

const secretSchema = `type: object
properties:
  password: {type: string, x-secret: true}
  note: {type: string}
`

// generatingHook makes a password once and keeps it in the settings of its module.
const generatingHook = `
if [[ $(jq -r '.returning.password // "none"' "$CONFIG_VALUES_PATH") == none ]]; then
  password=$(head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n')
  printf '[{"op":"add","path":"/returning","value":{"password":"%s"}}]' "$password" > "$CONFIG_VALUES_JSON_PATCH_PATH"
fi`

// noting appends an object operation that makes a ConfigMap; its creation shows that the hook ran.
func noting(binding, name string) string {
	return script(binding, `cat > "$KUBERNETES_PATCH_PATH" <<JSON
{"operation":"Create","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"`+name+`","namespace":"$(jq -r .global.namespace "$VALUES_PATH")"}}}
JSON`)
}

// C-425: reverse order, delete hooks around Helm; C-324: facts go, the generated secret stays.
func TestDisablingRemovesInReverseOrderAndEnablingBringsBackTheSecret(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-returning", shown("returning", "is", "here")+`---
apiVersion: v1
kind: Secret
metadata: {name: returning, namespace: {{ .Release.Namespace }}}
stringData: {password: {{ .Values.returning.password }}}
`)
	b.chart("200-upper", shown("upper", "is", "here"))
	b.files(map[string]string{
		"modules/values.yaml":                              "global: {namespace: " + b.Namespace + "}\n",
		"modules/100-returning/openapi/config-values.yaml": secretSchema,
		"modules/100-returning/hooks/generate.sh":          script("beforeHelm: 1", generatingHook),
		"modules/100-returning/hooks/before-delete.sh":     noting("beforeDeleteHelm: 1", "before-delete"),
		"modules/100-returning/hooks/after-delete.sh":      noting("afterDeleteHelm: 1", "after-delete"),
		"modules/200-upper/hooks/after-delete.sh":          noting("afterDeleteHelm: 1", "upper-after-delete"),
	})
	b.settings(map[string]string{"returningEnabled": "true", "upperEnabled": "true", "returning": "# mine\nnote: kept\n"})
	order := b.watchOrder()
	b.start()
	b.ready("returning", "upper")
	password := func() string {
		s, err := b.Client.CoreV1().Secrets(b.Namespace).Get(b.ctx, "returning", metav1.GetOptions{})
		if err != nil {
			return ""
		}
		return string(s.Data["password"])
	}
	first := password()
	if len(first) != 40 {
		t.Fatalf("the generated password is %q", first)
	}

	b.edit("returningEnabled", "false", "upperEnabled", "false")
	b.eventually(func() bool {
		return b.revision("returning") == 0 && b.revision("upper") == 0 && b.exists("after-delete")
	}, "both releases are gone")
	b.wants("returning", "Enabled", "False Disabled")
	got := order()
	want := []string{"deleted upper", "added upper-after-delete", "added before-delete", "deleted returning", "added after-delete"}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("order of removal:\n got %s\nwant %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}

	b.edit("returningEnabled", "true")
	b.ready("returning")
	b.eventually(func() bool { return password() == first }, "the password is the same; it is %q, was %q", password(), first)
	b.nowhere(first)
	if text := b.setting("returning"); !strings.Contains(text, "# mine") {
		t.Errorf("the user's comment is lost: %q", text)
	}
}

// watchOrder watches ConfigMaps of the bed and returns, when called, what was
// added by delete hooks and what was deleted, in order.
func (b *bed) watchOrder() func() []string {
	b.t.Helper()
	w, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Watch(b.ctx, metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() (seen []string) {
		defer w.Stop()
		for e := range w.ResultChan() {
			meta, ok := e.Object.(metav1.ObjectMetaAccessor)
			if !ok {
				continue
			}
			name := meta.GetObjectMeta().GetName()
			deletes := strings.HasSuffix(name, "-delete")
			if (e.Type == "ADDED" && deletes) || (e.Type == "DELETED" && !deletes) {
				seen = append(seen, strings.ToLower(string(e.Type))+" "+name)
			}
			if name == "after-delete" {
				return seen
			}
		}
		return seen
	}
}

// nowhere fails the test when a secret shows up where people look.
func (b *bed) nowhere(secret string) {
	b.t.Helper()
	check := func(where string, v any) {
		if strings.Contains(pretty(v), secret) {
			b.t.Errorf("the secret is in %s", where)
		}
	}
	maps, err := b.Client.CoreV1().ConfigMaps("").List(b.ctx, metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	check("a ConfigMap", maps)
	events, err := b.Client.CoreV1().Events("").List(b.ctx, metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	check("an Event", events)
	for _, m := range b.modules() {
		check("Module "+m, b.module(m))
	}
	if strings.Contains(b.log.String(), secret) {
		b.t.Error("the secret is in the log")
	}
}
