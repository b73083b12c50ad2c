package hook

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func configMap(name string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "ns"}}
}

func TestParseOperationsReadsEveryOperation(t *testing.T) {
	create := Operation{Verb: Create, APIVersion: "v1", Kind: "ConfigMap", Namespace: "ns", Name: "a", Object: configMap("a")}
	for name, c := range map[string]struct {
		text string
		want []Operation
	}{
		"an empty file (C-200)":     {"", nil},
		"blank lines":               {"\n \n", nil},
		"empty documents":           {"---\n---\n# nothing\n", nil},
		"a stream of JSON (C-200)":  {`{"operation":"Create","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"ns"}}} {"operation":"Delete","kind":"Pod","name":"x"}`, []Operation{create, {Verb: Delete, Kind: "Pod", Name: "x"}}},
		"a stream of YAML (C-200)":  {"operation: Create\nobject:\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a, namespace: ns}\n---\noperation: DeleteInBackground\nkind: Pod\nname: x\n", []Operation{create, {Verb: DeleteInBackground, Kind: "Pod", Name: "x"}}},
		"an object as text (C-203)": {"operation: Create\nobject: |\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a, namespace: ns}\n", []Operation{create}},
		"JSON documents between markers": {"---\n{\"operation\":\"DeleteNonCascading\",\"kind\":\"Pod\",\"name\":\"x\"}\n---\n{\"operation\":\"Delete\",\"kind\":\"Pod\",\"name\":\"y\",\"unknown\":1}\n",
			[]Operation{{Verb: DeleteNonCascading, Kind: "Pod", Name: "x"}, {Verb: Delete, Kind: "Pod", Name: "y"}}},
		"a merge patch (C-203, C-207)":     {`{"operation":"MergePatch","apiVersion":"apps/v1","kind":"Deployment","namespace":"ns","name":"x","subresource":"/status","ignoreMissingObject":true,"ignoreHookError":true,"mergePatch":{"a":null,"b":1}}`, []Operation{{Verb: MergePatch, APIVersion: "apps/v1", Kind: "Deployment", Namespace: "ns", Name: "x", Subresource: "status", IgnoreMissingObject: true, IgnoreHookError: true, Patch: []byte(`{"a":null,"b":1}`)}}},
		"a merge patch as YAML text":       {"operation: MergePatch\nkind: Pod\nname: x\nmergePatch: |\n  a: {b: c}\n", []Operation{{Verb: MergePatch, Kind: "Pod", Name: "x", Patch: []byte(`{"a":{"b":"c"}}`)}}},
		"an inline remove (C-209)":         {`{"operation":"JSONPatch","kind":"Pod","name":"x","jsonPatch":[{"op":"remove","path":"/a"}]}`, []Operation{{Verb: JSONPatch, Kind: "Pod", Name: "x", Patch: []byte(`[{"op":"remove","path":"/a"}]`)}}},
		"a JSON patch as text (C-203)":     {`{"operation":"JSONPatch","kind":"Pod","name":"x","jsonPatch":"[{\"op\":\"add\",\"path\":\"/a\",\"value\":null}]"}`, []Operation{{Verb: JSONPatch, Kind: "Pod", Name: "x", Patch: []byte(`[{"op":"add","path":"/a","value":null}]`)}}},
		"a jq patch":                       {`{"operation":"JQPatch","kind":"Pod","name":"x","jqFilter":".a = 1"}`, []Operation{{Verb: JQPatch, Kind: "Pod", Name: "x"}}},
		"integers stay integers (C-212)":   {`{"operation":"CreateOrUpdate","object":{"kind":"A","metadata":{"name":"a"},"i":9007199254740993,"f":1.5}}`, []Operation{{Verb: CreateOrUpdate, Kind: "A", Name: "a", Object: map[string]any{"kind": "A", "metadata": map[string]any{"name": "a"}, "i": int64(9007199254740993), "f": 1.5}}}},
		"integers stay integers in YAML":   {"operation: CreateIfNotExists\nobject: {kind: A, metadata: {generateName: a-}, i: 9007199254740993}", []Operation{{Verb: CreateIfNotExists, Kind: "A", Object: map[string]any{"kind": "A", "metadata": map[string]any{"generateName": "a-"}, "i": int64(9007199254740993)}}}},
		"a marker inside text is not one":  {"operation: MergePatch\nkind: Pod\nname: x\nmergePatch: |\n  a: \"---\"\n", []Operation{{Verb: MergePatch, Kind: "Pod", Name: "x", Patch: []byte(`{"a":"---"}`)}}},
		"a document on its marker's line":  {"--- {operation: Delete, kind: Pod, name: x}\n", []Operation{{Verb: Delete, Kind: "Pod", Name: "x"}}},
		"a null document in a JSON stream": {`null {"operation":"Delete","kind":"Pod","name":"x"}`, []Operation{{Verb: Delete, Kind: "Pod", Name: "x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseOperations([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Operation{}, "Filter")); diff != "" {
				t.Error(diff)
			}
			for _, op := range got {
				if (op.Filter != nil) != (op.Verb == JQPatch) {
					t.Errorf("%s: filter %v", op.Verb, op.Filter)
				}
			}
		})
	}
}

