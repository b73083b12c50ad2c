package operator_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// plan is what the operator says that data of the ConfigMap would do, and the text of it.
func (b *bed) plan(data map[string]string) (explain.Plan, string) {
	b.t.Helper()
	body, err := yaml.Marshal(data)
	if err != nil {
		b.t.Fatal(err)
	}
	form := url.Values{"configmap": {string(body)}, "diff": {"true"}}
	var p explain.Plan
	answer, err := web.Send(b.ctx, b.Config.DebugSocket, "/plan.json", form)
	if err == nil {
		err = json.Unmarshal(answer, &p)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := web.Send(b.ctx, b.Config.DebugSocket, "/plan.text", form)
	if err != nil {
		b.t.Fatal(err)
	}
	return p, string(text)
}

func effects(p explain.Plan) map[string]string {
	out := map[string]string{}
	for _, m := range p.Modules {
		out[m.Name] = m.Effect
	}
	return out
}

func (b *bed) planned() map[string]string {
	b.t.Helper()
	b.files(map[string]string{
		"modules/values.yaml":                              "global: {zone: east}\nplanZoneEnabled: true\nplanSizeEnabled: true\nplanSameEnabled: true\nplanGoesEnabled: true\nplanStaysEnabled: true\n",
		"modules/100-plan-zone/module.yaml":                "inputs: [global.zone]\n",
		"modules/100-plan-size/module.yaml":                "inputs: []\n",
		"modules/100-plan-size/openapi/config-values.yaml": "type: object\nproperties:\n  size: {type: integer, default: 1}\n  password: {type: string, x-secret: true}\n",
		"modules/100-plan-size/hooks/before.sh":            script("beforeHelm: 1", "exit 0"),
		"modules/100-plan-same/module.yaml":                "inputs: []\n",
		"modules/100-plan-goes/module.yaml":                "inputs: []\n",
		"modules/100-plan-stays/module.yaml":               "inputs: []\n",
		"modules/100-plan-new/module.yaml":                 "inputs: []\n",
		"modules/100-plan-veto/enabled":                    "#!/bin/bash\n[[ $(jq -r .global.zone $VALUES_PATH) == west ]] && echo true > $MODULE_ENABLED_RESULT || echo false > $MODULE_ENABLED_RESULT\n",
		"modules/100-plan-veto/module.yaml":                "inputs: [global.zone]\n",
	})
	b.chart("100-plan-zone", shown("plan-zone", "zone", "{{ .Values.global.zone }}"))
	b.chart("100-plan-size", shown("plan-size", "size", "{{ .Values.planSize.size | quote }}", "secret", "{{ .Values.planSize.password | default \"none\" | quote }}")+
		"{{ if gt (int .Values.planSize.size) 2 }}"+shown("plan-size-more", "is", "here")+"{{ end }}")
	b.chart("100-plan-same", shown("plan-same", "is", "here"))
	b.chart("100-plan-goes", shown("plan-goes", "is", "here"))
	b.chart("100-plan-stays", shown("plan-stays", "is", "here"))
	b.chart("100-plan-new", shown("plan-new", "is", "here"))
	b.chart("100-plan-veto", shown("plan-veto", "is", "here"))
	return map[string]string{"planVetoEnabled": "true", "planSize": "size: 2\npassword: not-so-secret-one\n"}
}

// What plan says is what happens when the ConfigMap is applied, and until then nothing does
// (C-316a, C-335, C-372 … C-374).
func TestAPlanPredictsWhatTheConfigMapDoes(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	now := b.planned()
	b.settings(now)
	b.start()
	b.ready("plan-zone", "plan-size", "plan-same", "plan-goes", "plan-stays")
	b.converged()
	before := b.revisions("plan-zone", "plan-size", "plan-same", "plan-goes", "plan-stays", "plan-new", "plan-veto")

	if p, text := b.plan(now); p.Outcome != explain.Nothing || !strings.Contains(text, "Nothing would change") {
		t.Errorf("the ConfigMap of now changes something:\n%s", text)
	}
	p, text := b.plan(map[string]string{"planSize": "size: big\nunknown: 1\n", "Plan-new": "a: 1", "planNewEnabled": "perhaps", "planNoneEnabled": "true"})
	keys := []string{}
	for _, k := range p.Problems {
		keys = append(keys, k.Key)
	}
	slices.Sort(keys)
	if p.Outcome != explain.Invalid || !slices.Equal(keys, []string{"Plan-new", "planNewEnabled", "planSize"}) || len(p.Warnings) != 1 ||
		!strings.Contains(text, "INVALID") || !strings.Contains(text, "planSize.size") || !strings.Contains(text, "unknown") {
		t.Errorf("problems of keys %v:\n%s", keys, text)
	}

	next := map[string]string{
		"global": "zone: west\n", "planVetoEnabled": "true", "planNewEnabled": "true", "planGoesEnabled": "false",
		"planSize": "size: 3\npassword: not-so-secret-two\n", "planSame": "unused: 1\n",
	}
	p, text = b.plan(next)
	want := map[string]string{"plan-zone": explain.Upgrade, "plan-size": explain.Upgrade, "plan-same": explain.SameObjects, "plan-goes": explain.Uninstall,
		"plan-new": explain.Install, "plan-veto": explain.Install}
	if got := effects(p); pretty(got) != pretty(want) || p.Outcome != explain.Different || p.Untouched != 1 {
		t.Errorf("effects are %v, expected %v", got, want)
	}
	for _, line := range []string{
		"UNINSTALLS 1 module in use", "plan-goes: 1 object, off by the ConfigMap", "global.zone: east → west  (ConfigMap)", "planSize.size: 2 → 3  (ConfigMap)",
		"planSize.password: a secret changed", "upgrade, objects: 1 added, 1 changed", "-  size: \"2\"\n+  size: \"3\"", "hooks/before.sh", "Hooks were not run",
		"Not touched: 1 module.",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("the text lacks %q:\n%s", line, text)
		}
	}
	if strings.Contains(text, "not-so-secret") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	b.sameRevisions(before)

	b.settings(next)
	b.ready("plan-new", "plan-veto")
	b.eventually(func() bool {
		return b.shows("plan-size", "size", "3") && b.shows("plan-zone", "zone", "west") && !b.exists("plan-goes")
	}, "the plan has come true")
	b.converged()
	before["plan-zone"]++
	before["plan-size"]++
	before["plan-new"], before["plan-veto"], before["plan-goes"] = 1, 1, 0
	b.sameRevisions(before)
	if !b.exists("plan-size-more") {
		t.Error("the added object is not there")
	}
	if p, text := b.plan(next); p.Outcome != explain.Nothing {
		t.Errorf("once applied, something is left to do:\n%s", text)
	}

	// The object as kubectl writes it, and what is none.
	cm, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Get(b.ctx, b.Config.ConfigMap, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cm.TypeMeta = metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "ConfigMap"}
	body, err := yaml.Marshal(cm)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := web.Send(b.ctx, b.Config.DebugSocket, "/plan.text", url.Values{"configmap": {string(body)}}); err != nil || !strings.Contains(string(got), "Nothing would change") {
		t.Errorf("%s %v", got, err)
	}
	if _, err := web.Send(b.ctx, b.Config.DebugSocket, "/plan.text", url.Values{"configmap": {"- a"}}); err == nil || !strings.Contains(err.Error(), "bad request") {
		t.Error(err)
	}
}
