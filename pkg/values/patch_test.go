package values

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func patch(t *testing.T, text string) []Op {
	t.Helper()
	ops, err := ParsePatch([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return ops
}

// C-320.
func TestParsePatchReadsAStream(t *testing.T) {
	got := patch(t, `{"op":"add","path":"/a","value":null,"from":"x"} [{"op":"remove","path":"/b","value":1},{"op":"add","path":"/c~1d/-","value":9007199254740993}] []`)
	want := []Op{{Op: "add", Path: "/a"}, {Op: "remove", Path: "/b"}, {Op: "add", Path: "/c~1d/-", Value: int64(9007199254740993)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if ops := patch(t, " \n"); ops != nil {
		t.Errorf("got %v", ops)
	}
}

// C-321.
func TestParsePatchRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"op":"replace","path":"/a","value":1}`:     "unsupported patch operation \"replace\"",
		`{"op":"move","from":"/b","path":"/a"}`:      "unsupported patch operation",
		`{"path":"/a","value":1}`:                    "unsupported patch operation",
		`{"op":"add","path":"a","value":1}`:          "expected a JSON pointer",
		`{"op":"add","path":5,"value":1}`:            "expected a JSON pointer",
		`{"op":"remove"}`:                            "expected a JSON pointer",
		`{"op":"add","path":"/a"}`:                   "has no value",
		`[1]`:                                        "expected an operation",
		`"x"`:                                        "expected an operation",
		`{"op":"add","path":"/a","value":1}]`:        "not a stream of JSON documents at byte",
		`op: add`:                                    "not a stream of JSON documents",
		`{"op":"add","path":"/a","value":1} {"op":"`: "not a stream of JSON documents",
	} {
		if ops, err := ParsePatch([]byte(text)); err == nil || ops != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v", text, ops, err)
		}
	}
}

