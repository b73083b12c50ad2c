package hook

import (
	"reflect"
	"testing"
)

func TestMarshalContextsWritesTheFormatsOfTheContract(t *testing.T) {
	pod := Item{Object: []byte(`{"kind":"Pod"}`), FilterResult: []byte(`{"n":1}`)}
	snapshots := map[string][]byte{
		"pods":    MarshalItems([]Item{pod}),
		"secrets": MarshalItems([]Item{{FilterResult: []byte(`"x"`)}}),
		"bare":    MarshalItems([]Item{{}, {}}),
	}
	for name, c := range map[string]struct {
		context Context
		want    string
	}{
		"onStartup is its name only (C-121)":       {Context{Binding: "onStartup"}, `{"binding":"onStartup"}`},
		"a schedule (C-122, C-135)":                {Context{Binding: "every-5m", Type: TypeSchedule}, `{"binding":"every-5m","type":"Schedule"}`},
		"a schedule with snapshots (C-130)":        {Context{Binding: "s", Type: TypeSchedule, Snapshots: []string{"secrets", "none"}}, `{"binding":"s","type":"Schedule","snapshots":{"secrets":[{"filterResult":"x"}],"none":[]}}`},
		"synchronization (C-123, C-131)":           {Context{Binding: "pods", Type: TypeSynchronization, Snapshots: []string{"pods"}}, `{"binding":"pods","type":"Synchronization","objects":[{"object":{"kind":"Pod"},"filterResult":{"n":1}}],"snapshots":{"pods":[{"object":{"kind":"Pod"},"filterResult":{"n":1}}]}}`},
		"synchronization of nothing (C-123)":       {Context{Binding: "none", Type: TypeSynchronization}, `{"binding":"none","type":"Synchronization","objects":[]}`},
		"synchronization of bare items (C-141)":    {Context{Binding: "bare", Type: TypeSynchronization}, `{"binding":"bare","type":"Synchronization","objects":[{},{}]}`},
		"an event (C-124)":                         {Context{Binding: "pods", Type: TypeEvent, WatchEvent: Added, Item: pod}, `{"binding":"pods","type":"Event","watchEvent":"Added","object":{"kind":"Pod"},"filterResult":{"n":1}}`},
		"an event without object (C-140, C-141)":   {Context{Binding: "pods", Type: TypeEvent, WatchEvent: Modified, Item: Item{FilterResult: []byte("null")}}, `{"binding":"pods","type":"Event","watchEvent":"Modified","filterResult":null}`},
		"a group hides what happened (C-125)":      {Context{Binding: "pods", Type: TypeGroup, Group: "g1", WatchEvent: Added, Item: pod, Snapshots: []string{"secrets"}}, `{"binding":"pods","type":"Group","groupName":"g1","snapshots":{"secrets":[{"filterResult":"x"}]}}`},
		"a lifecycle binding (C-128)":              {Context{Binding: "beforeHelm", Snapshots: []string{}}, `{"binding":"beforeHelm","snapshots":{}}`},
		"a lifecycle binding with objects (C-128)": {Context{Binding: "afterAll", Snapshots: []string{"secrets"}}, `{"binding":"afterAll","snapshots":{"secrets":[{"filterResult":"x"}]}}`},
		"validating (C-126)":                       {Context{Binding: "a.b.c", Type: TypeValidating, Review: []byte(`{"request":{"uid":"u"}}`)}, `{"binding":"a.b.c","type":"Validating","review":{"request":{"uid":"u"}}}`},
		"mutating with snapshots (C-126, C-130)":   {Context{Binding: "a.b.c", Type: TypeMutating, Review: []byte(`{"request":{}}`), Snapshots: []string{"secrets"}}, `{"binding":"a.b.c","type":"Mutating","review":{"request":{}},"snapshots":{"secrets":[{"filterResult":"x"}]}}`},
		"conversion (C-127)":                       {Context{Binding: "up", Type: TypeConversion, From: "v1alpha1", To: "g/v1", Review: []byte(`{"request":{"objects":[]}}`), Snapshots: []string{"none"}}, `{"binding":"up","type":"Conversion","fromVersion":"v1alpha1","toVersion":"g/v1","review":{"request":{"objects":[]}},"snapshots":{"none":[]}}`},
		"names are quoted":                         {Context{Binding: `a"b`}, `{"binding":"a\"b"}`},
	} {
		t.Run(name, func(t *testing.T) {
			want := "[" + c.want + "," + c.want + "]" // C-120
			if got := string(MarshalContexts([]Context{c.context, c.context}, snapshots)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestMarshalContextsV0FollowsC129(t *testing.T) {
	got := string(MarshalContextsV0([]Context{
		{Binding: "onKubernetesEvent", Type: TypeEvent, WatchEvent: Added, Item: Item{Object: []byte(`{"kind":"Pod","metadata":{"namespace":"ns","name":"p"}}`)}},
		{Binding: "x", Type: TypeEvent, WatchEvent: Deleted},
		{Binding: "beforeHelm", Snapshots: []string{}},
	}))
	want := `[{"binding":"onKubernetesEvent","resourceEvent":"add","resourceNamespace":"ns","resourceKind":"Pod","resourceName":"p"},` +
		`{"binding":"x","resourceEvent":"delete","resourceNamespace":"","resourceKind":"","resourceName":""},{"binding":"beforeHelm"}]`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// C-166.
func TestCombineKeepsTheLastOfEachRunOfAGroup(t *testing.T) {
	of := func(pairs ...string) []Context {
		out := []Context{}
		for _, p := range pairs {
			out = append(out, Context{Binding: p[:1], Group: p[1:]})
		}
		return out
	}
	for name, c := range map[string]struct{ in, want []Context }{
		"nothing":                     {nil, nil},
		"ungrouped contexts all stay": {of("a", "b", "a"), of("a", "b", "a")},
		"a run keeps its last":        {of("aG", "bG", "cG"), of("cG")},
		"another group ends the run":  {of("aG", "bH", "cG"), of("aG", "bH", "cG")},
		"an ungrouped one ends it":    {of("aG", "bG", "c", "dG"), of("bG", "c", "dG")},
	} {
		t.Run(name, func(t *testing.T) {
			before := append([]Context{}, c.in...)
			if got := Combine(c.in); len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if len(c.in) > 0 && !reflect.DeepEqual(before, c.in) {
				t.Errorf("the argument was changed to %v", c.in)
			}
		})
	}
}
