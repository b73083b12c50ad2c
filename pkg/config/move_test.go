package config

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/addon-operator/addon-operator/pkg/testkit"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// told says whether Notify got a reason with a text in its message.
func (f *fixture) told(reason, text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.notified {
		if strings.Contains(n, reason) && strings.Contains(n, text) {
			return true
		}
	}
	return false
}

// apply is what kubectl apply does to the data: it keeps what it applied in an annotation.
func (f *fixture) apply(data map[string]string) {
	f.t.Helper()
	applied, err := json.Marshal(map[string]any{"kind": "ConfigMap", "data": data})
	if err != nil {
		f.t.Fatal(err)
	}
	f.edit(func(cm *corev1.ConfigMap) {
		cm.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: string(applied)}
		for key, text := range data {
			cm.Data[key] = text
		}
	})
}

// bare waits until no text of the ConfigMap has a secret.
func (f *fixture) bare(secret string) {
	f.t.Helper()
	testkit.Eventually(f.t, func() bool {
		text, _ := json.Marshal(f.configMap("addon-operator"))
		return !strings.Contains(string(text), secret)
	}, func() string {
		return "the ConfigMap lacks " + secret
	})
}

func (f *fixture) noneTells(secret string) {
	f.t.Helper()
	if f.told("", secret) {
		f.t.Errorf("a message shows the value: %v", f.notified)
	}
}

func password(s map[string]values.Map) any {
	v, _ := values.Get(s["prometheus"], "auth", "password")
	return v
}

func TestASecretLeafOfTheUserMovesByItself(t *testing.T) { // C-381
	f := setup(t)
	f.user(map[string]string{"other": "x: y"})
	f.load()
	readings := f.run()
	const section = "# by hand\nsize: 1 # small\nauth:\n  password: hunter2 # secret\n  user: u\n\n# end\nretention: 1d\n"
	f.apply(map[string]string{"prometheus": section, "other": "x: y"})
	if now := f.next(readings); password(now.Sections) != "hunter2" {
		t.Errorf("the value is not in force: %v", now.Sections)
	}
	f.bare("hunter2")
	cm := f.configMap("addon-operator")
	if want := "# by hand\nsize: 1 # small\nauth:\n  user: u\n\n# end\nretention: 1d\n"; cm.Data["prometheus"] != want {
		t.Errorf("got\n%s\nexpected\n%s", cm.Data["prometheus"], want)
	}
	if !strings.Contains(cm.Annotations[corev1.LastAppliedConfigAnnotation], "user: u") || cm.Data["other"] != "x: y" {
		t.Errorf("the rest must stay: %v", cm)
	}
	if s := f.secret(); s["config.prometheus"] != "auth:\n  password: hunter2\n" {
		t.Error(s)
	}
	testkit.Eventually(t, func() bool { return f.told(ReasonSecretMoved, "auth.password") }, func() string { return "people are told" })

	// A value of the wrong type is secret all the same.
	f.edit(func(cm *corev1.ConfigMap) { cm.Data["prometheus"] += "auth: {password: [hunter3]}\n" })
	f.bare("hunter3")
	f.noneTells("hunter")
}

func TestALeafThatAppliesPutBackStaysInForce(t *testing.T) {
	f := setup(t)
	f.user(map[string]string{})
	f.load()
	f.run()
	data := map[string]string{"prometheus": "auth: {user: u, password: hunter2}\n"}
	for range contestLimit {
		f.apply(data)
		f.bare("hunter2")
	}
	f.apply(data)
	testkit.Eventually(t, func() bool { return f.told(ReasonSecretExposed, "put back") }, func() string { return "people are told" })
	if got := f.configMap("addon-operator").Data["prometheus"]; got != data["prometheus"] {
		t.Errorf("it was moved again: %q", got)
	}
	now, err := f.another().Load(t.Context())
	if err != nil || password(now.Sections) != "hunter2" {
		t.Error(now.Sections, err)
	}
	// Another value is a change of the user's, not the same thing again.
	f.apply(map[string]string{"prometheus": "auth: {user: u, password: hunter3}\n"})
	f.bare("hunter3")
	if !strings.Contains(f.secret()["config.prometheus"], "hunter3") {
		t.Error(f.secret())
	}
	// Later the contest is forgotten.
	f.clock.Add(int64(contestWindow.Seconds()) + 1)
	f.apply(data)
	f.bare("hunter2")
	f.noneTells("hunter")
}