// C-323, C-325.
func TestApplyIsStrict(t *testing.T) {
	const doc = `{"a":{"b":1},"l":[1,2],"s":"x"}`
	for name, c := range map[string]struct{ patch, want, err string }{
		"a new key":                     {`{"op":"add","path":"/a/c","value":2}`, `{"a":{"b":1,"c":2},"l":[1,2],"s":"x"}`, ""},
		"an existing key":               {`{"op":"add","path":"/a","value":2}`, `{"a":2,"l":[1,2],"s":"x"}`, ""},
		"an absent parent":              {`{"op":"add","path":"/x/y","value":2}`, "", "path is absent"},
		"a scalar parent":               {`{"op":"add","path":"/s/y","value":2}`, "", "path is absent"},
		"a remove":                      {`{"op":"remove","path":"/a/b"}`, `{"a":{},"l":[1,2],"s":"x"}`, ""},
		"a remove of what is absent":    {`{"op":"remove","path":"/a/c"}`, "", "path is absent"},
		"an append":                     {`{"op":"add","path":"/l/-","value":3}`, `{"a":{"b":1},"l":[1,2,3],"s":"x"}`, ""},
		"an insert":                     {`{"op":"add","path":"/l/0","value":0}`, `{"a":{"b":1},"l":[0,1,2],"s":"x"}`, ""},
		"an insert at the end":          {`{"op":"add","path":"/l/2","value":3}`, `{"a":{"b":1},"l":[1,2,3],"s":"x"}`, ""},
		"an insert beyond the end":      {`{"op":"add","path":"/l/3","value":3}`, "", "path is absent"},
		"a remove from an array":        {`{"op":"remove","path":"/l/0"}`, `{"a":{"b":1},"l":[2],"s":"x"}`, ""},
		"a remove of an absent element": {`{"op":"remove","path":"/l/2"}`, "", "path is absent"},
		"a remove of the append place":  {`{"op":"remove","path":"/l/-"}`, "", "path is absent"},
		"a negative index":              {`{"op":"remove","path":"/l/-1"}`, "", "path is absent"},
		"one on another":                {`[{"op":"add","path":"/n","value":{}},{"op":"add","path":"/n/x","value":[]},{"op":"add","path":"/n/x/-","value":1}]`, `{"a":{"b":1},"l":[1,2],"n":{"x":[1]},"s":"x"}`, ""},
		"escaped keys":                  {`{"op":"add","path":"/a~1b~0c","value":1}`, `{"a":{"b":1},"a/b~c":1,"l":[1,2],"s":"x"}`, ""},
		"the empty key":                 {`{"op":"add","path":"/","value":1}`, `{"":1,"a":{"b":1},"l":[1,2],"s":"x"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := decode(t, doc)
			got, err := Apply(before, patch(t, c.patch))
			if encode(t, before) != doc {
				t.Errorf("the document was changed to %s", encode(t, before))
			}
			if c.err != "" {
				if !errors.Is(err, ErrAbsent) {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || encode(t, got) != c.want {
				t.Errorf("got %s, %v, want %s", encode(t, got), err, c.want)
			}
		})
	}
}

func TestApplyCopiesValues(t *testing.T) {
	ops := patch(t, `[{"op":"add","path":"/a","value":{}},{"op":"add","path":"/a/b","value":1}]`)
	for range 2 {
		if got, err := Apply(Map{}, ops); err != nil || encode(t, got) != `{"a":{"b":1}}` {
			t.Errorf("got %v, %v", got, err)
		}
	}
	if encode(t, ops[0].Value) != `{}` {
		t.Errorf("the operation was changed: %v", ops[0])
	}
}

// C-324, C-325.
func TestCompactKeepsOneOperationAPath(t *testing.T) {
	for name, c := range map[string]struct{ patches, want []string }{
		"a later one at a path":       {[]string{`{"op":"add","path":"/a","value":1}`, `{"op":"add","path":"/a","value":2}`}, []string{"add /a"}},
		"a parent drops its children": {[]string{`[{"op":"add","path":"/a/b","value":1},{"op":"add","path":"/ab","value":1}]`, `{"op":"remove","path":"/a"}`}, []string{"add /ab", "remove /a"}},
		"a child stays after parents": {[]string{`{"op":"add","path":"/a","value":{}}`, `{"op":"add","path":"/a/b","value":1}`}, []string{"add /a", "add /a/b"}},
		"appends are all kept":        {[]string{`{"op":"add","path":"/l/-","value":1}`, `{"op":"add","path":"/l/-","value":2}`}, []string{"add /l/-", "add /l/-"}},
		"until the array is written":  {[]string{`[{"op":"add","path":"/l/-","value":1},{"op":"add","path":"/l/-","value":2}]`, `{"op":"add","path":"/l","value":[]}`}, []string{"add /l"}},
	} {
		t.Run(name, func(t *testing.T) {
			var set []Stamped
			for i, p := range c.patches {
				before := len(set)
				next := Compact(set, patch(t, p), int64(i))
				if len(set) != before {
					t.Error("the argument was changed")
				}
				set = next
			}
			var got []string
			for _, s := range set {
				got = append(got, s.Op.Op+" "+s.Path)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// C-324.
func TestFoldAppliesSetsInTheOrderOfTheirCommits(t *testing.T) {
	one := Compact(nil, patch(t, `{"op":"add","path":"/a","value":"one"}`), 1)
	two := Compact(nil, patch(t, `{"op":"add","path":"/a","value":"two"}`), 2)
	three := Compact(nil, patch(t, `[{"op":"remove","path":"/gone"},{"op":"add","path":"/x/y/z","value":1},{"op":"add","path":"/s/t","value":1},{"op":"remove","path":"/b"}]`), 3)
	base := decode(t, `{"b":1,"s":"text","x":null}`)
	for _, sets := range [][][]Stamped{{one, two, three}, {three, two, one}} {
		if got := encode(t, Fold(base, sets...)); got != `{"a":"two","s":"text","x":{"y":{"z":1}}}` {
			t.Errorf("got %s", got)
		}
	}
	if encode(t, base) != `{"b":1,"s":"text","x":null}` {
		t.Errorf("the document was changed: %v", base)
	}
	if got := encode(t, Fold(Map{}, Compact(nil, patch(t, `[{"op":"add","path":"/l/-","value":1},{"op":"add","path":"/l/-","value":2}]`), 1))); got != `{"l":[1,2]}` {
		t.Errorf("appends to an array that is gone: got %s", got)
	}
	if got := Fold(nil, one); encode(t, got) != `{"a":"one"}` {
		t.Errorf("got %v", got)
	}
}

func TestOperationsSurviveJSON(t *testing.T) {
	set := Compact(nil, patch(t, `[{"op":"add","path":"/a","value":null},{"op":"add","path":"/b","value":{"n":9007199254740993}},{"op":"remove","path":"/c"}]`), 7)
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var back []Stamped
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(set, back); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(text), `"value":null`) {
		t.Errorf("got %s", text)
	}
}

// compactSlowly is Compact as its comment says it.
func compactSlowly(set []Stamped, ops []Op, seq int64) []Stamped {
	out := append([]Stamped{}, set...)
	for _, op := range ops {
		if !strings.HasSuffix(op.Path, "/-") {
			out = slices.DeleteFunc(out, func(s Stamped) bool { return s.Path == op.Path || strings.HasPrefix(s.Path, op.Path+"/") })
		}
		out = append(out, Stamped{Op: op, Seq: seq})
	}
	return out
}

func TestAPatchOfManyOperationsIsCompactedInOneGo(t *testing.T) {
	var ops []Op
	for i := range 1 << 18 { // takes minutes when each is held against all before it
		ops = append(ops, Op{Op: "add", Path: "/global/" + strconv.Itoa(i), Value: int64(i)})
	}
	set := Compact(nil, ops, 1)
	if len(set) != len(ops) || set[7].Path != "/global/7" {
		t.Errorf("%d of %d are left", len(set), len(ops))
	}
	if set = Compact(set, []Op{{Op: "remove", Path: "/global"}}, 2); len(set) != 1 || set[0].Seq != 2 {
		t.Errorf("got %v", set)
	}
}

func TestAPathIsOfBoundedDepthAndQuotedInShort(t *testing.T) {
	for name, text := range map[string]string{
		"depth":   `{"op":"add","value":1,"path":"` + strings.Repeat("/a", 1<<20) + `"}`,
		"an op":   `{"op":"` + strings.Repeat("x", 1<<20) + `","path":"` + strings.Repeat("/é", 1<<20) + `"}`,
		"no path": `{"op":"add","path":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		if _, err := ParsePatch([]byte(text)); err == nil || len(err.Error()) > 1000 || !utf8.ValidString(err.Error()) {
			t.Errorf("%s: got %.2000v", name, err)
		}
	}
}

func FuzzParsePatch(f *testing.F) {
	for _, s := range []string{`{"op":"add","path":"/a/b","value":{"x":[1]}}`, `[{"op":"remove","path":"/a/-"}]`, `{"op":"add","path":"/","value":null}{"op":"add","path":"//~01/-","value":[]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ops, err := ParsePatch(text)
		if err != nil {
			return
		}
		doc := Map{"a": Map{"b": []any{int64(1)}}, "s": "x"}
		before := encode(t, doc)
		if got, err := Apply(doc, ops); err == nil {
			encode(t, got)
		}
		set := Compact(nil, ops, 1)
		half := Compact(Compact(nil, ops[:len(ops)/2], 1), ops[len(ops)/2:], 1)
		for _, s := range [][]Stamped{set, half} {
			if d := cmp.Diff(compactSlowly(nil, ops, 1), s, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("compacted %q wrongly: %s", text, d)
			}
		}
		encode(t, Fold(doc, set))
		if encode(t, doc) != before {
			t.Errorf("the document was changed by %q", text)
		}
		raw := encode(t, set)
		var back []Stamped
		if err := json.Unmarshal([]byte(raw), &back); err != nil || encode(t, back) != raw {
			t.Errorf("%q does not survive: %v", raw, err)
		}
	})
}
