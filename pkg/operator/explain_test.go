package operator_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// has waits until every text is in what is asked for, and answers that.
func (b *bed) has(path string, texts ...string) (got string) {
	b.t.Helper()
	var lacks []string
	testkit.Eventually(b.t, func() bool {
		got = b.ask(path)
		lacks = slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(got, text) })
		return len(lacks) == 0
	}, func() string { return fmt.Sprintf("%s has %q:\n%s", path, lacks, got) })
	return got
}

func (b *bed) explained(module string) (m explain.Module) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(b.ask("/module/"+module+"/explain.json")), &m); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// field is a field of the status of a Module resource.
func (b *bed) field(module string, path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(b.module(module), path...)
	return v
}

func (b *bed) told() {
	b.t.Helper()
	b.files(map[string]string{
		"global-hooks/hooks/facts.sh":                 b.factsHook(),
		"modules/values.yaml":                         "global: {zone: none}\ntoldEnabled: true\nvetoedEnabled: true\n",
		"modules/100-told/module.yaml":                "inputs: [global.zone]\nversion: 1.2.3\n",
		"modules/100-told/values.yaml":                "told: {size: 1, kept: x}\n",
		"modules/100-told/openapi/config-values.yaml": "type: object\nproperties:\n  size: {type: integer}\n  kept: {type: string}\n  mode: {type: string, default: fast}\n  password: {type: string, x-secret: true}\n",
		"modules/100-told/openapi/values.yaml":        "x-extend: {schema: config-values.yaml}\ntype: object\nproperties:\n  found: {type: string}\n",
		"modules/100-told/hooks/before.sh":            script("beforeHelm: 1", `echo '{"op":"add","path":"/told/found","value":"by the hook"}' > "$VALUES_JSON_PATCH_PATH"`),
		"modules/200-vetoed/enabled":                  "#!/bin/bash\necho false > $MODULE_ENABLED_RESULT\necho no nodes > $MODULE_ENABLED_REASON\n",
		"modules/300-patient/module.yaml":             "requires: [{module: sleepy}]\n",
		"modules/300-patient-two/module.yaml":         "requires: [{module: patient}]\n",
		"modules/290-sleepy/hooks/fails.sh":           script("beforeHelm: 1", "echo not today >&2; exit 1"),
	})
	b.chart("100-told", shown("told", "size", "{{ .Values.told.size | quote }}", "zone", "{{ .Values.global.zone }}", "found", "{{ .Values.told.found }}",
		"secret", "{{ .Values.told.password | default \"\" | sha256sum | trunc 8 | quote }}"))
	b.chart("200-vetoed", shown("vetoed", "is", "here"))
	b.chart("290-sleepy", shown("sleepy", "is", "here"))
	b.chart("300-patient", shown("patient", "is", "here"))
	b.chart("300-patient-two", shown("patient-two", "is", "here"))
	b.configMap(b.Namespace, "facts", map[string]string{"zone": "east"})
	b.settings(map[string]string{"told": "size: 2\npassword: hunter2\n", "sleepyEnabled": "true", "patientEnabled": "true", "patientTwoEnabled": "true"})
}

// A module explains who set its values, who switched it on, what it waits for, and
// what its last pass found changed; its status does likewise, without values (C-335, C-298).
func TestAModuleExplainsItself(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.told()
	b.start()
	b.ready("told")
	got := b.has("/module/told/explain.text", "told 1.2.3 is Deployed, revision 1", "ON: on by values.yaml of the modules directory", "* values.yaml   on",
		"ConfigMap     nothing", "told.size", "ConfigMap, over 1 of values.yaml", "told.found", "by the hook", "hook hooks/before.sh", "told.kept", "told.mode",
		"default in openapi/config-values.yaml", "READS global.zone", "east", "hook hooks/facts.sh, over none of values.yaml", "Install to revision 1", "beforeHelm hook hooks/before.sh")
	if strings.Contains(got, "hunter2") {
		t.Errorf("a secret is shown:\n%s", got)
	}
	b.has("/module/vetoed/explain.text", "OFF: off by the enabled script: no nodes", "* enabled script  vetoes   no nodes", "values.yaml     on")
	b.eventually(func() bool { return len(b.explained("patient-two").WaitsFor) == 2 }, "patient-two waits for patient, which waits for sleepy")
	b.has("/module/patient-two/explain.text", "patient-two waits:", "patient waits: waiting for module sleepy to be Ready")
	b.has("/module/sleepy/explain.text", "FAILING for", "not today", "next try in")
	b.eventually(func() bool { return pretty(b.field("patient-two", "waitsFor")) == pretty([]any{"patient", "sleepy"}) }, "the status shows the chain")

	// What changed, and what came of it.
	b.edit("told", "size: 3\npassword: other\n")
	b.configMap(b.Namespace, "facts", map[string]string{"zone": "west"})
	b.eventually(func() bool { return b.shows("told", "size", "3") && b.shows("told", "zone", "west") }, "the edit and the fact are shown")
	b.eventually(func() bool { return strings.Contains(pretty(b.field("told", "lastPass")), "Upgrade to revision") }, "the status tells of the last pass")
	changed := map[string]explain.Change{}
	b.eventually(func() bool {
		if p := b.explained("told").LastPass; p != nil {
			for _, c := range p.Changed {
				changed[c.Path] = c
			}
		}
		return len(changed) > 0
	}, "the last pass tells what changed")
	for path, c := range changed {
		switch {
		case path == "told.size" && c.From == explain.FromConfig && c.Old == 2.0 && c.New == 3.0:
		case path == "told.password" && c.Old == "*****" && c.New == "*****":
		case path == "global.zone" && c.From == "hook hooks/facts.sh" && c.Old == "east" && c.New == "west":
		default:
			t.Errorf("unexpected change %+v", c)
		}
	}
	if d := b.field("told", "decision", "by"); d != "values.yaml" {
		t.Error(d)
	}
	st := pretty(b.module("told"))
	for _, want := range []string{`"path": "told.found"`, `"from": "hook hooks/before.sh"`} {
		if !strings.Contains(st, want) {
			t.Errorf("status lacks %s:\n%s", want, st)
		}
	}
	if strings.Contains(st, "by the hook") || strings.Contains(st, "hunter2") {
		t.Errorf("the status shows values:\n%s", st)
	}

	// A pass with nothing to do writes no status.
	b.converged()
	newest := fmt.Sprintf("Upgrade to revision %d", b.revision("told"))
	b.eventually(func() bool {
		return strings.Contains(pretty(b.field("told", "lastPass")), newest) && strings.HasPrefix(b.condition("told", "Ready"), "True")
	}, "the status is the newest")
	before := b.resourceVersion("told")
	b.configMap(b.Namespace, "facts", map[string]string{"zone": "west", "other": "no input of told"})
	b.eventually(func() bool { return strings.Contains(b.ask("/global/values.yaml"), "no input of told") }, "the fact has arrived")
	b.edit("told", "size: 3 # the same\npassword: other\n")
	b.converged()
	if now := b.resourceVersion("told"); now != before {
		t.Errorf("a pass without changes wrote the status: %s, then %s:\n%s\nbefore:\n%s", before, now, pretty(b.module("told")), st)
	}
}

func (b *bed) resourceVersion(module string) string {
	b.t.Helper()
	obj, err := b.Dynamic.Resource(report.Resource).Get(b.ctx, module, metav1.GetOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return obj.GetResourceVersion()
}
