package drift

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhatIsLeftToOthersIsWhatTheClusterHas(t *testing.T) {
	for name, c := range map[string]struct{ manifest, live, path, want string }{
		"a field":                               {`{spec: {replicas: 1, a: x}}`, `{spec: {replicas: 5, a: y}}`, "/spec/replicas", `{spec: {replicas: 5, a: x}}`},
		"a field that was removed":              {`{spec: {replicas: 1}}`, `{spec: {}}`, "/spec/replicas", `{spec: {}}`},
		"a field that the manifest lacks":       {`{spec: {a: 1}}`, `{spec: {replicas: 5}}`, "/spec/replicas", `{spec: {a: 1, replicas: 5}}`},
		"a key with a slash":                    {`{metadata: {labels: {a/b: x}}}`, `{metadata: {labels: {a/b: y}}}`, "/metadata/labels/a~1b", `{metadata: {labels: {a/b: y}}}`},
		"all keys":                              {`{data: {a: 1, b: 2}}`, `{data: {b: 3, c: 4}}`, "/data/*", `{data: {b: 3, c: 4}}`},
		"a parent that is gone changes nothing": {`{spec: {a: {b: 1}}}`, `{spec: {}}`, "/spec/a/b", `{spec: {a: {b: 1}}}`},
		"a field of an item by its key":         {`{l: [{name: a, i: 1}, {name: b, i: 1}]}`, `{l: [{name: x}, {name: b, i: 2}, {name: a, i: 2}]}`, "/l/b/i", `{l: [{name: a, i: 1}, {name: b, i: 2}]}`},
		"a field of an item by its index":       {`{l: [{name: a, i: 1}, {name: b, i: 1}]}`, `{l: [{name: b, i: 2}, {name: a, i: 2}]}`, "/l/0/i", `{l: [{name: a, i: 2}, {name: b, i: 1}]}`},
		"a field of every item":                 {`{l: [{name: a, i: 1}, {name: b, i: 1}]}`, `{l: [{name: b, i: 2}]}`, "/l/*/i", `{l: [{name: a, i: 1}, {name: b, i: 2}]}`},
		"an item without a key, by its index":   {`{l: [[1], [2]]}`, `{l: [[3], [4]]}`, "/l/1", `{l: [[1], [4]]}`},
		"another type":                          {`{spec: {a: 1}}`, `{spec: [1]}`, "/spec/a", `{spec: {a: 1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := parse(t, c.manifest)
			Leave(got, parse(t, c.live), ParseAll([]string{c.path}))
			if d := cmp.Diff(parse(t, c.want), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPointersNameAFieldBelowTheObject(t *testing.T) {
	for _, bad := range []string{"", "/", "spec", "//x", "/spec//x", "/spec/", "/kind", "/metadata"} {
		if p, err := Parse(bad); err == nil {
			t.Errorf("%q: got %v, expected an error", bad, p)
		}
	}
	p, err := Parse("/metadata/labels/a~1b~0c")
	if err != nil || p[2] != "a/b~c" || p.Pointer() != "/metadata/labels/a~1b~0c" {
		t.Errorf("got %v, %v", p, err)
	}
	if got := Annotated(map[string]string{Annotation: "/spec/x, /metadata/labels/y,"}); len(got) != 2 || got[1] != "/metadata/labels/y" {
		t.Errorf("got %q", got)
	}
}

func TestAPathCoversWhatLiesBelow(t *testing.T) {
	place := []Step{{Name: "spec"}, {Name: "containers"}, {Name: "app", Item: true, Index: 2}, {Name: "image"}}
	for pointer, want := range map[string]bool{"/spec": true, "/spec/containers/app": true, "/spec/containers/2/image": true, "/*/*/*/*": true,
		"/spec/containers/other/image": false, "/spec/containers/app/image/x": false, "/spec/containers/1": false} {
		if got := Covers(ParseAll([]string{pointer}), place); got != want {
			t.Errorf("%s: got %t", pointer, got)
		}
	}
	if p := PointerTo(place); p != "/spec/containers/app/image" {
		t.Errorf("got %s", p)
	}
}

// FuzzLeave: nothing panics, and doing it twice is doing it once.
func FuzzLeave(f *testing.F) {
	f.Add(`{"a":[{"name":"x","b":1},{"name":"y"}]}`, `{"a":[{"name":"y","b":{}}]}`, "/a/*/b")
	f.Add(`{"a":{"b":null}}`, `{"a":3}`, "/a/b")
	f.Fuzz(func(t *testing.T, manifest, live, pointer string) {
		var m, l map[string]any
		p, err := Parse(pointer)
		if err != nil || json.Unmarshal([]byte(manifest), &m) != nil || json.Unmarshal([]byte(live), &l) != nil || m == nil || l == nil {
			return
		}
		Leave(m, l, []Path{p})
		once, _ := json.Marshal(m)
		Leave(m, l, []Path{p})
		if twice, _ := json.Marshal(m); string(once) != string(twice) {
			t.Errorf("%s\n%s", once, twice)
		}
	})
}
