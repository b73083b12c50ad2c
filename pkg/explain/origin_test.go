package explain

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/values"
)

func section(t *testing.T, text string) values.Map {
	t.Helper()
	v, err := values.DecodeYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := v.(values.Map)
	return m
}

func line(o Origin) string {
	text := o.Path + "=" + Brief(o.Value) + " " + o.From
	for _, v := range o.Over {
		text += " < " + v.From
		if v.Removed {
			text += " removed"
		} else {
			text += "=" + Brief(v.Value)
		}
	}
	return text
}

func TestOriginsNameWhoSetEachLeafAndWhatThatReplaced(t *testing.T) { // C-298
	steps := func(parts ...Step) []Step { return parts }
	for sentence, c := range map[string]struct {
		steps []Step
		want  []string
	}{
		"the last one that changed a leaf set it": {steps(
			Step{From: FromStatic, After: section(t, "{a: 1, b: {c: x}}")},
			Step{From: FromConfig, After: section(t, "{a: 2, b: {c: x}}")}),
			[]string{"a=2 ConfigMap < values.yaml=1", "b.c=x values.yaml"}},
		"an overlay that repeats a value set it all the same": {steps(
			Step{From: FromConfigDefault, After: section(t, "{a: 1}")},
			Step{From: FromConfig, After: section(t, "{a: 1}"), Set: section(t, "{a: 1}")}),
			[]string{"a=1 ConfigMap < default in openapi/config-values.yaml=1"}},
		"a hook sets what is at and below its path": {steps(
			Step{From: FromStatic, After: section(t, "{a: {b: 1, c: 2}}")},
			Step{From: "hook h", After: section(t, "{a: {b: 1, c: 2}}"), Wrote: []string{"/a"}}),
			[]string{"a.b=1 hook h < values.yaml=1", "a.c=2 hook h < values.yaml=2"}},
		"who appends to a list sets the list": {steps(
			Step{From: FromStatic, After: section(t, "{l: [1]}")},
			Step{From: "hook h", After: section(t, "{l: [1, 2]}"), Wrote: []string{"/l"}}),
			[]string{"l=[1,2] hook h < values.yaml=[1]"}},
		"a path with the same beginning is another one": {steps(
			Step{From: FromStatic, After: section(t, "{ab: 1}")},
			Step{From: "hook h", After: section(t, "{ab: 1, a: 1}"), Wrote: []string{"/a"}}),
			[]string{"a=1 hook h", "ab=1 values.yaml"}},
		"what was removed and came back tells of both": {steps(
			Step{From: FromStatic, After: section(t, "{a: 1}")},
			Step{From: "hook x", After: section(t, "{}")},
			Step{From: "hook y", After: section(t, "{a: 3}")}),
			[]string{"a=3 hook y < hook x removed < values.yaml=1"}},
		"null, an empty object and an empty list are leaves": {steps(
			Step{From: FromStatic, After: section(t, "{a: null, b: {}, c: []}")}),
			[]string{"a=null values.yaml", "b={} values.yaml", "c=[] values.yaml"}},
		"a key with a dot is quoted": {steps(
			Step{From: FromStatic, After: section(t, `{labels: {"a.b/c": x}}`)}),
			[]string{`labels["a.b/c"]=x values.yaml`}},
		"no layer, no leaf": {nil, nil},
	} {
		var got []string
		for _, o := range Origins(c.steps, nil) {
			got = append(got, line(o))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s:\n%s", sentence, d)
		}
	}
}

func TestSecretsAreMaskedInOriginsAndChanges(t *testing.T) {
	secret := func(pointer string) bool { return pointer == "/auth/password" }
	before, after := section(t, "{auth: {password: one, user: me}}"), section(t, "{auth: {password: two, user: you}}")
	list := Origins([]Step{{From: FromStatic, After: before}, {From: FromConfig, After: after}}, secret)
	changes := Changes("my", before, after, list, secret)
	var b strings.Builder
	for _, o := range list {
		b.WriteString(line(o) + "\n")
	}
	for _, c := range changes {
		b.WriteString(c.String() + "\n")
	}
	want := `auth.password=***** ConfigMap < values.yaml=*****
auth.user=you ConfigMap < values.yaml=me
my.auth.password: a secret changed  (ConfigMap)
my.auth.user: me → you  (ConfigMap)
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestChangesAreAddedChangedAndRemovedLeaves(t *testing.T) {
	got := ""
	for _, c := range Changes("m", section(t, "{a: 1, b: {c: 2}, same: x}"), section(t, "{a: 2, b: {}, new: [1], same: x}"), nil, nil) {
		got += c.Kind + " " + c.String() + "\n"
	}
	want := "changed m.a: 1 → 2\nadded m.b: {}\nremoved m.b.c: 2 → (removed)\nadded m.new: [1]\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestBelowKeepsPathsAndWhatIsUnderThem(t *testing.T) {
	list := Origins([]Step{{From: FromStatic, After: section(t, `{discovery: {cloud: {provider: x}, cloudy: y}, "z": {"k.x": 1}}`)}}, nil)
	var got []string
	for _, o := range Below(list, []string{"discovery.cloud", "z"}) {
		got = append(got, o.Path)
	}
	if d := cmp.Diff([]string{"discovery.cloud.provider", `z["k.x"]`}, got); d != "" {
		t.Error(d)
	}
	if len(Below(list, nil)) != len(list) || len(Below(list, []string{})) != 0 {
		t.Error("nil is everything, an empty list nothing")
	}
}
