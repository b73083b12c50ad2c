package hook

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFilterMapsResultsAsC142Says(t *testing.T) {
	object := map[string]any{
		"kind":     "Pod",
		"metadata": map[string]any{"name": "a", "generation": int64(9007199254740993)},
		"spec":     map[string]any{"list": []any{int64(1), "x", 2.5}},
	}
	for name, c := range map[string]struct{ program, want string }{
		"no result is null":                  {"empty", "null"},
		"a null result is null":              {".absent", "null"},
		"one result is that value":           {".metadata.name", `"a"`},
		"several results are an array":       {".kind, .metadata.name", `["Pod","a"]`},
		"keys come sorted":                   {"{b: 1, a: 2}", `{"a":2,"b":1}`},
		"a large integer stays exact":        {".metadata.generation", "9007199254740993"},
		"integers may be computed with":      {".spec.list[0] + 1", "2"},
		"an array of one is not unwrapped":   {"[.kind]", `["Pod"]`},
		"halt ends the results":              {".kind, halt", `"Pod"`},
		"the environment is empty":           {"$ENV", "{}"},
		"markup characters are not escaped":  {`"<a&b>"`, `"<a&b>"`},
		"the whole object comes as compact":  {".spec", `{"list":[1,"x",2.5]}`},
		"two results of which one is null":   {".a, .b", "[null,null]"},
		"a program of several lines is fine": {".kind\n| ascii_downcase # comment\n", `"pod"`},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := CompileFilter(c.program)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Run(object)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestFilterErrorsNameTheProgram(t *testing.T) {
	for _, program := range []string{"{", ".a | nosuchfunction", `import "x" as x; .`, ""} {
		if _, err := CompileFilter(program); program != "" && (err == nil || !strings.Contains(err.Error(), "compile jqFilter: ")) {
			t.Errorf("%q: got error %v", program, err)
		}
	}
	f, err := CompileFilter(".kind.x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Run(map[string]any{"kind": "Pod"}); err == nil || !strings.Contains(err.Error(), ".kind.x") {
		t.Errorf("got error %v", err)
	}
	if _, err := f.Run(map[string]any{"kind": struct{}{}}); err == nil || !strings.Contains(err.Error(), "struct {}") {
		t.Errorf("a value that is not JSON: got error %v", err)
	}
}

func TestFilterLeavesASharedObjectAlone(t *testing.T) {
	build := func() map[string]any {
		return map[string]any{"spec": map[string]any{"n": int64(1), "l": []any{int64(3), int64(1)}}, "b": "x"}
	}
	object := build()
	f, err := CompileFilter(".spec.n += 1 | .spec.l |= sort | del(.b)")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := f.Apply(object)
			if err != nil {
				t.Error(err)
			}
			want := map[string]any{"spec": map[string]any{"n": int64(2), "l": []any{int64(1), int64(3)}}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	wg.Wait()
	if !reflect.DeepEqual(object, build()) {
		t.Errorf("the input was changed: %v", object)
	}
}

func TestFilterApplySharesNothingWithItsInput(t *testing.T) {
	object := map[string]any{"data": map[string]any{"a": "1"}}
	f, err := CompileFilter(".")
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Apply(object)
	if err != nil {
		t.Fatal(err)
	}
	got.(map[string]any)["data"].(map[string]any)["a"] = "2"
	if object["data"].(map[string]any)["a"] != "1" {
		t.Error("a change of the result reached the input")
	}
}

// C-142: a program without an end is ended, and others go on meanwhile.
func TestFilterThatDoesNotEndIsEnded(t *testing.T) {
	for name, c := range map[string]struct {
		program, want string
		limits        limits
	}{
		"an endless recursion runs out of time": {"def f: f; f", "no result within 50ms", limits{time: 50 * time.Millisecond, memory: 1 << 40}},
		"endless results run out of time":       {"repeat(1)", "no result within 50ms", limits{time: 50 * time.Millisecond, memory: 1 << 40}},
		"an endless list runs out of memory":    {"[range(1e15)]", "more than 8 MB", limits{time: time.Hour, memory: 8 << 20}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := CompileFilter(c.program)
			if err != nil {
				t.Fatal(err)
			}
			f.limits = c.limits
			f.limits.grace, f.limits.interval = time.Millisecond, time.Millisecond
			_, err = f.Run(map[string]any{"kind": "Pod"})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.program) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestNumbersSpareFiltersTheCopy(t *testing.T) {
	object := map[string]any{"a": int64(1), "l": []any{int64(2), []any{int64(3)}, map[string]any{"b": int64(4)}}, "f": 0.5, "m": map[string]any{"c": int64(5)}}
	Numbers(object)
	input, changed, err := toJQ(object)
	if err != nil || changed {
		t.Fatalf("changed %v, error %v in %v", changed, err, input)
	}
	f, err := CompileFilter("[.a, .l[0], .l[1][0], .l[2].b, .m.c] | add")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Run(object); err != nil || string(got) != "15" {
		t.Errorf("got %s, error %v", got, err)
	}
}

func TestFiltersOfOneSourceShareTheirCode(t *testing.T) {
	compile := func(program string) *Filter {
		f, err := CompileFilter(program)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a, b, other := compile(".a"), compile(".a"), compile(".b")
	b.Share(a)
	other.Share(a)
	if b.code.Load() != a.code.Load() || other.code.Load() == a.code.Load() {
		t.Error("code is shared by source")
	}
	if got, err := other.Run(map[string]any{"b": "x"}); err != nil || string(got) != `"x"` {
		t.Errorf("got %s, error %v", got, err)
	}
}

func BenchmarkFilter(b *testing.B) {
	object := map[string]any{"metadata": map[string]any{"name": "a", "generation": int64(3)}, "data": map[string]any{}}
	for i := range 50 {
		object["data"].(map[string]any)[strings.Repeat("k", i+1)] = int64(i)
	}
	f, err := CompileFilter(`{name: .metadata.name, generation: .metadata.generation, n: (.data | length)}`)
	if err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.Run(object); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("as decoded", run)
	Numbers(object)
	b.Run("numbers turned", run)
}
