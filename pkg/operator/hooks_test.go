package operator_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// C-120 … C-155, C-220 … C-228: what a hook's bindings see becomes values, values
// become a release; samples become metrics, operations become objects.
func TestEventsBecomeValuesAndValuesARelease(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-eventful", shown("eventful", "seen", "{{ .Values.eventful.seen | quote }}", "types", "{{ .Values.eventful.types | quote }}"))
	b.files(map[string]string{
		"modules/100-eventful/values.yaml": "eventful: {seen: none, types: none}\n",
		"modules/100-eventful/hooks/watch.sh": script(`kubernetes:
- name: sources
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}
  labelSelector: {matchLabels: {role: source}}
  jqFilter: .data.value
  includeSnapshotsFrom: [sources]`, `
seen=$(jq -r '[.[-1].snapshots.sources[] | .filterResult] | sort | join(",")' "$BINDING_CONTEXT_PATH")
types=$(jq -r '.[-1].type' "$BINDING_CONTEXT_PATH")
cat > "$VALUES_JSON_PATCH_PATH" <<JSON
[{"op":"add","path":"/eventful/seen","value":"$seen"},{"op":"add","path":"/eventful/types","value":"$types"}]
JSON
echo '{"name":"eventful_sources","set":'"$(jq '.[-1].snapshots.sources | length' "$BINDING_CONTEXT_PATH")"',"labels":{"of":"test"}}' > "$METRICS_PATH"
cat > "$KUBERNETES_PATCH_PATH" <<JSON
{"operation":"CreateOrUpdate","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"made-by-hook","namespace":"`+b.Namespace+`"},"data":{"seen":"$seen"}}}
{"operation":"Delete","apiVersion":"v1","kind":"ConfigMap","namespace":"`+b.Namespace+`","name":"to-delete"}
JSON`),
	})
	source := func(name, value string) {
		t.Helper()
		obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": name, "labels": map[string]any{"role": "source"}}, "data": map[string]any{"value": value}}}
		maps := b.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(b.Namespace)
		if _, err := maps.Apply(b.ctx, name, obj, metav1.ApplyOptions{FieldManager: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	source("one", "1")
	b.configMap(b.Namespace, "to-delete", nil)
	b.settings(map[string]string{"eventfulEnabled": "true"})
	b.start()
	b.ready("eventful")
	if !b.shows("eventful", "seen", "1") || !b.shows("eventful", "types", "Synchronization") || b.revision("eventful") != 1 {
		t.Errorf("the first revision must show what was there at the start; it is revision %d", b.revision("eventful"))
	}
	if !b.shows("made-by-hook", "seen", "1") || b.exists("to-delete") {
		t.Error("the hook's object operations were not executed before the release")
	}
	source("two", "2")
	b.eventually(func() bool { return b.shows("eventful", "seen", "1,2") && b.shows("eventful", "types", "Event") }, "an added object is shown")
	b.eventually(func() bool { return b.shows("made-by-hook", "seen", "1,2") }, "the hook's object is updated")
	source("one", "3")
	b.eventually(func() bool { return b.shows("eventful", "seen", "2,3") }, "a changed object is shown")
	if err := b.Client.CoreV1().ConfigMaps(b.Namespace).Delete(b.ctx, "two", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually(func() bool { return b.shows("eventful", "seen", "3") }, "a deleted object is no longer shown")
	b.eventually(func() bool {
		return strings.Contains(b.get("/metrics/hooks"), `eventful_sources{hook="hooks/watch.sh",module="eventful",of="test"} 1`)
	}, "the sample is among the metrics: %s", b.get("/metrics/hooks"))
}

// C-123, C-145, C-190: schedules run after the first convergence; a group sees the snapshots of all its bindings.
func TestScheduleAndGroup(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-grouped", shown("grouped", "result", "{{ .Values.grouped.result | quote }}"))
	b.files(map[string]string{
		"modules/100-grouped/values.yaml": "grouped: {result: none}\n",
		"modules/100-grouped/hooks/group.sh": script(`schedule:
- {name: every, crontab: "* * * * * *", group: all}
kubernetes:
- name: first
  kind: ConfigMap
  apiVersion: v1
  group: all
  namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}
  nameSelector: {matchNames: [first]}
  jqFilter: .data.value
  executeHookOnEvent: []
  executeHookOnSynchronization: false`, `
jq '[{op: "add", path: "/grouped/result", value: (.[-1] | "\(.type) \(.groupName) \(.snapshots.first[0].filterResult)")}]' \
  "$BINDING_CONTEXT_PATH" > "$VALUES_JSON_PATCH_PATH"`),
	})
	b.configMap(b.Namespace, "first", map[string]string{"value": "a"})
	b.settings(map[string]string{"groupedEnabled": "true"})
	b.start()
	b.eventually(func() bool { return b.shows("grouped", "result", "Group all a") }, "a tick of the schedule is shown")
	b.configMap(b.Namespace, "first", map[string]string{"value": "b"})
	b.eventually(func() bool { return b.shows("grouped", "result", "Group all b") }, "a later tick sees the newer snapshot")
}

// crd is a small namespaced custom resource definition.
func crd(plural, kind string) string {
	return `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ` + plural + `.test.example.com}
spec:
  group: test.example.com
  names: {plural: ` + plural + `, kind: ` + kind + `}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`
}

var crds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// C-155: a binding on a kind that does not exist is synchronised and empty; when the kind appears, its Synchronization runs.
func TestABindingOnAKindThatComesLater(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-laterkind", shown("laterkind", "names", "{{ .Values.laterkind.names | quote }}"))
	b.files(map[string]string{
		"modules/100-laterkind/values.yaml": "laterkind: {names: none}\n",
		"modules/100-laterkind/hooks/watch.sh": script(`kubernetes:
- name: late
  apiVersion: test.example.com/v1
  kind: LateThing
  jqFilter: .metadata.name
  includeSnapshotsFrom: [late]`, `
jq '[{op: "add", path: "/laterkind/names", value: ([.[-1].snapshots.late[] | .filterResult] | join(","))}]' "$BINDING_CONTEXT_PATH" > "$VALUES_JSON_PATCH_PATH"`),
	})
	b.settings(map[string]string{"laterkindEnabled": "true"})
	b.start()
	b.ready("laterkind")
	if !b.shows("laterkind", "names", "") {
		t.Error("without the kind the snapshot must be empty")
	}
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(crd("latethings", "LateThing")), &obj.Object); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Dynamic.Resource(crds).Create(b.ctx, obj, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	things := b.Dynamic.Resource(schema.GroupVersionResource{Group: "test.example.com", Version: "v1", Resource: "latethings"}).Namespace(b.Namespace)
	thing := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "test.example.com/v1", "kind": "LateThing", "metadata": map[string]any{"name": "x"}}}
	b.eventually(func() bool { _, err := things.Create(b.ctx, thing, metav1.CreateOptions{}); return err == nil }, "the kind is served")
	b.eventually(func() bool { return b.shows("laterkind", "names", "x") }, "the object of the new kind is shown")
}

// C-328, C-329, C-335 … C-338: flags of global hooks, the script's veto, and a script that fails.
func TestWhoDecidesThatAModuleIsOn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for _, name := range []string{"decided-a", "decided-b", "decided-c", "decided-d"} {
		b.chart("100-"+name, shown(name, "enabled", `{{ .Values.global.enabledModules | join "," | quote }}`))
	}
	b.files(map[string]string{
		"modules/values.yaml": "decidedBEnabled: true\ndecidedCEnabled: true\n",
		"global-hooks/hooks/flags.sh": script(`kubernetes:
- name: flag
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}
  nameSelector: {matchNames: [flag]}
  jqFilter: .data.on
  includeSnapshotsFrom: [flag]`, `
on=$(jq -r '.[-1].snapshots.flag[0].filterResult // "false"' "$BINDING_CONTEXT_PATH")
echo '[{"op":"add","path":"/decidedAEnabled","value":'"$on"'},{"op":"add","path":"/decidedDEnabled","value":'"$on"'}]' > "$VALUES_JSON_PATCH_PATH"`),
		"modules/100-decided-b/enabled": "#!/usr/bin/env bash\n" +
			`jq -r '.global.enabledModules | index("decided-a") != null' "$VALUES_PATH" > "$MODULE_ENABLED_RESULT"` + "\n" +
			`echo "decided-a is needed" > "$MODULE_ENABLED_REASON"` + "\n",
	})
	b.configMap(b.Namespace, "flag", map[string]string{"on": "false"})
	b.settings(map[string]string{"decidedDEnabled": "false"})
	b.start()
	b.ready("decided-c")
	b.converged()
	b.wants("decided-a", "Enabled", "False Disabled", "global hook")
	b.wants("decided-b", "Enabled", "False Disabled", "decided-a is needed")
	b.wants("decided-d", "Enabled", "False Disabled", "the ConfigMap")

	b.configMap(b.Namespace, "flag", map[string]string{"on": "true"})
	b.ready("decided-a", "decided-b", "decided-c")
	b.wants("decided-d", "Enabled", "False Disabled", "the ConfigMap")
	b.eventually(func() bool { return b.shows("decided-c", "enabled", "decided-a,decided-b,decided-c") }, "charts see all enabled modules")
	before := b.revisions("decided-a", "decided-b", "decided-c")

	// A script that fails changes nothing, and stops nobody.
	b.files(map[string]string{"modules/100-decided-b/enabled": "#!/usr/bin/env bash\necho 'no answer today' >&2; exit 1\n"})
	b.edit("global", "{}\n", "decidedDEnabled", "true")
	b.ready("decided-d")
	b.wants("decided-b", "Enabled", "True EnabledScriptFailed", "no answer today")
	b.eventually(func() bool { return b.event("decided-b", "EnabledScriptFailed", "no answer today") }, "an Event tells of the script")
	if b.revision("decided-b") < before["decided-b"] {
		t.Error("a failing script removed a release")
	}
	b.files(map[string]string{"modules/100-decided-b/enabled": "#!/usr/bin/env bash\necho true > \"$MODULE_ENABLED_RESULT\"\n"})
	b.edit("global", "poke: 1\n") // a reason to ask again at once
	b.wants("decided-b", "Enabled", "True On")
	b.ready("decided-b")
}

// C-409: a global value of an afterAll hook is a new revision for those who see it.
func TestGlobalHooksAroundAllModules(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-around", shown("around", "before", "{{ .Values.global.before | quote }}", "after", "{{ .Values.global.after | quote }}"))
	b.files(map[string]string{
		"modules/values.yaml":         "aroundEnabled: true\nglobal: {before: none, after: none}\n",
		"global-hooks/hooks/first.sh": script("beforeAll: 1", `echo '{"op":"add","path":"/global/before","value":"ran"}' > "$VALUES_JSON_PATCH_PATH"`),
		"global-hooks/hooks/last.sh":  script("afterAll: 1", `echo '{"op":"add","path":"/global/after","value":"ran"}' > "$VALUES_JSON_PATCH_PATH"`),
	})
	b.settings(nil)
	b.start()
	b.eventually(func() bool { return b.shows("around", "before", "ran") && b.shows("around", "after", "ran") }, "both values are shown")
	b.ready("around")
	b.sameRevisions(map[string]int{"around": 2})
}
