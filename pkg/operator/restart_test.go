package operator_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// versions are the resourceVersions of everything in the bed's namespace that a
// restart with nothing to do must not write; records of releases are Secrets.
func (b *bed) versions() map[string]string {
	b.t.Helper()
	out := map[string]string{}
	maps, err := b.Client.CoreV1().ConfigMaps(b.Namespace).List(b.ctx, metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, o := range maps.Items {
		if o.Name == b.Config.ConfigMap+"-facts" {
			continue // facts that hooks told anew have new places in the order of commits
		}
		out["ConfigMap "+o.Name] = o.ResourceVersion
	}
	secrets, err := b.Client.CoreV1().Secrets(b.Namespace).List(b.ctx, metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, o := range secrets.Items {
		out["Secret "+o.Name] = o.ResourceVersion
	}
	return out
}

// DESIGN 5: facts survive; with nothing to do nothing is written.
func TestARestartWithNothingToDoWritesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-warm-a", shown("warm-a", "fact", "{{ .Values.warmA.fact | quote }}", "random", "{{ randAlphaNum 10 }}"))
	b.chart("100-warm-b", shown("warm-b", "zone", "{{ .Values.global.zone | quote }}"))
	b.files(map[string]string{
		"modules/values.yaml":         "global: {zone: none}\nwarmA: {fact: none}\nwarmAEnabled: true\nwarmBEnabled: true\n",
		"global-hooks/hooks/facts.sh": b.factsHook(),
		// A fact that only an event brings: at a restart nobody tells it again.
		"modules/100-warm-a/hooks/event.sh": script(`kubernetes:
- name: trigger
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}
  nameSelector: {matchNames: [trigger]}
  jqFilter: .data.value
  executeHookOnSynchronization: false`, `
value=$(jq -r '.[-1].filterResult // empty' "$BINDING_CONTEXT_PATH")
printf '[{"op":"add","path":"/warmA/fact","value":"%s"}]' "$value" > "$VALUES_JSON_PATCH_PATH"`),
	})
	b.configMap(b.Namespace, "facts", map[string]string{"zone": "east"})
	b.settings(nil)
	stop := b.start()
	b.ready("warm-a", "warm-b")
	b.converged()
	b.configMap(b.Namespace, "trigger", map[string]string{"value": "told once"})
	b.eventually(func() bool { return b.shows("warm-a", "fact", "told once") }, "the event's fact is shown")
	b.converged()
	stop()
	before := b.versions()

	stop = b.start()
	b.converged()
	b.ready("warm-a", "warm-b")
	stop()
	after := b.versions()
	for name, version := range before {
		if after[name] != version {
			t.Errorf("%s was written by a restart with nothing to do", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("there are %d objects, expected %d", len(after), len(before))
	}

	// A stale fact dies: the hook that wrote it writes another at the start.
	b.configMap(b.Namespace, "facts", map[string]string{"zone": "west"})
	b.start()
	b.eventually(func() bool { return b.shows("warm-b", "zone", "west") }, "the provisional fact is replaced")
	b.ready("warm-a", "warm-b")
	if !b.shows("warm-a", "fact", "told once") {
		t.Error("the fact of the event is lost")
	}
}

// C-324, B-09: what was switched off while the operator was away is removed with its delete hooks.
func TestAModuleSwitchedOffWhileTheOperatorWasAway(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-leftbehind", shown("leftbehind", "is", "here"))
	b.files(map[string]string{
		"modules/values.yaml":                           "global: {namespace: " + b.Namespace + "}\n",
		"modules/100-leftbehind/hooks/before-delete.sh": noting("beforeDeleteHelm: 1", "left-before-delete"),
	})
	b.settings(map[string]string{"leftbehindEnabled": "true"})
	stop := b.start()
	b.ready("leftbehind")
	stop()
	b.edit("leftbehindEnabled", "false")
	b.start()
	b.eventually(func() bool { return b.revision("leftbehind") == 0 && !b.exists("leftbehind") }, "the release is removed")
	if !b.exists("left-before-delete") {
		t.Error("its delete hook did not run")
	}
}

// The API server goes away in the middle of a converge and comes back. Not
// parallel: every test of the package talks to it.
func TestAnAPIServerThatGoesAwayDelaysAndLosesNothing(t *testing.T) {
	b := newBed(t)
	set := testkit.Synthetic{Modules: 12, ConfigMaps: 4, DistinctWeights: true}
	if err := set.Write(b.Dir); err != nil {
		t.Fatal(err)
	}
	b.fact("before the outage")
	b.settings(nil)
	stop := b.start()
	b.eventually(func() bool { return b.exists("m003-1") }, "the converge is under way")
	testkit.StopAPIServer(t)
	testkit.StartAPIServer(t)
	for i := range set.Modules {
		b.ready(set.Name(i))
	}
	b.converged()
	b.noPending()

	// Gone while the operator starts, and a change while it is gone for the operator.
	stop()
	b.fact("after the outage")
	testkit.StopAPIServer(t)
	b.start()
	b.eventually(func() bool { return strings.Contains(b.log.String(), "trying again") }, "the operator waits for the API server")
	testkit.StartAPIServer(t)
	for i := range set.Modules {
		b.eventually(func() bool { return b.shows(set.Name(i)+"-1", "fact", "after the outage") }, "%s shows the change", set.Name(i))
		b.ready(set.Name(i))
	}
	b.noPending()
	for i := range set.Modules {
		if r := b.revision(set.Name(i)); r > 4 {
			t.Errorf("release %s has revision %d: expected one a change and one a failed attempt at most", set.Name(i), r)
		}
	}
}

// noPending fails the test when the newest revision of a release is not deployed.
func (b *bed) noPending() {
	b.t.Helper()
	list, err := b.Client.CoreV1().Secrets(b.Namespace).List(b.ctx, metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range list.Items {
		if strings.HasPrefix(s.Labels["status"], "pending") || s.Labels["status"] == "uninstalling" {
			b.t.Errorf("%s is %s", s.Name, s.Labels["status"])
		}
	}
}
