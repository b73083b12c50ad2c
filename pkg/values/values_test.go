package values

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func decode(t *testing.T, text string) Map {
	t.Helper()
	v, err := Decode([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	m, ok := v.(Map)
	if !ok {
		t.Fatalf("%s is no object", text)
	}
	return m
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// C-299.
func TestMergeLaysOneLayerOnAnother(t *testing.T) {
	for name, c := range map[string]struct{ base, over, want string }{
		"objects merge key by key":     {`{"a":{"b":1,"c":2},"d":3}`, `{"a":{"c":4,"e":5}}`, `{"a":{"b":1,"c":4,"e":5},"d":3}`},
		"an array replaces":            {`{"a":[1,2]}`, `{"a":[3]}`, `{"a":[3]}`},
		"null replaces":                {`{"a":{"b":1}}`, `{"a":null}`, `{"a":null}`},
		"a scalar replaces an object":  {`{"a":{"b":1}}`, `{"a":1}`, `{"a":1}`},
		"an object replaces a scalar":  {`{"a":1}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		"nothing on something":         {`{"a":1}`, `{}`, `{"a":1}`},
		"an empty object keeps layers": {`{"a":{"b":1}}`, `{"a":{}}`, `{"a":{"b":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			base, over := decode(t, c.base), decode(t, c.over)
			if got := encode(t, Merge(base, over)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if encode(t, base) != encode(t, decode(t, c.base)) || encode(t, over) != encode(t, decode(t, c.over)) {
				t.Error("an argument was changed")
			}
		})
	}
}

// C-282, C-290, C-374.
func TestNamesAndKeys(t *testing.T) {
	for name, key := range map[string]string{
		"my-module": "myModule", "k8s-api": "k8sApi", "http-api": "httpApi", "module1": "module1", "ingress-nginx2": "ingressNginx2", "v2-x": "v2X", "a-b-c": "aBC",
	} {
		if got := Key(name); got != key {
			t.Errorf("Key(%q) = %q, want %q", name, got, key)
		}
		if name == "a-b-c" {
			continue // single letters do not come back
		}
		if got := Name(key); got != name {
			t.Errorf("Name(%q) = %q, want %q", key, got, name)
		}
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
		if err := CheckKey(key); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"module-1", "module-1-a", "a.b", "a_b", "Module", "a--b", "-a", "a-", "", ".git", "lost+found"} {
		if err := CheckName(name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	if err := CheckName("module-1"); err == nil || !strings.Contains(err.Error(), "consider renaming to") {
		t.Errorf("got %v", err)
	}
	for _, key := range []string{"my-module", "MyModule", "my_module", ""} {
		if err := CheckKey(key); err == nil {
			t.Errorf("%q was accepted", key)
		}
	}
}

func TestASnapshotIsCanonicalAndItsCloneFree(t *testing.T) {
	one, err := New(decode(t, `{"b":1,"a":{"x":9007199254740993}}`))
	if err != nil {
		t.Fatal(err)
	}
	two := Must(decode(t, `{"a":{"x":9007199254740993},"b":1}`))
	if one.Digest() != two.Digest() || string(one.JSON()) != `{"a":{"x":9007199254740993},"b":1}` {
		t.Errorf("got %s and %s", one.JSON(), two.JSON())
	}
	clone := one.Clone()
	clone["a"].(Map)["x"] = "changed"
	if v, ok := one.Get("a", "x"); !ok || v != int64(9007199254740993) {
		t.Errorf("got %v", v)
	}
	var empty Snapshot
	made := Must(Map{})
	if string(empty.JSON()) != "{}" || empty.Digest() != made.Digest() || empty.Clone() == nil {
		t.Error("the zero snapshot is not the empty object")
	}
	if _, err := New(Map{"a": func() {}}); err == nil {
		t.Error("a function is not JSON")
	}
	if _, err := New(Map{"a": math.NaN()}); err == nil {
		t.Error("NaN is not JSON")
	}
}

func TestJoinedPartsAreTheObjectMadeOfThem(t *testing.T) {
	parts := map[string]Snapshot{"zero": {}, "a\"<b": Must(decode(t, `{"x":["<",1,null]}`)), "m": Must(decode(t, `{"y":{"z":1.5}}`)), "none": Must(nil)}
	whole := Map{}
	for key, part := range parts {
		whole[key] = part.Clone()
	}
	want, got := Must(whole), Join(parts)
	if string(got.JSON()) != string(want.JSON()) || got.Digest() != want.Digest() {
		t.Errorf("joined: %s, want %s", got.JSON(), want.JSON())
	}
	if diff := cmp.Diff(want.Clone(), got.Clone()); diff != "" {
		t.Error(diff)
	}
	if got := Join(nil); string(got.JSON()) != "{}" || got.Digest() != (Snapshot{}).Digest() {
		t.Errorf("nothing joined: %s", got.JSON())
	}
}

func TestDecodeReadsOneDocument(t *testing.T) {
	for _, text := range []string{"", "{", "{} {}", "{} x", "[1"} {
		if v, err := Decode([]byte(text)); err == nil {
			t.Errorf("%q: got %v", text, v)
		}
	}
	v, err := DecodeYAML([]byte("a: 9007199254740993\nb: 1.5\nc: [1]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(Map{"a": int64(9007199254740993), "b": 1.5, "c": []any{int64(1)}}), v); diff != "" {
		t.Error(diff)
	}
	if v, err := DecodeYAML(nil); v != nil || err != nil {
		t.Errorf("no text: got %v, %v", v, err)
	}
}

func TestSelectKeepsTheStructureAbove(t *testing.T) {
	m := decode(t, `{"a":{"b":{"x":1,"y":2},"c":3},"d":4}`)
	for name, c := range map[string]struct {
		paths []string
		want  string
	}{
		"all":                   {nil, `{"a":{"b":{"x":1,"y":2},"c":3},"d":4}`},
		"none":                  {[]string{}, `{}`},
		"some":                  {[]string{"a.b.x", "d", "no.such"}, `{"a":{"b":{"x":1}},"d":4}`},
		"a part and its parent": {[]string{"a.b.x", "a"}, `{"a":{"b":{"x":1,"y":2},"c":3}}`},
		"a parent and its part": {[]string{"a", "a.b.x"}, `{"a":{"b":{"x":1,"y":2},"c":3}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := encode(t, Select(m, c.paths)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if encode(t, m) != `{"a":{"b":{"x":1,"y":2},"c":3},"d":4}` {
				t.Errorf("the argument was changed to %v", m)
			}
		})
	}
}
