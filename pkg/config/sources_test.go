package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// until waits for a reading in which a section of prometheus is as wanted.
func (f *fixture) until(ch <-chan settings.Settings, want values.Map) settings.Settings {
	f.t.Helper()
	for {
		now := f.next(ch)
		d := cmp.Diff(want, now.Sections["prometheus"])
		if d == "" {
			return now
		}
		f.t.Logf("not yet: %s", d)
	}
}

func TestValuesComeFromObjectsOfTheUserAndFollowThem(t *testing.T) {
	f := setup(t)
	f.object("Secret", "db", "password", "hunter2")
	f.object("ConfigMap", "team", settings.DefaultSourceKey, "size: 1\nretention: 1d\n")
	f.user(map[string]string{
		"prometheus":           "retention: 2d\n",
		"prometheusValuesFrom": "- {kind: ConfigMap, name: team}\n- {kind: Secret, name: db, key: password, targetPath: auth.user}\n- {kind: Secret, name: none, optional: true}\n",
	})
	first := f.load()
	want := values.Map{"size": int64(1), "retention": "2d", "auth": values.Map{"user": "hunter2"}}
	if d := cmp.Diff(want, first.Sections["prometheus"]); d != "" || len(first.Problems) > 0 {
		t.Fatal(d, first.Problems)
	}
	if d := cmp.Diff(values.Map{"auth": values.Map{"user": "hunter2"}}, first.FromSecrets("prometheus")); d != "" {
		t.Error(d)
	}
	if !f.secretFact("prometheus", "h", values.Stamped{Op: values.Op{Op: "add", Path: "/prometheus/auth/user"}}) {
		t.Error("a fact at a place that came from a Secret is no secret")
	}
	readings := f.run()
	f.object("Secret", "db", "password", "hunter3")
	want["auth"] = values.Map{"user": "hunter3"}
	f.until(readings, want)
	f.object("ConfigMap", "team", settings.DefaultSourceKey, "size: 2\n")
	want["size"] = int64(2)
	f.until(readings, want)
	f.object("Secret", "none", settings.DefaultSourceKey, "edits: {a: b}")
	want["edits"] = values.Map{"a": "b"}
	f.until(readings, want)

	// What cannot be used stays as it was, and concerns this key alone.
	f.object("ConfigMap", "team", settings.DefaultSourceKey, "hunter2")
	now := f.next(readings)
	if d := cmp.Diff(want, now.Sections["prometheus"]); d != "" || len(now.Problems) != 1 || now.Problems[0].Key != "prometheusValuesFrom" {
		t.Error(d, now.Problems)
	}
	if err := f.client.CoreV1().Secrets(f.ns).Delete(t.Context(), "db", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for now = f.next(readings); len(now.Problems) < 2; now = f.next(readings) {
	}
	if d := cmp.Diff(want, now.Sections["prometheus"]); d != "" || !strings.Contains(now.Problems[1].Message, "no such object") {
		t.Error(d, now.Problems)
	}
	for _, p := range now.Problems {
		if strings.Contains(p.Message, "hunter") {
			t.Error(p)
		}
	}
	f.edit(func(cm *corev1.ConfigMap) { delete(cm.Data, "prometheusValuesFrom") })
	f.until(readings, values.Map{"retention": "2d"})
}

func TestAHookDoesNotCopyWhatComesFromObjects(t *testing.T) { // C-327
	f := setup(t)
	f.object("Secret", "db", settings.DefaultSourceKey, "edits: {from: hunter2}\nsize: 1\n")
	f.user(map[string]string{"prometheus": "retention: 2d # mine\n", "prometheusValuesFrom": "[{kind: Secret, name: db}]"})
	f.load()
	// A hook that reads its section, changes it and writes all of it back.
	got := f.mustPatch(`{"op":"add","path":"/prometheus","value":{"edits":{"from":"hunter2","new":"x"},"size":1,"retention":"2d"}}`)
	want := values.Map{"edits": values.Map{"from": "hunter2", "new": "x"}, "size": int64(1), "retention": "2d"}
	if d := cmp.Diff(want, got.Sections["prometheus"]); d != "" {
		t.Error(d)
	}
	if text := f.configMap("addon-operator").Data["prometheus"]; text != "retention: 2d # mine\nedits:\n  new: x\n" {
		t.Error(text)
	}
	if _, err := f.patch(`{"op":"remove","path":"/prometheus/size"}`); err == nil || !strings.Contains(err.Error(), "size comes from an object that valuesFrom names") {
		t.Error(err)
	}
}

func TestTheOperatorsOwnObjectsAreNoSources(t *testing.T) {
	f := setup(t)
	f.user(map[string]string{"prometheusValuesFrom": "[{kind: Secret, name: addon-operator-values, key: config.prometheus}]", "otherValuesFrom": "[{kind: ConfigMap, name: addon-operator}]"})
	now := f.load()
	if len(now.Problems) != 2 || !strings.Contains(now.Problems[0].Message, "the operator's own") || !now.Unusable["prometheus"] {
		t.Errorf("%+v", now)
	}
}