func TestALeafThatCannotBeTakenOutIsReported(t *testing.T) {
	f := setup(t)
	f.user(map[string]string{})
	f.load()
	readings := f.run()
	const text = "auth: &a {password: hunter2, user: u}\nedits: *a # the same\n"
	f.edit(func(cm *corev1.ConfigMap) { cm.Data["prometheus"] = text })
	testkit.Eventually(t, func() bool { return f.told(ReasonSecretExposed, "auth.password") }, func() string { return "people are told" })
	if got := f.configMap("addon-operator").Data["prometheus"]; got != text {
		t.Errorf("the text was changed: %q", got)
	}
	if now := f.next(readings); password(now.Sections) != "hunter2" || len(now.Exposed) != 1 || len(now.Problems) > 0 {
		t.Errorf("%+v", now)
	}
	f.noneTells("hunter2")
	// The Secret has it, so that deleting it by hand is enough.
	f.edit(func(cm *corev1.ConfigMap) { cm.Data["prometheus"] = "size: 1\n" })
	if now := f.next(readings); password(now.Sections) != "hunter2" || len(now.Exposed) != 0 {
		t.Errorf("%+v", now)
	}
}

func TestAMoveThatWasCutShortIsFinished(t *testing.T) {
	f := setup(t)
	// As a process leaves it that died between the two writes.
	f.user(map[string]string{"prometheus": "auth: {password: hunter2}\n"})
	if _, err := f.client.CoreV1().Secrets(f.ns).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "addon-operator-values"},
		StringData: map[string]string{"config.prometheus": "auth: {password: hunter2}", "facts.x": "{}"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if now := f.load(); password(now.Sections) != "hunter2" {
		t.Error(now.Sections)
	}
	f.run()
	f.bare("hunter2")
	if s := f.secret(); s["config.prometheus"] != "auth: {password: hunter2}" || s["facts.x"] != "{}" {
		t.Error(s)
	}
}

// Users who write, change and take back leaves while they are moved lose nothing else,
// and the last word is theirs.
func TestMovesAndEditsAtOnce(t *testing.T) { // B-06
	f := setup(t)
	f.user(map[string]string{"prometheus": "# kept\nedits: {}\n"})
	f.load()
	f.run()
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		wg.Go(func() {
			for _, step := range []string{"1", "2", "3"} {
				f.edit(func(cm *corev1.ConfigMap) {
					cm.Data["prometheus"] += name + step + ": x # by user\n"
					if !strings.Contains(cm.Data["prometheus"], "auth:") {
						cm.Data["prometheus"] += "auth: {password: hunter" + name + step + "}\n"
					}
				})
				if _, err := f.Patch(t.Context(), "prometheus", []values.Op{{Op: "add", Path: "/prometheus/edits/" + name + step, Value: "y"}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f.bare("hunter")
	text := f.configMap("addon-operator").Data["prometheus"]
	if strings.Count(text, "# by user") != 15 || strings.Count(text, ": \"y\"") != 15 || !strings.HasPrefix(text, "# kept\n") {
		t.Errorf("something is lost:\n%s", text)
	}
	f.edit(func(cm *corev1.ConfigMap) { cm.Data["prometheus"] += "auth: {password: last}\n" })
	f.bare("last")
	if s := f.secret(); s["config.prometheus"] != "auth:\n  password: last\n" {
		t.Error(s)
	}
}

func (f *fixture) object(kind, name, key, text string) {
	f.t.Helper()
	ctx := f.t.Context()
	meta := metav1.ObjectMeta{Name: name}
	var err error
	if kind == "Secret" {
		body, _ := json.Marshal(map[string]any{"stringData": map[string]string{key: text}})
		if _, err = f.client.CoreV1().Secrets(f.ns).Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
			_, err = f.client.CoreV1().Secrets(f.ns).Create(ctx, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{key: text}}, metav1.CreateOptions{})
		}
	} else {
		body, _ := json.Marshal(map[string]any{"data": map[string]string{key: text}})
		if _, err = f.client.CoreV1().ConfigMaps(f.ns).Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
			_, err = f.client.CoreV1().ConfigMaps(f.ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{key: text}}, metav1.CreateOptions{})
		}
	}
	if err != nil {
		f.t.Fatal(err)
	}
}
