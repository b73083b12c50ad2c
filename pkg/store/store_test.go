package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

var (
	mod  = hook.Owner{Module: "my-mod"}
	h    = hook.ID{Owner: mod, Name: "h"}
	g    = hook.ID{Owner: hook.Global, Name: "g"}
	conf = `{type: object, properties: {size: {type: integer, default: 1}, deep: {type: object, default: {}, properties: {a: {type: string, default: x}}}}}`
	vals = `{x-extend: {schema: config-values.yaml}, type: object, properties: {found: {type: array, items: {type: string}, default: []}, pass: {type: string, x-secret: true}}}`
)

func newStore(t *testing.T, facts settings.Facts) *Store {
	t.Helper()
	schemas, err := schema.Load([]byte(conf), []byte(vals))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(&module.Set{GlobalStatic: values.Map{"discovery": values.Map{"cloud": "none"}},
		Modules: []*module.Descriptor{{Name: "my-mod", Key: "myMod", Static: values.Map{"size": int64(5)}, Schemas: schemas}}}, facts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ops(t *testing.T, text string) []values.Op {
	t.Helper()
	out, err := values.ParsePatch([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func text(s *Store, o hook.Owner) string { return string(s.Section(o).Values.JSON()) }

func TestLayersFoldInOrder(t *testing.T) { // C-298, C-300, C-314
	s := newStore(t, settings.Facts{})
	if got := text(s, mod); got != `{"deep":{"a":"x"},"found":[],"size":5}` {
		t.Error("static and defaults:", got)
	}
	changed, err := s.SetConfig(mod, values.Map{"size": int64(7), "deep": values.Map{}}, 0)
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	if changed, err = s.Commit(h, "d", ops(t, `{"op":"add","path":"/myMod/found/-","value":"n"}`)); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if got := text(s, mod); got != `{"deep":{"a":"x"},"found":["n"],"size":7}` {
		t.Error("all layers:", got)
	}
	if got := string(s.Section(mod).ConfigValues.JSON()); got != `{"deep":{},"size":7}` {
		t.Error("config values hold the ConfigMap only:", got)
	}
	if _, err = s.SetConfig(mod, nil, 0); err != nil || s.Section(mod).HasConfig {
		t.Error("an absent section is null for hooks", err)
	}
	if got := text(s, mod); got != `{"deep":{"a":"x"},"found":["n"],"size":5}` {
		t.Error("facts survive an edit:", got)
	}
}

func TestABadSectionChangesNothing(t *testing.T) { // C-316a, C-317
	s := newStore(t, settings.Facts{})
	before := s.Section(mod)
	_, err := s.SetConfig(mod, values.Map{"size": "big", "unknown": 1}, 0)
	if err == nil || !strings.Contains(err.Error(), "myMod.size") || !strings.Contains(err.Error(), "unknown") {
		t.Error("all violations are named:", err)
	}
	if s.Section(mod) != before {
		t.Error("the section moved")
	}
	if err := s.CheckConfig(mod, ops(t, `{"op":"add","path":"/myMod/size","value":"x"}`)); err == nil { // C-316b
		t.Error("a config patch was not checked")
	}
	if err := s.CheckConfig(mod, ops(t, `{"op":"add","path":"/myMod/size","value":2}`)); err != nil { // B-17: an absent section
		t.Error(err)
	}
	if _, err := s.SetConfig(hook.Owner{Module: "none"}, nil, 0); err == nil {
		t.Error("an unknown module was taken")
	}
}

func TestAnOlderReadingOfTheConfigMapChangesNothing(t *testing.T) { // C-380
	s := newStore(t, settings.Facts{})
	for _, c := range []struct{ size, revision, want int64 }{{1, 5, 1}, {2, 4, 1}, {3, 5, 3}, {4, 6, 4}} {
		if _, err := s.SetConfig(mod, values.Map{"size": c.size}, c.revision); err != nil {
			t.Fatal(err)
		}
		if v, _ := s.Section(mod).Values.Get("size"); v != c.want {
			t.Errorf("%+v: got %v", c, v)
		}
	}
}

func TestACommitIsStrictAndAllOrNothing(t *testing.T) { // C-316c, C-323, C-326
	s := newStore(t, settings.Facts{})
	before := s.Section(mod)
	for name, patch := range map[string]string{
		"remove of an absent path":    `{"op":"remove","path":"/myMod/none"}`,
		"add under an absent parent":  `{"op":"add","path":"/myMod/x/y","value":1}`,
		"a result the schema refuses": `[{"op":"add","path":"/myMod/found/-","value":"a"},{"op":"add","path":"/myMod/found/-","value":1}]`,
	} {
		if err := s.Check(h, ops(t, patch)); err == nil {
			t.Errorf("%s passed Check", name)
		}
		if _, err := s.Commit(h, "d", ops(t, patch)); err == nil || s.Section(mod) != before {
			t.Errorf("%s was committed: %v", name, err)
		}
	}
	patch := ops(t, `{"op":"add","path":"/myMod/found","value":["a"]}`)
	if changed, err := s.Commit(h, "d", patch); !changed || err != nil {
		t.Error(changed, err)
	}
	version := s.Section(mod).Version
	if changed, err := s.Commit(h, "d", patch); changed || err != nil || s.Section(mod).Version != version {
		t.Error("the same values moved something", changed, err)
	}
}

func factsOf(owner, name string, list ...values.Op) settings.Facts {
	var stamped []values.Stamped
	for _, op := range list {
		stamped = append(stamped, values.Stamped{Op: op, Seq: 1})
	}
	return settings.Facts{Seq: 1, Sets: map[string]map[string]settings.FactSet{owner: {name: {Ops: stamped}}},
		Flags: map[string]settings.Flag{"myMod": {On: true, Hook: "g"}}}
}

func TestProvisionalFactsLastUntilTheirHookHasSpoken(t *testing.T) {
	s := newStore(t, factsOf("my-mod", "h", values.Op{Op: "add", Path: "/myMod/found", Value: []any{"old"}}, values.Op{Op: "add", Path: "/myMod/pass", Value: "p"}))
	if got := text(s, mod); got != `{"deep":{"a":"x"},"found":["old"],"pass":"p","size":5}` {
		t.Fatal("facts feed the first values:", got)
	}
	if _, err := s.Commit(h, "d", ops(t, `{"op":"add","path":"/myMod/pass","value":"p"}`)); err != nil {
		t.Fatal(err)
	}
	if got := text(s, mod); !strings.Contains(got, "old") {
		t.Error("gone before the hook had finished its start:", got)
	}
	if changed, err := s.Settle(h); err != nil || !changed {
		t.Error(changed, err)
	}
	if got := text(s, mod); got != `{"deep":{"a":"x"},"found":[],"pass":"p","size":5}` {
		t.Error("what was not written again must be gone, the rest stay:", got)
	}
	if changed, _ := s.Settle(h); changed {
		t.Error("settled twice")
	}
	if f, provisional, ok := s.Flag("myMod"); !ok || !f.On || !provisional {
		t.Error("the flag of another hook moved")
	}
	if changed, _ := s.Settle(g); !changed {
		t.Error("a flag that was not set again must be gone")
	}
	if _, _, ok := s.Flag("myMod"); ok {
		t.Error("it stayed")
	}
}

func TestKeepDropsWhatHooksWroteThatAreGone(t *testing.T) {
	s := newStore(t, factsOf("my-mod", "h", values.Op{Op: "add", Path: "/myMod/found", Value: []any{"old"}}))
	if dropped, err := s.Keep(mod, []string{"h"}); dropped || err != nil {
		t.Error(dropped, err)
	}
	if dropped, err := s.Keep(mod, []string{"other"}); !dropped || err != nil || strings.Contains(text(s, mod), "old") {
		t.Error(dropped, err)
	}
	if dropped, _ := s.Keep(hook.Global, nil); !dropped || len(s.Facts().Flags) != 0 {
		t.Error("a flag of a hook that is gone stays")
	}
}

func TestFlags(t *testing.T) { // C-328
	s := newStore(t, settings.Facts{Flags: map[string]settings.Flag{"b": {On: false, Hook: "g"}}})
	on, off := true, false
	steps := []struct {
		key     string
		on      *bool
		changed bool
	}{{"a", &on, true}, {"a", &on, false}, {"a", &off, true}, {"a", nil, true}, {"a", nil, false}, {"b", &off, true}, {"b", &off, false}}
	for i, step := range steps {
		if got := s.SetFlag(step.key, step.on, g); got != step.changed {
			t.Errorf("step %d: changed is %v", i, got)
		}
	}
}

func TestFactsOfModulesThatCannotBeReadAreKept(t *testing.T) {
	facts := factsOf("lost", "h", values.Op{Op: "add", Path: "/lost/a", Value: "x"})
	for name, c := range map[string]struct {
		set  module.Set
		kept bool
	}{
		"a broken module":              {module.Set{Broken: map[string]error{"lost": errors.New("x")}}, true},
		"an unreadable directory":      {module.Set{Incomplete: true}, true},
		"a module that is really gone": {module.Set{}, false},
	} {
		s, err := New(&c.set, facts)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Facts().Sets["lost"]; ok != c.kept {
			t.Errorf("%s: kept is %v", name, ok)
		}
	}
}

func TestDiscoveryOverrideIsTheLastWord(t *testing.T) {
	s := newStore(t, settings.Facts{})
	if _, err := s.Commit(g, "d", ops(t, `{"op":"add","path":"/global/discovery/cloud","value":"aws"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetConfig(hook.Global, values.Map{"discoveryOverride": values.Map{"cloud": "bare"}}, 0); err != nil {
		t.Fatal(err)
	}
	if v, _ := s.Section(hook.Global).Values.Get("discovery", "cloud"); v != "bare" {
		t.Error(v)
	}
}

func TestSecretsAreMaskedForPeopleOnly(t *testing.T) {
	s := newStore(t, settings.Facts{})
	if _, err := s.Commit(h, "d", ops(t, `{"op":"add","path":"/myMod/pass","value":"hunter2"}`)); err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprint(s.Section(mod).Masked(), s.Patches(mod))
	if strings.Contains(shown, "hunter2") || !strings.Contains(text(s, mod), "hunter2") {
		t.Error(shown)
	}
	if !s.SecretAt("my-mod", "/myMod/pass") || s.SecretAt("my-mod", "/myMod/size") || s.SecretAt("none", "/x") {
		t.Error("SecretAt")
	}
}

func TestSecretsAreTakenOutOfText(t *testing.T) {
	s := newStore(t, settings.Facts{})
	if _, err := s.Commit(h, "d", ops(t, `{"op":"add","path":"/myMod","value":{"pass":"first-secret","found":["harmless-text"]}}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(h, "d", ops(t, `{"op":"add","path":"/myMod/pass","value":"second-secret"}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(h, ops(t, `{"op":"add","path":"/myMod/pass","value":["refused-secret"]}`)); err == nil || strings.Contains(err.Error(), "refused-secret") {
		t.Error(err)
	}
	_, err := s.SetConfigHiding(mod, values.Map{"size": int64(1), "deep": values.Map{"a": "hidden-by-origin"}}, values.Map{"deep": values.Map{"a": "x"}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	const want = "my-mod: ***** ***** ***** ***** harmless-text"
	if got := s.Redact("my-mod: first-secret second-secret refused-secret hidden-by-origin harmless-text"); got != want {
		t.Errorf("got %q, expected %q", got, want)
	}
	if got := fmt.Sprint(s.Section(mod).Masked(), s.Section(mod).MaskedConfig()); strings.Contains(got, "hidden-by-origin") {
		t.Error(got)
	}
	if _, err := s.SetConfigHiding(mod, values.Map{"deep": values.Map{"a": int64(4711)}}, values.Map{"deep": values.Map{"a": "x"}}, 0); err == nil || strings.Contains(err.Error(), "4711") {
		t.Error("a violation shows a value that came from a Secret:", err)
	}
	if _, err := s.SetConfig(mod, values.Map{"deep": values.Map{"a": "now the user's"}}, 0); err != nil || !strings.Contains(fmt.Sprint(s.Section(mod).MaskedConfig()), "now the user's") {
		t.Error("a value that no longer comes from a Secret is shown:", err)
	}
}

func TestFactsComeBack(t *testing.T) {
	s := newStore(t, settings.Facts{})
	if _, err := s.Commit(h, "d", ops(t, `[{"op":"add","path":"/myMod/found/-","value":"a"},{"op":"add","path":"/myMod/found/-","value":"b"}]`)); err != nil {
		t.Fatal(err)
	}
	again := newStore(t, s.Facts())
	if d := cmp.Diff(text(s, mod), text(again, mod)); d != "" {
		t.Error(d)
	}
	if err := again.Drop(mod); err != nil || text(again, mod) != text(newStore(t, settings.Facts{}), mod) {
		t.Error("facts of a disabled module stay", err)
	}
}

func TestConcurrentCommitsAreAllKept(t *testing.T) {
	s := newStore(t, settings.Facts{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			id := hook.ID{Owner: mod, Name: fmt.Sprint("h", i)}
			if _, err := s.Commit(id, "d", []values.Op{{Op: "add", Path: "/myMod/found/-", Value: fmt.Sprint(i)}}); err != nil {
				t.Error(err)
			}
			_, _ = s.SetConfig(mod, values.Map{"size": int64(i)}, 0)
		})
	}
	wg.Wait()
	if found, _ := s.Section(mod).Values.Get("found"); len(found.([]any)) != 20 {
		t.Error(found)
	}
}
