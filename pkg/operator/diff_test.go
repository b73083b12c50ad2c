package operator_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/addon-operator/addon-operator/pkg/explain"
)

const pausedForever = "2999-01-01T00:00:00Z"

// module diff compares with the live objects: fields that the manifest sets, objects that
// are gone; defaults, other writings of a quantity and what others added are none.
func TestDiffShowsWhatApplyingWouldChange(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.files(map[string]string{"modules/100-differs/values.yaml": "differs: {more: false, password: top-secret-word}\n"})
	deployment := strings.ReplaceAll(repairedChart, "repaired", "differs")
	deployment = strings.Replace(deployment, `image: "registry.invalid/main:1"`, `image: "registry.invalid/main:1", resources: {requests: {cpu: "1000m"}}`, 1)
	secret := "---\napiVersion: v1\nkind: Secret\nmetadata: {name: differs, namespace: {{ .Release.Namespace }}}\nstringData: {word: {{ .Values.differs.password }}}\n"
	b.chart("100-differs", deployment+shown("differs", "value", "wanted")+shown("differs-gone", "is", "here")+secret)
	b.settings(map[string]string{"differsEnabled": "true"})
	b.start()
	b.ready("differs")
	diff := func() (d explain.ModuleDiff, text string) {
		b.asked("/module/differs/diff.json", &d)
		return d, b.ask("/module/differs/diff.text")
	}
	if d, text := diff(); len(d.Objects) != 0 || d.Same != 4 || text != "" {
		t.Errorf("what was just applied differs, %d are the same:\n%s", d.Same, text)
	}
	// A pause leaves drift where it is.
	b.edit("differsPausedUntil", pausedForever)
	b.eventually(func() bool { return strings.Contains(pretty(b.module("differs")), "2999") }, "the module is paused")
	maps := b.Client.CoreV1().ConfigMaps(b.Namespace)
	for _, patch := range []string{`{"data":{"value":"changed by hand","extra":"of somebody else"},"metadata":{"labels":{"others":"x"}}}`} {
		if _, err := maps.Patch(b.ctx, "differs", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := maps.Delete(b.ctx, "differs-gone", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Client.CoreV1().Secrets(b.Namespace).Patch(b.ctx, "differs", types.MergePatchType, []byte(`{"stringData":{"word":"other-secret"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	d, text := diff()
	kinds := map[string]string{}
	for _, o := range d.Objects {
		kinds[strings.ReplaceAll(o.Object, b.Namespace, "ns")] = o.Kind
	}
	want := map[string]string{"ConfigMap/ns/differs": explain.Changed, "ConfigMap/ns/differs-gone": explain.Added, "Secret/ns/differs": explain.Changed}
	if pretty(kinds) != pretty(want) || d.Same != 1 || !strings.Contains(text, "-  value: changed by hand\n+  value: wanted\n") {
		t.Errorf("%s; %d are the same:\n%s", pretty(kinds), d.Same, text)
	}
	for _, line := range []string{"secret-word", "other-secret", "-  extra", "-    others", "resourceVersion"} {
		if strings.Contains(text, line) {
			t.Errorf("the text has %q:\n%s", line, text)
		}
	}
	if !b.shows("differs", "value", "changed by hand") || b.exists("differs-gone") {
		t.Error("a comparison changed something")
	}
}
