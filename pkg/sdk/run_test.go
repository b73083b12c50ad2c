package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/sdk"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

type named struct {
	Name string `json:"name"`
}

var (
	pods   = sdk.Kubernetes[named]{Name: "pods", Kind: "Pod", JQFilter: "{name: .metadata.name}"}
	wholes = sdk.Kubernetes[metav1.PartialObjectMetadata]{Name: "wholes", Kind: "Pod"}
)

const contexts = `[
 {"binding":"pods","type":"Synchronization","objects":[{"filterResult":{"name":"a"}},{"filterResult":{"name":"b"}}],"snapshots":{"pods":[{"filterResult":{"name":"a"}},{"filterResult":{"name":"b"}}]}},
 {"binding":"wholes","type":"Event","watchEvent":"Deleted","object":{"kind":"Pod","metadata":{"name":"c"}}},
 {"binding":"pods","type":"Group","groupName":"g","snapshots":{"pods":[{"filterResult":{"name":"a"}},{"filterResult":{"name":"b"}}],"wholes":[]}},
 {"binding":"hourly","type":"Schedule"},
 {"binding":"beforeHelm","snapshots":{}}]`

// TestContextsAreTyped: C-120 … C-132.
func TestContextsAreTyped(t *testing.T) {
	t.Parallel()
	_, err := run(t, hook.Input{Contexts: []byte(contexts)}, func(in *sdk.Input) error {
		var told []string
		for _, c := range in.Contexts {
			told = append(told, strings.Join([]string{c.Binding, string(c.Type), c.Group, string(c.WatchEvent)}, "|"))
		}
		want := []string{"pods|Synchronization||", "wholes|Event||Deleted", "pods|Group|g|", "hourly|Schedule||", "beforeHelm|||"}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("contexts (-want +got):\n%s", diff)
		}
		snapshot, err := pods.Snapshot(in)
		if diff := cmp.Diff([]named{{"a"}, {"b"}}, snapshot); diff != "" || err != nil {
			t.Errorf("snapshot: %v (-want +got):\n%s", err, diff)
		}
		if empty, err := wholes.Snapshot(in); len(empty) != 0 || err != nil {
			t.Errorf("a snapshot without objects is %v, %v", empty, err)
		}
		all, err := pods.Items(in.Contexts[0])
		if diff := cmp.Diff([]named{{"a"}, {"b"}}, all); diff != "" || err != nil {
			t.Errorf("synchronization: %v (-want +got):\n%s", err, diff)
		}
		one, err := wholes.Items(in.Contexts[1])
		if err != nil || len(one) != 1 || one[0].Name != "c" {
			t.Errorf("event: %v, %v", one, err)
		}
		for _, c := range in.Contexts[2:] {
			if none, err := pods.Items(c); len(none) != 0 || err != nil {
				t.Errorf("context of type %q has items %v, %v", c.Type, none, err)
			}
		}
		if other, err := wholes.Items(in.Contexts[0]); other != nil || err != nil {
			t.Errorf("items of another binding are %v, %v", other, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestWholeNumbersOfUntypedObjectsStayWhole: C-212.
func TestWholeNumbersOfUntypedObjectsStayWhole(t *testing.T) {
	t.Parallel()
	const number = 12345678901234567
	in := hook.Input{Contexts: fmt.Appendf(nil, `[{"binding":"x","snapshots":{"x":[{"filterResult":{"n":%d}}],"n":[{"filterResult":null}]}}]`, number)}
	_, err := run(t, in, func(in *sdk.Input) error {
		maps, err := sdk.Snapshot[map[string]any](in, "x")
		if err != nil || maps[0]["n"] != int64(number) {
			t.Errorf("as a map: %v, %v", maps, err)
		}
		values, err := sdk.Snapshot[any](in, "x")
		if diff := cmp.Diff([]any{map[string]any{"n": int64(number)}}, values); diff != "" || err != nil {
			t.Errorf("as anything: %v (-want +got):\n%s", err, diff)
		}
		none, err := sdk.Snapshot[any](in, "n")
		if len(none) != 1 || none[0] != nil || err != nil {
			t.Errorf("null: %v, %v", none, err)
		}
		_, err = sdk.Snapshot[[]any](in, "x")
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "object 0 of x is no []interface {}") {
		t.Errorf("the error is %v", err)
	}
}

func TestWhatAHookCannotKnowIsAnError(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		contexts string
		do       func(*sdk.Input) error
		wants    string
	}{
		"a snapshot that was not asked for": {
			`[{"binding":"onStartup"}]`, func(in *sdk.Input) error { _, err := pods.Snapshot(in); return err },
			`none of the 1 binding contexts has snapshots of "pods": give the bindings a common Group`,
		},
		"an object of another type": {
			`[{"binding":"x","snapshots":{"pods":[{"filterResult":{"name":"a"}},{"filterResult":{"name":1}}]}}]`,
			func(in *sdk.Input) error { _, err := pods.Snapshot(in); return err }, "object 1 of pods is no sdk_test.named",
		},
		"an object of which nothing was kept": {
			`[{"binding":"x","snapshots":{"pods":[{}]}}]`, func(in *sdk.Input) error { _, err := pods.Snapshot(in); return err },
			"object 0 of pods is empty: give the binding a JQFilter",
		},
		"a review where there is none": {
			`[{"binding":"x","type":"Schedule"}]`, func(in *sdk.Input) error { _, err := in.Contexts[0].AdmissionRequest(); return err },
			`context of binding x is of type "Schedule" and holds no admission request`,
		},
		"a conversion where there is none": {
			`[{"binding":"x","type":"Schedule"}]`, func(in *sdk.Input) error { return in.Conversion.Each(in.Contexts[0], nil) },
			`holds no conversion request`,
		},
		"contexts that are cut off": {`[{"binding"`, func(*sdk.Input) error { return nil }, "BINDING_CONTEXT_PATH: expected a JSON list"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if _, err := run(t, hook.Input{Contexts: []byte(test.contexts)}, test.do); err == nil || !strings.Contains(err.Error(), test.wants) {
				t.Errorf("the error is %v, want one with %q", err, test.wants)
			}
		})
	}
}

// TestValuesAreTyped: C-106, C-301.
func TestValuesAreTyped(t *testing.T) {
	t.Parallel()
	in := hook.Input{
		Values:       []byte(`{"global":{"n":3,"f":1.5,"null":null,"list":["a",{"b":"c"}],"labels":{"example.com/x":"y"}},"hello":{"name":"it"}}`),
		ConfigValues: []byte(`{"global":null,"hello":null}`),
	}
	_, err := run(t, in, func(in *sdk.Input) error {
		equal(t, "a number", 3, get[int](t, in, "global.n"))
		equal(t, "a number as float", 1.5, get[float64](t, in, "global.f"))
		equal(t, "text", "it", get[string](t, in, "hello.name"))
		equal(t, "a structure", named{"it"}, get[named](t, in, "hello"))
		equal(t, "an element", "c", get[string](t, in, "global.list.1.b"))
		equal(t, "a key with dots", "y", get[string](t, in, "/global/labels/example.com~1x"))
		equal(t, "anything", any(map[string]any{"name": "it"}), get[any](t, in, "hello"))
		for _, path := range []string{"hello.no", "hello.name.no", "global.list.2", "global.list.x", "no"} {
			if _, err := sdk.Get[any](in.Values, path); !errors.Is(err, sdk.ErrAbsent) || in.Values.Has(path) {
				t.Errorf("Get of %s gives %v, want ErrAbsent", path, err)
			}
		}
		if _, err := sdk.Get[int](in.Values, "hello.name"); err == nil || err.Error() != "value hello.name is no int: json: cannot unmarshal string into Go value of type int" {
			t.Errorf("a value of another type gives %v", err)
		}
		for _, path := range []string{"hello.no", "global.null"} {
			if got, err := sdk.GetOr(in.Values, path, 7); got != 7 || err != nil {
				t.Errorf("GetOr of %s gives %v, %v", path, got, err)
			}
		}
		if !in.Values.Has("global.null") || in.ConfigValues.Has("hello.name") {
			t.Error("Has is wrong")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func get[T any](t *testing.T, in *sdk.Input, path string) T {
	t.Helper()
	v, err := sdk.Get[T](in.Values, path)
	if err != nil {
		t.Error(err)
	}
	return v
}

func equal[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestWithoutModulesThereAreNoValues(t *testing.T) {
	t.Parallel()
	_, err := run(t, hook.Input{}, func(in *sdk.Input) error {
		_, err := sdk.GetOr(in.Values, "hello.name", "")
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "VALUES_PATH holds no values") {
		t.Errorf("the error is %v", err)
	}
}

// TestARunThatFailsAsksForNothing: C-108.
func TestARunThatFailsAsksForNothing(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		do    func(*sdk.Input) error
		wants string
	}{
		"an error":                        {func(*sdk.Input) error { return errors.New("no way") }, "no way"},
		"a panic":                         {func(*sdk.Input) error { panic("no\nway") }, "panic: no way\ngithub.com/addon-operator/addon-operator/pkg/sdk_test.TestARunThatFailsAsksForNothing"},
		"a value that JSON cannot write":  {func(in *sdk.Input) error { in.Values.Set("hello.f", func() {}); return nil }, "set value hello.f"},
		"an object that JSON cannot":      {func(in *sdk.Input) error { in.Objects.Create(make(chan int)); return nil }, "Create: json"},
		"an object without a kind":        {func(in *sdk.Input) error { in.Objects.Create(named{}); return nil }, "bad KUBERNETES_PATCH_PATH"},
		"a metric without a name":         {func(in *sdk.Input) error { in.Metrics.Set("", 1, nil); return nil }, "bad METRICS_PATH"},
		"a patch that is none":            {func(in *sdk.Input) error { in.Admission.Patch(sdk.PatchOp{Op: "no"}); return nil }, "bad ADMISSION_RESPONSE_PATH"},
		"an admission patch JSON can not": {func(in *sdk.Input) error { in.Admission.Patch(sdk.Add("/a", func() {})); return nil }, "admission patch"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, hook.Input{}, func(in *sdk.Input) error {
				in.Values.Set("hello.a", 1)
				return test.do(in)
			})
			if err == nil || !strings.Contains(err.Error(), test.wants) {
				t.Errorf("the error is %v, want one with %q", err, test.wants)
			}
			if out.Values != nil {
				t.Errorf("it asks for %v all the same", out.Values)
			}
		})
	}
}

// TestPatchesAreRecordedInOrder: C-320, C-321.
func TestPatchesAreRecordedInOrder(t *testing.T) {
	t.Parallel()
	out, err := run(t, hook.Input{}, func(in *sdk.Input) error {
		in.Values.Set("hello.list", []string{"a"})
		in.Values.Remove("hello.old")
		in.Values.Set("helloEnabled", true)
		in.Values.Set("/hello/labels/a~1b.c", nil)
		return nil
	})
	want := []values.Op{
		{Op: "add", Path: "/hello/list", Value: []any{"a"}},
		{Op: "remove", Path: "/hello/old"},
		{Op: "add", Path: "/helloEnabled", Value: true},
		{Op: "add", Path: "/hello/labels/a~1b.c"},
	}
	if diff := cmp.Diff(want, out.Values); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestConversionTouchesOnlyObjectsOfItsVersion: C-257.
func TestConversionTouchesOnlyObjectsOfItsVersion(t *testing.T) {
	t.Parallel()
	const objects = `[{"apiVersion":"example.com/v1","a":12345678901234567},{"apiVersion":"example.com/v3","a":2}]`
	for sentence, test := range map[string]struct{ from, to string }{
		"full versions": {"example.com/v1", "example.com/v2"}, "short versions": {"v1", "v2"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			in := hook.Input{Contexts: []byte(`[{"binding":"up","type":"Conversion","fromVersion":"` + test.from + `","toVersion":"` + test.to +
				`","review":{"request":{"uid":"u","desiredAPIVersion":"example.com/v2","objects":` + objects + `}}}]`)}
			out, err := run(t, in, func(in *sdk.Input) error {
				return in.Conversion.Each(in.Contexts[0], func(o map[string]any) error { o["b"] = o["a"]; return nil })
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []json.RawMessage{
				[]byte(`{"a":12345678901234567,"apiVersion":"example.com/v2","b":12345678901234567}`),
				[]byte(`{"apiVersion":"example.com/v3","a":2}`),
			}
			if diff := cmp.Diff(&hook.ConversionResponse{Objects: want}, out.Conversion); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			out, err = run(t, in, func(in *sdk.Input) error {
				return in.Conversion.Each(in.Contexts[0], func(map[string]any) error { return errors.New("too old") })
			})
			if diff := cmp.Diff(&hook.ConversionResponse{FailedMessage: "too old"}, out.Conversion); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// FuzzInput: whatever the files hold, a hook gets typed input or an error.
func FuzzInput(f *testing.F) {
	f.Add([]byte(contexts), []byte(`{"hello":{"list":[{"a":1}]}}`), "hello.list.0.a")
	f.Add([]byte(`[{"snapshots":{"pods":[{}]}}]`), []byte(`null`), "/a~1b/~")
	f.Add([]byte(`[{"type":"Conversion","review":{"request":{"objects":[1,{}]}}}]`), []byte(``), "")
	f.Fuzz(func(t *testing.T, contexts, vals []byte, path string) {
		_, _ = sdk.Run(t.Context(), sdk.Hook{Name: "h", Run: everythingOf(path)}, hook.Input{Contexts: contexts, Values: vals}, discard())
	})
}

// everythingOf reads all there is and passes on what it can.
func everythingOf(path string) func(context.Context, *sdk.Input) error {
	return func(_ context.Context, in *sdk.Input) error {
		for _, c := range in.Contexts {
			_, _ = pods.Items(c)
			_, _ = wholes.Items(c)
			_, _ = c.AdmissionRequest()
			if err := in.Conversion.Each(c, func(o map[string]any) error { o["x"] = 1; return nil }); err == nil {
				continue
			}
		}
		_, _ = pods.Snapshot(in)
		if _, err := sdk.Get[any](in.Values, path); err == nil {
			in.Values.Set(path, 1)
		}
		return nil
	}
}
