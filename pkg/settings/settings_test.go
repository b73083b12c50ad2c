package settings

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func mustDoc(t testing.TB, text string) values.Map {
	t.Helper()
	m, err := sectionOf(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// C-370 … C-373, C-355, B-18.
func TestParseReadsEachKindOfKey(t *testing.T) {
	got := Parse(map[string]string{
		"global":                 "",
		"prometheus":             "retention: 15d # keep\ncount: 3\n",
		"empty":                  "# nothing yet\n",
		"prometheusEnabled":      "true",
		"certManagerEnabled":     "false",
		"certManagerMaintenance": "noresourcereconciliation",
		"prometheusMaintenance":  "",
		"prometheusChannel":      "stable",
		"prometheusVersion":      "1.2.3",
		"prometheusUpdate":       "AutoPatch",
		"prometheusSource":       "main",
		"apiVersion":             "a: 1", // a module named api-version: the type of the value decides
	}, nil, Settings{})
	want := Settings{
		Exists: true,
		Sections: map[string]values.Map{
			"global": {}, "empty": {}, "prometheus": {"retention": "15d", "count": int64(3)}, "apiVersion": {"a": int64(1)},
		},
		Enabled:     map[string]bool{"prometheus": true, "certManager": false},
		Maintenance: map[string]string{"certManager": NoResourceReconciliation},
		Choices:     map[string]source.Choice{"prometheus": {Channel: "stable", Version: "1.2.3", Update: source.AutoPatch, Source: "main"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// C-374, C-375: one bad key concerns itself.
func TestABadKeyKeepsItsLastValidValueAndStopsNoOther(t *testing.T) {
	good := Parse(map[string]string{
		"prometheus": "a: 1", "prometheusEnabled": "true", "prometheusMaintenance": NoResourceReconciliation, "other": "b: 1", "global": "g: 1",
	}, nil, Settings{})
	got := Parse(map[string]string{
		"prometheus": "a: [", "prometheusEnabled": "True", "prometheusMaintenance": "yes", "other": "b: 2", "global": "[]",
		"my-module": "a: 1", "ingress-nginxEnabled": "true", "list": "- a", "scalar": "false", "number": "3", "new": "a: b: c",
	}, nil, good)
	if d := cmp.Diff(map[string]values.Map{"prometheus": {"a": int64(1)}, "other": {"b": int64(2)}, "global": {"g": int64(1)}}, got.Sections); d != "" {
		t.Error(d)
	}
	if !got.Enabled["prometheus"] || got.Maintenance["prometheus"] != NoResourceReconciliation {
		t.Error("the last valid settings must stay")
	}
	wants := map[string]string{
		"global": "object", "ingress-nginxEnabled": "camelCased", "list": "a list", "my-module": "camelCased", "new": "YAML", "number": "3",
		"prometheus": "YAML", "prometheusEnabled": `exactly "true" or "false"`, "prometheusMaintenance": NoResourceReconciliation,
		"scalar": `scalarEnabled: "false"`,
	}
	var keys []string
	for _, p := range got.Problems {
		keys = append(keys, p.Key)
		if !strings.Contains(p.Message, wants[p.Key]) {
			t.Errorf("%s: %q does not say %q", p.Key, p.Message, wants[p.Key])
		}
	}
	if d := cmp.Diff([]string{"global", "ingress-nginxEnabled", "list", "my-module", "new", "number", "prometheus", "prometheusEnabled", "prometheusMaintenance", "scalar"}, keys); d != "" {
		t.Error(d)
	}
	again := Parse(map[string]string{"prometheus": "a: 3", "other": "b: 2", "global": "{}"}, nil, got)
	if len(again.Problems) > 0 || again.Sections["prometheus"]["a"] != int64(3) {
		t.Errorf("the next valid text must be taken: %+v", again)
	}
}

func TestEnabledIsExactlyTrueOrFalse(t *testing.T) { // C-373
	for _, text := range []string{"", " true", "true\n", "yes", "1", "TRUE", `"true"`} {
		if got := Parse(map[string]string{"aEnabled": text}, nil, Settings{}); len(got.Problems) != 1 || len(got.Enabled) != 0 {
			t.Errorf("%q was taken: %+v", text, got)
		}
	}
}

func TestSecretLeavesAreMergedUnderTheSections(t *testing.T) {
	secret := map[string]values.Map{
		"prometheus": {"auth": values.Map{"password": "old", "salt": "s"}}, "other": {"token": "t"}, "broken": {"x": "y"},
	}
	got := Parse(map[string]string{"prometheus": "auth: {password: new, user: u}", "broken": "["}, secret,
		Settings{Sections: map[string]values.Map{"broken": {"x": "last"}}})
	want := map[string]values.Map{
		"prometheus": {"auth": values.Map{"password": "new", "salt": "s", "user": "u"}},
		"other":      {"token": "t"},
		"broken":     {"x": "last"},
	}
	if d := cmp.Diff(want, got.Sections); d != "" {
		t.Error(d)
	}
}

func TestChangedNamesKeys(t *testing.T) {
	a := Parse(map[string]string{"a": "x: 1", "b": "{}", "aEnabled": "true", "cMaintenance": NoResourceReconciliation, "ePausedUntil": "2026-11-23T10:00:00Z", "same": "l: [1, {a: b}]"}, nil, Settings{})
	b := Parse(map[string]string{"a": "x: 2", "d": "{}", "aEnabled": "false", "same": "l:\n- 1\n- a: b # comment"}, nil, Settings{})
	if d := cmp.Diff([]string{"a", "aEnabled", "b", "cMaintenance", "d", "ePausedUntil"}, Changed(a, b)); d != "" {
		t.Error(d)
	}
	if Equal(a, b) || !Equal(a, a) || Equal(a, Settings{}) {
		t.Error("Equal")
	}
	c := a
	c.Problems = []Problem{{Key: "k"}}
	if Equal(a, c) || len(Changed(a, c)) != 0 {
		t.Error("a new problem is no changed key, but no equal reading either")
	}
}

func ops(t testing.TB, text string) []values.Op {
	t.Helper()
	out, err := values.ParsePatch([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const edited = `# How we keep metrics.
retention: 15d   # agreed with finance

# Disks are slow here.
storage:
    class:   fast    # four spaces, odd gaps
    # grow only
    size: "20Gi"

auth: {user: admin,  group: ops}   # flow style
list:
  # first
  - a
  - b   # second
  - name: x
    port: 1   # not 2
  # after the list
text: |
  # no comment
  line

# the end
`

func TestEditSectionLeavesTheRestOfTheTextAlone(t *testing.T) { // C-381
	for name, c := range map[string]struct {
		ops      string
		from, to string // the only part of the text that changes
	}{
		"a scalar keeps its comment":     {`{"op":"add","path":"/retention","value":"30d"}`, "retention: 15d   # agreed", "retention: 30d # agreed"},
		"a nested scalar":                {`{"op":"add","path":"/storage/size","value":"30Gi"}`, `    size: "20Gi"`, `    size: 30Gi`},
		"a new nested key":               {`{"op":"add","path":"/storage/deep","value":{"a":[1]}}`, "    size: \"20Gi\"\n", "    size: \"20Gi\"\n    deep:\n      a:\n      - 1\n"},
		"a new key goes to the end":      {`{"op":"add","path":"/zone","value":"on"}`, "  line\n", "  line\nzone: \"on\"\n"},
		"a removed key":                  {`{"op":"remove","path":"/storage/size"}`, "    size: \"20Gi\"\n", ""},
		"a removed block":                {`{"op":"remove","path":"/text"}`, "text: |\n  # no comment\n  line\n", ""},
		"flow style is written anew":     {`{"op":"add","path":"/auth/user","value":"x"}`, "auth: {user: admin,  group: ops}   # flow style", "auth: # flow style\n  group: ops\n  user: x"},
		"an item is appended":            {`{"op":"add","path":"/list/-","value":"c"}`, "    port: 1   # not 2\n", "    port: 1   # not 2\n  - c\n"},
		"an item is inserted in front":   {`{"op":"add","path":"/list/0","value":"z"}`, "  - a\n", "  - z\n  - a\n"},
		"an item is removed":             {`{"op":"remove","path":"/list/0"}`, "  - a\n", ""},
		"an item changes":                {`[{"op":"remove","path":"/list/1"},{"op":"add","path":"/list/1","value":"c"}]`, "- b   # second", "- c # second"},
		"a key within an item":           {`{"op":"add","path":"/list/2/port","value":3}`, "port: 1   # not 2", "port: 3 # not 2"},
		"a first key within an item":     {`{"op":"add","path":"/list/2/name","value":"z"}`, "- name: x", "- name: z"},
		"a new key within an item":       {`{"op":"add","path":"/list/2/a","value":true}`, "# not 2\n", "# not 2\n    a: true\n"},
		"a list becomes empty":           {`{"op":"add","path":"/list","value":[]}`, edited[strings.Index(edited, "list:"):strings.Index(edited, "text:")], "list: []\n"},
		"the same value changes nothing": {`{"op":"add","path":"/storage","value":{"class":"fast","size":"20Gi"}}`, "", ""},
		"removing what is absent":        {`{"op":"remove","path":"/storage/none"}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			want := strings.Replace(edited, c.from, c.to, 1)
			if strings.HasPrefix(name, "a list becomes") { // its comment at the end goes with it
				want = edited[:strings.Index(edited, "list:")] + "list: []\n" + edited[strings.Index(edited, "text:"):]
			}
			got, err := EditSection(edited, ops(t, c.ops))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEditSectionMeansWhatTheOperationsDo(t *testing.T) {
	for name, c := range map[string]struct{ text, ops, want string }{
		"empty text":           {"", `{"op":"add","path":"/a","value":{"b":1}}`, "a:\n  b: 1\n"},
		"only a comment":       {"# mine\n", `{"op":"add","path":"/a","value":1}`, "# mine\na: 1\n"},
		"braces":               {"{}", `{"op":"add","path":"/a","value":1}`, "a: 1\n"},
		"braces in a key":      {"a: {} # none\n", `{"op":"add","path":"/a/b","value":1}`, "a: # none\n  b: 1\n"},
		"no line end":          {"a: 1", `{"op":"add","path":"/b","value":2}`, "a: 1\nb: 2\n"},
		"the last key goes":    {"# mine\na: 1\n", `{"op":"remove","path":"/a"}`, "# mine\n{}\n"},
		"all keys are others":  {"a: 1\n", `[{"op":"remove","path":"/a"},{"op":"add","path":"/b","value":2}]`, "b: 2\n"},
		"null":                 {"a:\n", `{"op":"add","path":"/a","value":{"b":null}}`, "a:\n  b: null\n"},
		"anchors stay apart":   {"a: &x {k: 1}\nb: *x\n", `{"op":"add","path":"/b/k","value":2}`, "a: &x {k: 1}\nb:\n  k: 2\n"},
		"merge keys":           {"a: &x\n  k: 1\nb:\n  <<: *x\n  l: 1\n", `{"op":"add","path":"/b/k","value":2}`, "a: &x\n  k: 1\nb:\n  <<: *x\n  l: 1\n  k: 2\n"},
		"a document start":     {"---\na: 1\n", `{"op":"add","path":"/b","value":2}`, "---\na: 1\nb: 2\n"},
		"a list of lists":      {"a:\n- - 1\n  - 2\n", `{"op":"remove","path":"/a/0/0"}`, "a:\n- - 2\n"},
		"an odd key":           {"a: 1\n", `{"op":"add","path":"/x~1y: z","value":"# no"}`, "a: 1\n'x/y: z': '# no'\n"},
		"quotes YAML 1.1 text": {"a: 1\n", `{"op":"add","path":"/a","value":"yes"}`, "a: \"yes\"\n"},
		"a key read as bool":   {"on: 1\n", `{"op":"add","path":"/b","value":2}`, "b: 2\n\"true\": 1\n"},
		"kept line ends":       {"a: |+\n  x\n\n\n", `{"op":"add","path":"/b","value":2}`, "a: |+\n  x\n\n\nb: 2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := EditSection(c.text, ops(t, c.ops))
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if strings.Contains(c.ops, "/0") { // at an index, the same operation means another item the second time
				return
			}
			again, err := EditSection(got, ops(t, c.ops))
			if err != nil || again != got {
				t.Errorf("applied twice: %v\n%s", err, again)
			}
		})
	}
}

func TestEditSectionRefuses(t *testing.T) {
	if _, err := EditSection("a: 1", ops(t, `{"op":"add","path":"/x/y","value":1}`)); !errors.Is(err, values.ErrAbsent) {
		t.Errorf("an add under an absent parent: %v", err)
	}
	for _, text := range []string{"a: [", "- a", "text"} {
		if _, err := EditSection(text, ops(t, `{"op":"add","path":"/x","value":1}`)); err == nil {
			t.Errorf("%q was edited", text)
		}
	}
}

func TestManyOperationsArePerformedInOneGo(t *testing.T) {
	var list []values.Op
	for i := range 50_000 { // takes an hour one by one
		list = append(list, values.Op{Op: "add", Path: "/a" + strconv.Itoa(i%500), Value: int64(i)}, values.Op{Op: "remove", Path: "/gone"})
	}
	got, err := EditSection("# kept\nx: 1\n", list)
	if err != nil || !strings.HasPrefix(got, "# kept\nx: 1\n") || strings.Count(got, "\n") != 502 {
		t.Errorf("got %.200s, %v", got, err)
	}
	if _, err := EditSection("x: 1\n", append(list, values.Op{Op: "add", Path: "/no/parent", Value: 1})); err == nil || !strings.Contains(err.Error(), "parent") {
		t.Errorf("got %v", err)
	}
}

func FuzzEditSection(f *testing.F) {
	f.Add(edited, `[{"op":"add","path":"/list/0","value":{"a":"b"}},{"op":"remove","path":"/storage"}]`)
	f.Add("a: &x {k: 1}\nb: *x\n", `{"op":"add","path":"/b/k","value":"yes"}`)
	f.Add("a:\n- - 1\n  - 2\n", `{"op":"remove","path":"/a/0/0"}`)
	f.Add("a: >\n  x\n\n  y\n? b\n: c\n", `{"op":"add","path":"/a","value":[[],{},null,1.5]}`)
	f.Fuzz(func(t *testing.T, text, patch string) {
		list, err := values.ParsePatch([]byte(patch))
		if err != nil {
			return
		}
		got, err := EditSection(text, list)
		if err != nil {
			return
		}
		want, err := Perform(mustDoc(t, text), list)
		if err != nil {
			t.Fatal(err)
		}
		if !means(got, want) {
			t.Errorf("edited %q with %s into %q", text, patch, got)
		}
		if one, err := singly(mustDoc(t, text), list); err != nil || !same(one, want) {
			t.Errorf("%q with %s one by one: %v (%v), together: %v", text, patch, one, err, want)
		}
		if again, err := SetSection(got, want); err != nil || again != got {
			t.Errorf("not idempotent: %q then %q (%v)", got, again, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("prometheus", "a: 1", "x: y")
	f.Add("aEnabled", "true", "")
	f.Add("global", "&a [*a]", "- 1")
	f.Fuzz(func(t *testing.T, key, text, before string) {
		previous := Parse(map[string]string{key: before}, nil, Settings{})
		got := Parse(map[string]string{key: text}, map[string]values.Map{key: {"s": 1}}, previous)
		if !Equal(got, got) || len(got.Problems) > 1 {
			t.Errorf("%+v", got)
		}
	})
}

func stamped(seq int64, op, path string, v any) values.Stamped {
	return values.Stamped{Op: values.Op{Op: op, Path: path, Value: v}, Seq: seq}
}

func facts() Facts {
	return Facts{
		Sets: map[string]map[string]FactSet{
			"global": {"hooks/cloud.sh": {HookDigest: "d1", Ops: []values.Stamped{
				stamped(1, "add", "/global/discovery/cloud", values.Map{"provider": "aws", "n": int64(1) << 60}),
				stamped(2, "remove", "/global/x", nil),
				stamped(3, "add", "/global/y", nil),
			}}},
			"prometheus": {"password": {Ops: []values.Stamped{
				stamped(4, "add", "/prometheus/auth", values.Map{}),
				stamped(4, "add", "/prometheus/auth/password", "hunter2"),
				stamped(5, "add", "/prometheus/internal", []any{1.5}),
			}}, "secretOnly": {Ops: []values.Stamped{stamped(6, "add", "/prometheus/auth/password", "hunter3")}}},
		},
		Flags:     map[string]Flag{"prometheus": {On: true, Hook: "h"}},
		Decisions: map[string]bool{"prometheus": true, "other": false},
		Seq:       7,
	}
}

func isPassword(_, _ string, op values.Stamped) bool { return strings.HasSuffix(op.Path, "/password") }

func TestFactsSurviveEncodingAndSecretsAreInTheSecretOnly(t *testing.T) {
	public, private, err := facts().Encode(isPassword)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(public)
	if strings.Contains(string(text), "hunter") {
		t.Errorf("a secret is in the ConfigMap: %s", text)
	}
	got, problems := DecodeFacts(public, private)
	if d := cmp.Diff(facts(), got, cmpopts.EquateEmpty()); d != "" || problems != nil {
		t.Error(d, problems)
	}
	again, _, _ := got.Encode(isPassword)
	if d := cmp.Diff(public, again); d != "" {
		t.Error(d)
	}
	open, problems := DecodeFacts(public, nil)
	if len(problems) != 0 || len(open.Sets["prometheus"]["password"].Ops) != 2 {
		t.Errorf("without the Secret the rest stays: %+v %v", open, problems)
	}
}

func TestFactsThatCannotBeReadAreDroppedAndReported(t *testing.T) {
	if f, problems := DecodeFacts(nil, nil); problems != nil || f.Sets == nil || f.Flags == nil || f.Decisions == nil {
		t.Error("no facts are no problem")
	}
	_, problems := DecodeFacts(map[string]string{"version": "2", "sets.global": "{}"}, nil)
	if len(problems) != 1 || problems[0].Key != "version" {
		t.Error(problems)
	}
	public, private, _ := facts().Encode(isPassword)
	public["state"] = "{"
	public["sets.global"] = `{"h": {"ops": [{"op": "replace", "path": "/x"}]}}`
	private["facts.prometheus"] = []byte("hunter2")
	f, problems := DecodeFacts(public, private)
	var keys []string
	for _, p := range problems {
		keys = append(keys, p.Key)
		if strings.Contains(p.Message, "hunter2") {
			t.Errorf("a secret is shown: %s", p.Message)
		}
	}
	if d := cmp.Diff([]string{"state", "sets.global", "facts.prometheus"}, keys); d != "" {
		t.Error(d)
	}
	if len(f.Sets["prometheus"]) != 2 || f.Seq != 5 {
		t.Errorf("what can be read must stay: %+v", f)
	}
}

func FuzzDecodeFacts(f *testing.F) {
	public, private, _ := facts().Encode(isPassword)
	f.Add(public["state"], public["sets.prometheus"], private["facts.prometheus"])
	f.Add("null", "null", []byte("null"))
	f.Fuzz(func(t *testing.T, state, sets string, secret []byte) {
		got, _ := DecodeFacts(map[string]string{"version": FactsVersion, "state": state, "sets.a": sets}, map[string][]byte{"facts.a": secret})
		public, private, err := got.Encode(func(_, _ string, op values.Stamped) bool { return len(op.Path)%2 == 0 })
		if err != nil {
			t.Fatal(err)
		}
		again, problems := DecodeFacts(public, private)
		if problems != nil {
			t.Error(problems)
		}
		public2, private2, err := again.Encode(func(_, _ string, op values.Stamped) bool { return len(op.Path)%2 == 0 })
		if err != nil || !cmp.Equal(public, public2) || !cmp.Equal(private, private2) {
			t.Errorf("%v %s became %v %s (%v)", public, private, public2, private2, err)
		}
	})
}
