package settings

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestSourcesAreReadFromYAML(t *testing.T) {
	got, err := ParseSources(`
- {kind: Secret, name: db}
- {kind: ConfigMap, name: my.team, key: app.yml, targetPath: auth.password, optional: true}
`)
	want := []ValuesSource{
		{Kind: KindSecret, Name: "db", Key: DefaultSourceKey},
		{Kind: KindConfigMap, Name: "my.team", Key: "app.yml", TargetPath: "auth.password", Optional: true},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, text := range []string{"", "[]", "# none"} {
		if got, err := ParseSources(text); len(got) > 0 || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"{kind: Secret}": "expected a list",
		"[a]":            "source 1: expected an object",
		"[{kind: Secret, name: a}, {kind: Pod, name: a}]": "source 2: kind: expected Secret or ConfigMap",
		"[{kind: Secret}]":                            "name: expected the name of a Secret",
		"[{kind: Secret, name: A_b}]":                 "name: expected",
		"[{kind: Secret, name: 1}]":                   "name: expected text, got 1",
		"[{kind: Secret, name: a, key: a/b}]":         "key: expected",
		"[{kind: Secret, name: a, targetPath: a..b}]": "targetPath: expected a dotted path",
		"[{kind: Secret, name: a, optional: maybe}]":  "optional: expected true or false",
		"[{kind: Secret, name: a, namespace: b}]":     `unknown field "namespace"`,
		"[": "expected a YAML list",
		"[{kind: Secret, name: a, targetPath: " + strings.Repeat("a.", 40) + "a}]": "at most 32",
	} {
		if _, err := ParseSources(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: expected %q, got %v", text, want, err)
		}
	}
}

func TestAnErrorOfTheParserRepeatsNothingOfTheText(t *testing.T) {
	for _, text := range []string{"password: *hunter2", "password: 'hunter2", "a: b: hunter2", "hunter2: 1\nhunter2: 2", "%hunter2\n---\na", "!hunter2 [}"} {
		for _, key := range []string{"foo", "fooValuesFrom"} {
			s := Parse(map[string]string{key: text}, nil, Settings{})
			for _, p := range s.Problems {
				if strings.Contains(p.Message, "hunter2") {
					t.Errorf("%s of %q: %s", key, text, p.Message)
				}
			}
		}
	}
}

func TestALayerIsTheTextOrAValueInIt(t *testing.T) {
	got, err := ValuesSource{Kind: KindSecret, TargetPath: "auth.password"}.Layer("12345\n")
	if d := cmp.Diff(values.Map{"auth": values.Map{"password": "12345\n"}}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	got, err = ValuesSource{}.Layer("a: {b: 1}\n")
	if d := cmp.Diff(values.Map{"a": values.Map{"b": int64(1)}}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, text := range []string{"hunter2", "[hunter2]", "{hunter2", "hunter2: *hunter2"} {
		if _, err := (ValuesSource{}).Layer(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// from reads sources from texts by the name of their object; "-" is one that cannot be read.
func from(texts map[string]string) func(ValuesSource) (values.Map, error) {
	return func(v ValuesSource) (values.Map, error) {
		switch text, ok := texts[v.Name]; {
		case !ok && v.Optional:
			return nil, nil
		case !ok || text == "-":
			return nil, errors.New("there is none")
		default:
			return v.Layer(text)
		}
	}
}

func reading(data, objects map[string]string, previous Settings) Settings {
	s := Parse(data, nil, previous)
	s.Lay(from(objects), previous)
	s.Revision = previous.Revision + 1
	return s
}

func TestSourcesLieBeneathTheSection(t *testing.T) {
	s := reading(map[string]string{
		"foo":           "b: own\n",
		"fooValuesFrom": "[{kind: ConfigMap, name: one}, {kind: Secret, name: two}, {kind: Secret, name: three, optional: true}]",
	}, map[string]string{"one": "{a: one, b: one, c: one}", "two": "{c: two, d: {e: two}}"}, Settings{})
	if len(s.Problems) > 0 {
		t.Fatal(s.Problems)
	}
	if d := cmp.Diff(values.Map{"a": "one", "b": "own", "c": "two", "d": values.Map{"e": "two"}}, s.Sections["foo"]); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(values.Map{"c": "two", "d": values.Map{"e": "two"}}, s.FromSecrets("foo")); d != "" {
		t.Error(d)
	}
	if got := s.FromSecrets("bar"); len(got) > 0 {
		t.Error(got)
	}
}

func TestASourceThatCannotBeReadKeepsWhatItHad(t *testing.T) {
	data := map[string]string{"foo": "own: 1", "fooValuesFrom": "[{kind: Secret, name: one}, {kind: Secret, name: two}]", "bar": "x: 1"}
	first := reading(data, map[string]string{"one": "a: 1", "two": "b: 1"}, Settings{})
	second := reading(data, map[string]string{"one": "a: 2", "two": "-"}, first)
	if d := cmp.Diff(values.Map{"own": int64(1), "a": int64(2), "b": int64(1)}, second.Sections["foo"]); d != "" {
		t.Error(d)
	}
	if len(second.Problems) != 1 || second.Problems[0].Key != "fooValuesFrom" || !strings.Contains(second.Problems[0].Message, "Secret two, key values.yaml: there is none") {
		t.Error(second.Problems)
	}
	if Equal(first, second) {
		t.Error("the readings are not the same")
	}
	// A new source that is not there holds up the former ones only.
	data["fooValuesFrom"] = "[{kind: Secret, name: one}, {kind: Secret, name: three}]"
	third := reading(data, map[string]string{"one": "a: 3"}, second)
	if d := cmp.Diff(values.Map{"own": int64(1), "a": int64(2), "b": int64(1)}, third.Sections["foo"]); d != "" {
		t.Error(d)
	}
	// A list that cannot be read keeps the former sources.
	data["fooValuesFrom"] = "no list"
	fourth := reading(data, map[string]string{"one": "a: 4", "two": "b: 4"}, second)
	if d := cmp.Diff(values.Map{"own": int64(1), "a": int64(4), "b": int64(4)}, fourth.Sections["foo"]); d != "" || len(fourth.Problems) != 1 {
		t.Error(d, fourth.Problems)
	}
	// A section that cannot be read keeps all it had, and stays secret.
	data["fooValuesFrom"], data["foo"] = "[]", "["
	fifth := reading(data, nil, second)
	if d := cmp.Diff(second.Sections["foo"], fifth.Sections["foo"]); d != "" || len(fifth.FromSecrets("foo")) == 0 {
		t.Error(d, fifth.FromSecrets("foo"))
	}
	// Without sources their values are gone.
	data["fooValuesFrom"], data["foo"] = "", "own: 2"
	if d := cmp.Diff(values.Map{"own": int64(2)}, reading(data, nil, second).Sections["foo"]); d != "" {
		t.Error(d)
	}
}

func TestASectionWhoseSourcesWereNeverFoundIsUnusable(t *testing.T) {
	data := map[string]string{"foo": "own: 1", "fooValuesFrom": "[{kind: Secret, name: one}]", "badValuesFrom": "x", "ok": "a: 1"}
	first := reading(data, nil, Settings{})
	if d := cmp.Diff(map[string]bool{"foo": true, "bad": true}, first.Unusable); d != "" {
		t.Error(d)
	}
	if first.Sections["foo"] != nil || first.Sections["ok"] == nil || len(first.Problems) != 2 {
		t.Errorf("%+v", first)
	}
	still := reading(data, nil, first)
	if !still.Unusable["foo"] {
		t.Error("a second try found as little")
	}
	found := reading(data, map[string]string{"one": "a: 1"}, still)
	if found.Unusable["foo"] || len(found.Sections["foo"]) != 2 || !found.Unusable["bad"] {
		t.Errorf("%+v", found)
	}
}

func TestOwnIsWhatSourcesDoNotGive(t *testing.T) {
	m := func(text string) values.Map {
		v, err := values.DecodeYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return v.(values.Map)
	}
	layer := m("{a: 1, b: {c: 2, d: [3]}, e: {f: 4}}")
	for sentence, c := range map[string]struct{ want, had, own string }{
		"nothing was changed":         {"{a: 1, b: {c: 2, d: [3]}, e: {f: 4}}", "{}", "{}"},
		"what was there stays":        {"{a: 1, b: {c: 2, d: [3]}, e: {f: 4}}", "{a: 1, b: {}}", "{a: 1, b: {}}"},
		"new values are written":      {"{a: 1, b: {c: 2, d: [3], x: 5}, e: {f: 4}, y: 6}", "{}", "{b: {x: 5}, y: 6}"},
		"changed values are written":  {"{a: 9, b: {c: 2, d: [8]}, e: 7}", "{}", "{a: 9, b: {d: [8]}, e: 7}"},
		"own values are overwritten":  {"{a: 1, b: {c: 2, d: [3]}, e: {f: 4}, z: 2}", "{z: 1}", "{z: 2}"},
		"own values are taken out":    {"{a: 1, b: {c: 2, d: [3]}, e: {f: 4}}", "{z: 1}", "{}"},
		"an object becomes a scalar":  {"{a: {x: 1}, b: {c: 2, d: [3]}, e: {f: 4}}", "{}", "{a: {x: 1}}"},
		"an empty object that is new": {"{a: 1, b: {c: 2, d: [3]}, e: {f: 4}, n: {}}", "{}", "{n: {}}"},
	} {
		got, err := Own(m(c.want), m(c.had), layer)
		if d := cmp.Diff(m(c.own), got); d != "" || err != nil {
			t.Errorf("%s: %s %v", sentence, d, err)
		}
		if d := cmp.Diff(m(c.want), values.Merge(layer, got)); d != "" && err == nil {
			t.Errorf("%s: laid over the sources it is something else: %s", sentence, d)
		}
	}
	if _, err := Own(m("{a: 1, b: {c: 2}, e: {f: 4}}"), nil, layer); err == nil || !strings.Contains(err.Error(), "b.d comes from an object that valuesFrom names") {
		t.Error(err)
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add("- {kind: Secret, name: db, key: a, targetPath: a.b, optional: true}", "a: {b: 1}")
	f.Add("[{kind: ConfigMap, name: a}]", "")
	f.Fuzz(func(t *testing.T, text, data string) {
		list, err := ParseSources(text)
		if err != nil {
			return
		}
		for _, s := range list {
			if s.Key == "" || s.Name == "" {
				t.Errorf("%q: half a source: %+v", text, s)
			}
			layer, err := s.Layer(data)
			if err != nil {
				continue
			}
			if rest, err := Own(layer, nil, layer); err != nil || len(rest) > 0 {
				t.Errorf("%q: a layer is not its own: %v, %v", data, rest, err)
			}
		}
	})
}
