package schema

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/values"
)

func load(t testing.TB, config, vals string) Set {
	t.Helper()
	var c, v []byte
	if config != "" {
		c = []byte(config)
	}
	if vals != "" {
		v = []byte(vals)
	}
	set, err := Load(c, v)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func doc(t testing.TB, text string) values.Map {
	t.Helper()
	v, err := values.DecodeYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := v.(values.Map)
	return m
}

// violations returns what the schema refuses in text.
func violations(t testing.TB, s *Schema, text string) []string {
	t.Helper()
	err := s.Validate(doc(t, text), "prometheus")
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	return e.Violations
}

func TestNoFileAcceptsEverything(t *testing.T) { // C-310
	for _, text := range []string{"", "\n", "# a comment"} {
		var set Set
		if text == "" {
			set = load(t, "", "")
		} else {
			set = load(t, text, text)
		}
		if got := violations(t, set.Config, "a: 1"); got != nil {
			t.Error(got)
		}
		if d := cmp.Diff(values.Map{"a": int64(1)}, set.Helm.Default(values.Map{"a": int64(1)})); d != "" {
			t.Error(d)
		}
		if set.IsSecret("/a") || len(set.SecretPaths()) > 0 {
			t.Error("there are no secrets")
		}
		if d := cmp.Diff(values.Map{"a": int64(1)}, set.MaskSecrets(values.Map{"a": int64(1)})); d != "" {
			t.Error(d)
		}
	}
}

// C-311, C-317.
func TestViolationsAreReportedAtOnceWithTheirPaths(t *testing.T) {
	set := load(t, `
type: object
required: [name]
properties:
  name: {type: string}
  retention: {type: string, pattern: '^[0-9]+d$'}
  count: {type: integer, minimum: 1}
  mode: {type: string, enum: [a, b]}
  level: {type: integer, enum: [1, 2]}
  when: {type: string, format: date}
  auth: {type: object, properties: {user: {type: string}}}
  list: {type: array, items: {type: object, properties: {a: {type: string}}}}
  maybe: {type: boolean, nullable: true}
  big: {type: integer}
`, "")
	got := violations(t, set.Config, `
retention: 15x
count: 0
mode: c
level: 3
when: hush
auth: {user: 1, pass: x}
list: [{a: b}, {b: 1}]
unknown: 1
`)
	want := []string{
		"prometheus.auth.pass is a forbidden property",
		`prometheus.auth.user must be of type string`,
		"prometheus.count should be greater than or equal to 1, got 0",
		"prometheus.level should be one of [1 2], got 3",
		"prometheus.list[1].b is a forbidden property",
		`prometheus.mode should be one of [a b], got "c"`,
		"prometheus.name is required",
		`prometheus.retention should match '^[0-9]+d$', got "15x"`,
		"prometheus.unknown is a forbidden property",
		`prometheus.when must be of type date, got "hush"`,
	}
	for i := range got {
		if strings.HasPrefix(got[i], "prometheus.auth.user must be of type string") {
			got[i] = "prometheus.auth.user must be of type string"
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := violations(t, set.Config, "name: x\nlevel: 2\nmaybe: null\ncount: 3\nbig: 9007199254740995\nretention: 1d\nwhen: '2020-01-02'"); got != nil {
		t.Error(got)
	}
	err := set.Config.Validate(doc(t, "a: 1\nb: 2"), "prometheus")
	if err == nil || strings.Count(err.Error(), ";") != 2 {
		t.Errorf("expected three violations in one message, got %v", err)
	}
}

func TestUnknownKeysAreForbiddenUnlessTheSchemaSaysOtherwise(t *testing.T) { // C-311
	set := load(t, `
type: object
properties:
  closed: {type: object, properties: {a: {type: object, properties: {b: {}}}}}
  open: {type: object, additionalProperties: true}
  byType: {type: object, additionalProperties: {type: integer}}
  below:
    type: object
    additionalProperties: {type: object, properties: {a: {type: object, properties: {}}}}
  preserved: {type: object, x-kubernetes-preserve-unknown-fields: true}
  patterned: {type: object, patternProperties: {'^x-': {type: string}}}
  anything: {}
  choice:
    type: object
    properties: {a: {type: string}, b: {type: string}}
    oneOf: [{required: [a]}, {required: [b]}]
  items: {type: array, items: {type: object, properties: {a: {}}}}
`, "")
	for text, want := range map[string]string{
		"closed: {a: {b: 1}}":              "",
		"closed: {a: {c: 1}}":              "prometheus.closed.a.c is a forbidden property",
		"closed: {a: {b: {any: 1}}}":       "",
		"open: {a: {b: 1}}":                "",
		"byType: {a: 1}":                   "",
		"byType: {a: x}":                   "prometheus.byType.a must be of type integer",
		"below: {k: {a: {z: 1}, more: 1}}": "",
		"preserved: {a: 1}":                "",
		"patterned: {x-a: b}":              "",
		"patterned: {x-a: 1}":              "prometheus.patterned.x-a must be of type string",
		"patterned: {zz: b}":               "prometheus.patterned.zz is a forbidden property",
		"anything: {a: [1, {b: c}]}":       "",
		"choice: {a: x}":                   "",
		"choice: {a: x, b: y}":             "oneOf",
		"choice: {c: x}":                   "prometheus.choice.c is a forbidden property",
		"items: [{a: 1}]":                  "",
		"items: [{b: 1}]":                  "prometheus.items[0].b is a forbidden property",
	} {
		got := strings.Join(violations(t, set.Config, text), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: expected %q, got %q", text, want, got)
		}
	}
}

func TestDefaultsFillAbsentKeysOnly(t *testing.T) { // C-314, C-298
	set := load(t, `
type: object
properties:
  retention: {type: string, default: 15d}
  count: {type: integer, default: 3}
  storage: {type: object, default: {}, properties: {size: {type: string, default: 20Gi}, deep: {type: object, default: {}, properties: {x: {default: 1}}}}}
  absent: {type: object, properties: {a: {default: 1}}}
  list: {type: array, items: {type: object, properties: {a: {default: 1}}}}
  byKey: {type: object, additionalProperties: {type: object, properties: {a: {default: 1}}}}
  partial: {type: object, default: {a: 5}, properties: {a: {default: 1}, b: {default: 2}}}
  composed: {type: object, default: {}, allOf: [{properties: {c: {default: 9}}}]}
`, "")
	in := doc(t, "count: null\nstorage: {size: 1Gi}\nlist: [{}, {a: 2}]\nbyKey: {k: {}}")
	before := values.Clone(in)
	want := doc(t, `
retention: 15d
count: null
storage: {size: 1Gi, deep: {x: 1}}
list: [{a: 1}, {a: 2}]
byKey: {k: {a: 1}}
partial: {a: 5, b: 2}
composed: {c: 9}
`)
	got := set.Config.Default(in)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(before, any(in)); d != "" {
		t.Errorf("the section itself was changed: %s", d)
	}
	got["storage"].(values.Map)["deep"].(values.Map)["x"] = "spoilt"
	got["partial"].(values.Map)["a"] = "spoilt"
	if d := cmp.Diff(want, set.Config.Default(in)); d != "" {
		t.Errorf("a caller changed the schema's defaults: %s", d)
	}
}

func TestExtendCopiesFromTheConfigSchema(t *testing.T) { // C-312
	set := load(t, `
type: object
title: above
description: above
required: [a]
x-required-for-helm: a
definitions: {num: {type: integer}}
properties:
  a: {$ref: '#/definitions/num'}
  b: {type: string}
patternProperties: {'^p': {type: string}}
`, `
x-extend: {schema: config-values.yaml}
type: object
description: own
required: [c]
definitions: {num: {type: boolean}}
properties:
  b: {type: integer}
  c: {$ref: '#/definitions/num'}
`)
	if got := violations(t, set.Values, "a: 1\nb: 2\nc: true\npx: text"); got != nil {
		t.Error(got)
	}
	want := []string{
		"prometheus.a is required", `prometheus.b must be of type integer, got "text"`, "prometheus.c is required",
		"prometheus.z is a forbidden property",
	}
	got := violations(t, set.Values, "b: text\nz: 1")
	for i := range got {
		got[i], _, _ = strings.Cut(got[i], ": ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if set.Values.doc["title"] != "above" || set.Values.doc["description"] != "own" {
		t.Error("title comes from above, description is its own")
	}
	if got := violations(t, set.Config, "a: 1\nb: text"); got != nil {
		t.Errorf("the config schema was changed: %v", got)
	}
	lonely := load(t, "", "x-extend: {schema: config-values.yaml}\ntype: object")
	if len(lonely.Warnings) != 1 {
		t.Error("expected a warning for a schema to extend that does not exist")
	}
}

func TestRequiredForHelmConcernsOnlyTheHelmSchema(t *testing.T) { // C-313
	set := load(t, "type: object\nproperties: {auth: {type: object, x-required-for-helm: [password], properties: {password: {type: string}}}}",
		"x-extend: {schema: config-values.yaml}\ntype: object\nx-required-for-helm: internal\nproperties: {internal: {type: object}}")
	text := "auth: {}"
	if got := violations(t, set.Values, text); got != nil {
		t.Error(got)
	}
	want := []string{"prometheus.auth.password is required", "prometheus.internal is required"}
	if d := cmp.Diff(want, violations(t, set.Helm, text)); d != "" {
		t.Error(d)
	}
}

func TestAnInvalidSchemaNamesTheFileAndThePlace(t *testing.T) { // C-318
	for text, want := range map[string]string{
		"a: [":       "YAML",
		"[]":         "object at the root",
		"type: text": "type",
		"type: 1":    "type",
		"type: object\nproperties: {a: {type: strin}}":                         "/properties/a",
		"type: object\nproperties: {a: {pattern: '('}}":                        "pattern",
		"type: object\nproperties: {a: {pattern: 1}}":                          "pattern",
		"type: object\npatternProperties: {'(': {}}":                           "patternProperties",
		"type: object\nproperties: []":                                         "properties",
		"type: object\nproperties: {a: 1}":                                     "properties: a",
		"type: object\noneOf: {}":                                              "oneOf",
		"type: object\nrequired: yes":                                          "schema",
		"type: object\nminLength: x":                                           "schema",
		"type: object\nproperties: {a: {multipleOf: 0}}":                       "multipleOf",
		"$ref: '#/definitions/a'":                                              "no schema at that place",
		"$ref: other.yaml":                                                     "same file",
		"definitions: {a: {$ref: '#/definitions/a'}}\n$ref: '#/definitions/a'": "itself",
	} {
		_, err := Load([]byte(text), nil)
		if err == nil || !strings.Contains(err.Error(), "config-values.yaml") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: expected an error with %q, got %v", text, want, err)
		}
		if _, err := Load(nil, []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "values.yaml") {
			t.Errorf("%s: expected an error with the other file's name, got %v", text, err)
		}
	}
	if _, err := Load(nil, []byte("x-extend: {schema: else.yaml}")); err == nil {
		t.Error("only config-values.yaml can be extended")
	}
	if _, err := Load(nil, []byte("x-required-for-helm: 1")); err == nil {
		t.Error("x-required-for-helm is a name or a list of names")
	}
}

const withSecrets = `
type: object
properties:
  auth:
    type: object
    properties:
      user: {type: string}
      password: {type: string, x-secret: true}
  byKey: {type: object, additionalProperties: {type: object, properties: {token: {x-secret: true}, host: {}}}}
  list: {type: array, items: {type: object, properties: {key: {x-secret: true}, name: {}}}}
  whole: {type: object, x-secret: true, additionalProperties: true}
  patterned: {type: object, patternProperties: {'^secret': {x-secret: true}, '^open': {}}}
  plain: {type: string}
`

const secretDoc = `
auth: {user: u, password: p}
byKey: {a: {token: t, host: h}, b: {host: h}}
list: [{name: n, key: k}]
whole: {a: 1}
patterned: {secretA: 1, openB: 2}
plain: x
`

func TestSecretLeavesAreSplitAndPutTogetherAgain(t *testing.T) {
	set := load(t, withSecrets, "")
	in := doc(t, secretDoc)
	public, secret := set.SplitSecrets(in)
	if d := cmp.Diff(doc(t, "auth: {user: u}\nbyKey: {a: {host: h}, b: {host: h}}\npatterned: {openB: 2}\nplain: x"), public); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(doc(t, "auth: {password: p}\nbyKey: {a: {token: t}}\nlist: [{name: n, key: k}]\nwhole: {a: 1}\npatterned: {secretA: 1}"), secret); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(in, MergeSecrets(public, secret)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(doc(t, secretDoc), in); d != "" {
		t.Errorf("the section was changed: %s", d)
	}
	if p, s := set.SplitSecrets(nil); len(p) != 0 || s != nil {
		t.Errorf("nothing splits into nothing, got %v and %v", p, s)
	}
	if _, s := set.SplitSecrets(doc(t, "plain: x\nlist: [{name: n}]")); s != nil {
		t.Errorf("there is no secret leaf, got %v", s)
	}
	if got := MergeSecrets(doc(t, "auth: {password: new}"), doc(t, "auth: {password: old}")); got["auth"].(values.Map)["password"] != "new" {
		t.Error("what the user wrote must win")
	}
}

func TestSecretLeavesAreMasked(t *testing.T) {
	set := load(t, "type: object", withSecrets)
	want := doc(t, `
auth: {user: u, password: "*****"}
byKey: {a: {token: "*****", host: h}, b: {host: h}}
list: [{name: n, key: "*****"}]
whole: "*****"
patterned: {secretA: "*****", openB: 2}
plain: x
`)
	if d := cmp.Diff(want, set.MaskSecrets(doc(t, secretDoc))); d != "" {
		t.Error(d)
	}
}

func TestSecretPaths(t *testing.T) {
	set := load(t, withSecrets, "type: object\nproperties: {internal: {type: object, properties: {cert: {x-secret: true}}}}")
	want := []string{"auth.password", "byKey.*.token", "internal.cert", "list.*.key", "patterned.*", "whole"}
	if d := cmp.Diff(want, set.SecretPaths()); d != "" {
		t.Error(d)
	}
	for path, want := range map[string]bool{
		"": true, "/": true, "/auth": true, "/auth/password": true, "/auth/password/x": true, "/auth/user": false,
		"/byKey": true, "/byKey/x": true, "/byKey/x/token": true, "/byKey/x/host": false,
		"/list/-": true, "/list/0/key": true, "/list/0/name": false,
		"/whole/a/b": true, "/patterned/secretX": true, "/patterned/openX": false, "/plain": false, "/internal": true,
	} {
		if got := set.IsSecret(path); got != want {
			t.Errorf("IsSecret(%q) is %v", path, got)
		}
	}
}

const violated = `
type: object
properties:
  p: {type: string, format: uuid, x-secret: true}
  q: {type: string, minLength: 50}
  m: {type: string}
  s: {type: object, x-secret: true, properties: {in: {type: integer}}}
  l: {type: array, items: {type: object, properties: {size: {type: integer}, key: {type: integer, x-secret: true}}}}
  "a.b": {type: integer, maximum: 9}
  r: {type: object, required: [x], properties: {x: {}}}
`

func TestViolationsShowTheValueUnlessItIsSecret(t *testing.T) {
	set := load(t, violated, "")
	text := "p: hunter2\nq: short\nm: {hunter2: hunter2}\ns: {in: hunter2}\nl: [{size: 1, key: hunter2}, {size: big}]\na.b: 42\nr: {}"
	want := []string{
		"prometheus.a.b should be less than or equal to 9, got 42",
		"prometheus.l[0].key must be of type integer",
		"prometheus.l[1].size must be of type integer, got \"big\"",
		"prometheus.m must be of type string",
		"prometheus.p must be of type uuid",
		"prometheus.q should be at least 50 chars long, got \"short\"",
		"prometheus.r.x is required",
		"prometheus.s.in must be of type integer",
	}
	cut := func(list []string) (out []string) {
		for _, v := range list {
			v, _, _ = strings.Cut(v, ": ")
			out = append(out, v)
		}
		return out
	}
	if d := cmp.Diff(want, cut(violations(t, set.Config, text))); d != "" {
		t.Error(d)
	}
	hidden := set.Hide(doc(t, "q: x\na.b: 1\nl: [1]"))
	got := strings.Join(violations(t, hidden.Config, text), "\n")
	for _, value := range []string{"short", "42", "big", "hunter2"} {
		if strings.Contains(got, value) {
			t.Errorf("%s came from a Secret, and is in %s", value, got)
		}
	}
}

func TestWhatCameFromASecretIsSecret(t *testing.T) {
	set := load(t, withSecrets, "").Hide(doc(t, "plain: x\ndeep: {a: {b: 1}}\nnone: {}"))
	for path, want := range map[string]bool{"/plain": true, "/deep/a": true, "/deep/a/b": true, "/deep/a/c": false, "/none": true, "/auth/password": true, "/auth/user": false} {
		if got := set.IsSecret(path); got != want {
			t.Errorf("IsSecret(%q) is %v", path, got)
		}
	}
	section := doc(t, "plain: x\ndeep: {a: {b: 1, c: 2}}\nauth: {user: u, password: p}")
	if d := cmp.Diff(doc(t, "plain: '*****'\ndeep: {a: {b: '*****', c: 2}}\nauth: {user: u, password: '*****'}"), set.MaskSecrets(section)); d != "" {
		t.Error(d)
	}
	if got := set.Secrets(section); len(got) != 3 {
		t.Errorf("expected three secret values, got %v", got)
	}
	for pointer, want := range map[string]int{"": 3, "/auth": 0, "/auth/password": 1, "/deep/a": 0} {
		if got := set.SecretsAt(pointer, section); len(got) != want {
			t.Errorf("at %q: %v", pointer, got)
		}
	}
	if got := (Set{}).Hide(nil).Secrets(section); got != nil {
		t.Errorf("nothing is secret there: %v", got)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(withSecrets), []byte("x-extend: {schema: config-values.yaml}\ntype: object"), secretDoc)
	f.Add([]byte("definitions: {a: {type: string}}\nproperties: {b: {$ref: '#/definitions/a', default: x}}"), []byte(nil), "b: 1")
	f.Add([]byte("type: [object, 'null']\nitems: [{type: string}]\nnot: {}\nanyOf: [{enum: [1, null]}]"), []byte("dependencies: {a: [b]}"), "a: [1]")
	f.Fuzz(func(t *testing.T, config, vals []byte, section string) {
		set, err := Load(config, vals)
		if err != nil {
			return
		}
		v, err := values.DecodeYAML([]byte(section))
		in, ok := v.(values.Map)
		if err != nil || !ok {
			return
		}
		for _, s := range []*Schema{set.Config, set.Values, set.Helm} {
			_ = s.Validate(s.Default(in), "x")
		}
		public, secret := set.SplitSecrets(in)
		if d := cmp.Diff(in, MergeSecrets(public, secret)); d != "" {
			t.Errorf("split and merged is not the same: %s", d)
		}
		if again, more := set.SplitSecrets(public); more != nil {
			t.Errorf("a secret was left in %v: %v", again, more)
		}
		set.MaskSecrets(in)
		for _, path := range set.SecretPaths() {
			set.IsSecret("/" + strings.ReplaceAll(path, ".", "/"))
		}
	})
}
