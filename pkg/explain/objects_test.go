package explain

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const oldObjects = `---
# Source: x/templates/a.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: ns}
data: {k: one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: gone, namespace: ns}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: ns}
data: {p: aHVudGVyMg==, q: c2FtZQ==}
`

const newObjects = `apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: ns}
data: {k: two}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: ns}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: ns}
data: {p: b3RoZXI=, q: c2FtZQ==}
`

func objects(t *testing.T, text string) []Object {
	t.Helper()
	out, err := Manifest(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestObjectsTellWhatIsAddedChangedAndRemoved(t *testing.T) {
	list := Objects(objects(t, oldObjects), objects(t, newObjects), nil)
	var got []string
	for _, d := range list {
		got = append(got, d.Kind+" "+d.Object)
	}
	if d := cmp.Diff([]string{"changed ConfigMap/ns/a", "added ConfigMap/ns/b", "changed Secret/ns/s", "removed ConfigMap/ns/gone"}, got); d != "" {
		t.Error(d)
	}
	if list[0].Plus != 1 || list[0].Minus != 1 || !strings.Contains(list[0].Text, "-  k: one\n+  k: two\n") {
		t.Errorf("%+v", list[0])
	}
	if Tally(list) != "1 added, 2 changed, 1 removed" {
		t.Error(Tally(list))
	}
	if text := Texts(list); strings.Contains(text, "aHVudGVyMg") || strings.Contains(text, "b3RoZXI") || !strings.Contains(text, "+  p: '***** (changed)'") {
		t.Errorf("a Secret is not masked:\n%s", text)
	}
	if same := Objects(objects(t, oldObjects), objects(t, oldObjects), nil); len(same) != 0 {
		t.Errorf("the same objects differ: %+v", same)
	}
}

func TestASecretElsewhereIsRedactedAndItsChangeStillShows(t *testing.T) {
	hide := strings.NewReplacer("one", "*****", "two", "*****").Replace
	list := Objects(objects(t, oldObjects)[:1], objects(t, newObjects)[:1], hide)
	if len(list) != 1 || list[0].Text != "" || list[0].Note == "" {
		t.Errorf("%+v", list)
	}
}

// FuzzManifest: rendered text comes from templates, and may be anything.
func FuzzManifest(f *testing.F) {
	f.Add(oldObjects)
	f.Add("a: [")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Manifest(text)
		if err == nil && len(Objects(list, list, nil)) != 0 && unique(list) {
			t.Errorf("a text differs from itself: %q", text)
		}
	})
}

func unique(list []Object) bool {
	seen := map[any]bool{}
	for _, o := range list {
		if seen[o.Ref] {
			return false
		}
		seen[o.Ref] = true
	}
	return true
}
