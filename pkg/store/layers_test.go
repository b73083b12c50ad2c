package store

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func origins(s *Store, o hook.Owner) string {
	var b strings.Builder
	for _, o := range s.Section(o).Origins() {
		b.WriteString(o.Path + " = " + explain.Brief(o.Value) + " by " + o.From)
		for _, v := range o.Over {
			b.WriteString(" over " + v.From)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestEveryLeafHasItsOrigin(t *testing.T) { // C-298, C-314, C-324
	s := newStore(t, factsOf("my-mod", "old", values.Op{Op: "add", Path: "/myMod/pass", Value: "hunter2"}))
	if _, err := s.SetConfig(mod, values.Map{"size": int64(7)}, 0); err != nil {
		t.Fatal(err)
	}
	for name, patch := range map[string]string{
		"h": `[{"op":"add","path":"/myMod/found/-","value":"a"},{"op":"add","path":"/myMod/size","value":8}]`,
	} {
		if _, err := s.Commit(hook.ID{Owner: mod, Name: name}, "d", ops(t, patch)); err != nil {
			t.Fatal(err)
		}
	}
	want := `deep.a = x by default in openapi/config-values.yaml
found = ["a"] by hook h over default in openapi/values.yaml
pass = ***** by hook old (in an earlier process)
size = 8 by hook h over ConfigMap over values.yaml
`
	if d := cmp.Diff(want, origins(s, mod)); d != "" {
		t.Error(d)
	}
}

func TestOriginsOfGlobalNameTheUsersOverride(t *testing.T) {
	s := newStore(t, settings.Facts{})
	if _, err := s.Commit(g, "d", ops(t, `{"op":"add","path":"/global/discovery/cloud","value":"aws"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetConfig(hook.Global, values.Map{"discoveryOverride": values.Map{"cloud": "bare"}}, 0); err != nil {
		t.Fatal(err)
	}
	want := "discovery.cloud = bare by global.discoveryOverride over hook g over values.yaml\ndiscoveryOverride.cloud = bare by ConfigMap\n"
	if d := cmp.Diff(want, origins(s, hook.Global)); d != "" {
		t.Error(d)
	}
}

func TestOriginsAddUpToTheEffectiveValues(t *testing.T) {
	s := newStore(t, settings.Facts{})
	for i, patch := range []string{
		`{"op":"add","path":"/myMod/found/-","value":"a"}`, `[{"op":"remove","path":"/myMod/size"},{"op":"add","path":"/myMod/deep/a","value":"y"}]`,
		`{"op":"add","path":"/myMod/found/0","value":"b"}`,
	} {
		if _, err := s.Commit(hook.ID{Owner: mod, Name: "h" + string(rune('a'+i%2))}, "d", ops(t, patch)); err != nil {
			t.Fatal(err)
		}
	}
	now := map[string]any{}
	for _, o := range s.Section(mod).Origins() {
		now[o.Path] = o.Value
	}
	want := map[string]any{}
	for _, path := range values.Leaves(s.Section(mod).Values.Clone()) {
		want[path], _ = s.Section(mod).Values.Get(strings.Split(path, ".")...)
	}
	if d := cmp.Diff(want, now); d != "" {
		t.Error(d)
	}
}

func TestWhatIsDoneToAScratchCopyConcernsNobodyElse(t *testing.T) {
	s := newStore(t, settings.Facts{Flags: map[string]settings.Flag{"a": {On: true, Hook: "g"}}})
	before, on := text(s, mod), false
	tried := s.Scratch()
	if _, err := tried.SetConfig(mod, values.Map{"size": int64(9)}, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := tried.Commit(h, "d", ops(t, `{"op":"add","path":"/myMod/found/-","value":"n"}`)); err != nil {
		t.Fatal(err)
	}
	tried.SetFlag("a", &on, g)
	if f, _, _ := s.Flag("a"); !f.On || text(s, mod) != before || text(tried, mod) == before {
		t.Error("the store moved, or its copy did not")
	}
}