// C-201, C-209.
func TestParseOperationsListsTheViolationsOfAllDocuments(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"in several documents": {`{"operation":"create"} {"kind":"Pod"} {"operation":"Delete","name":1} 5`, []string{
			`document 1.operation should be one of [Create CreateIfNotExists CreateOrUpdate Delete DeleteInBackground DeleteNonCascading JQPatch MergePatch JSONPatch], got "create"`,
			"document 2.operation is required", "document 3.kind is required", "document 3.name should be a string, got 1", "document 4 should be an object, got 5",
		}},
		"a Create without object":    {"operation: Create", []string{"document 1.object is required"}},
		"an object without identity": {"operation: Create\nobject: {a: 1}", []string{"object.kind is required", "object.metadata.name is required"}},
		"an object as bad text":      {"operation: Create\nobject: '{'", []string{"document 1.object is neither JSON nor YAML"}},
		"patches without patch":      {`{"operation":"JQPatch","kind":"A","name":"a"} {"operation":"MergePatch","kind":"A","name":"a"} {"operation":"JSONPatch","kind":"A","name":"a"}`, []string{"document 1.jqFilter is required", "document 2.mergePatch is required", "document 3.jsonPatch is required"}},
		"patches of another form":    {`{"operation":"JQPatch","kind":"A","name":"a","jqFilter":"{"} {"operation":"MergePatch","kind":"A","name":"a","mergePatch":"1"} {"operation":"JSONPatch","kind":"A","name":"a","jsonPatch":{}}`, []string{"document 1.jqFilter compile jqFilter", "document 2.mergePatch should be an object", "document 3.jsonPatch should be an array"}},
		"elements of a JSON patch":   {`{"operation":"JSONPatch","kind":"A","name":"a","jsonPatch":[{"op":"add","path":"/a"},{"op":"put","path":"/a"},{"op":"move","path":"/a"},{"path":1}]}`, []string{"jsonPatch[0].value is required", "jsonPatch[1].op should be one of", "jsonPatch[2].from is required", "jsonPatch[3].op is required", "jsonPatch[3].path should be a string"}},
		"flags of another type":      {`{"operation":"MergePatch","kind":"A","name":"a","mergePatch":{},"ignoreMissingObject":"yes"}`, []string{"document 1.ignoreMissingObject should be true or false"}},
	} {
		t.Run(name, func(t *testing.T) {
			ops, err := ParseOperations([]byte(c.text))
			if err == nil || ops != nil {
				t.Fatalf("got %v, %v", ops, err)
			}
			for _, want := range append(c.want, "can't validate document") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in:\n%v", want, err)
				}
			}
			var invalid *Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want *Invalid", err)
			}
			if got := len(invalid.Violations); got != len(c.want) {
				t.Errorf("got %d violations:\n%v", got, err)
			}
		})
	}
}

func TestParseOperationsSaysWhatIsWrongWithBrokenText(t *testing.T) {
	for text, want := range map[string]string{
		`{"operation":"Delete","kind":"A","name":"a"} {`: "not JSON",
		"operation: Delete\n---\nkind: [\n":              "document 2 is not YAML",
	} {
		if _, err := ParseOperations([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func FuzzParseOperations(f *testing.F) {
	for _, s := range []string{
		`{"operation":"Create","object":{"kind":"A","metadata":{"name":"a"}}}`, "operation: Delete\nkind: Pod\nname: x\n---\n{}",
		`{"operation":"JSONPatch","kind":"A","name":"a","jsonPatch":"[]"}`, "--- |\n---\n", `{"operation":"JQPatch","kind":"A","name":"a","jqFilter":"."}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ops, err := ParseOperations(text)
		if err != nil && ops != nil {
			t.Error("operations beside an error")
		}
		for _, op := range ops {
			if op.Verb == "" || op.Kind == "" {
				t.Errorf("accepted %+v", op)
			}
			if op.Patch != nil && !json.Valid(op.Patch) {
				t.Errorf("patch is not JSON: %q", op.Patch)
			}
		}
	})
}
