package schema

import (
	"strings"
	"testing"

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

const ruledSchema = `
type: object
x-deckhouse-validations:
- {expression: self.min <= self.max, message: min must not exceed max}
- {expression: "self.max == oldSelf.max || self.max > oldSelf.max", message: max may only grow}
properties:
  min: {type: integer}
  max: {type: integer}
  share: {type: number, x-deckhouse-validations: [{expression: "self * 2.0 <= 10.0"}]}
  name: {type: string, x-kubernetes-validations: [{rule: self == oldSelf, message: name cannot be changed}]}
  zones:
    type: array
    x-deckhouse-validations: [{expression: "size(self) < 3", message: two zones at most}]
    items: {type: string, x-deckhouse-validations: [{expression: "self.startsWith('z')", message: a zone begins with z}]}
  pools:
    type: object
    additionalProperties:
      type: object
      properties: {size: {type: integer}}
      x-deckhouse-validations: [{expression: self.size > 0, message: a pool has nodes}]
`

// C-315.
func TestRulesAreCheckedBeforeTheSchema(t *testing.T) {
	set := load(t, ruledSchema, "")
	for name, c := range map[string]struct{ before, now, want string }{
		"holds":                                    {"", "min: 1\nmax: 2", ""},
		"fails at the root":                        {"", "min: 3\nmax: 2", "s: min must not exceed max"},
		"a key that is not there skips the rule":   {"", "min: 3", ""},
		"oldSelf needs an old value":               {"", "name: b\nmin: 1\nmax: 1", ""},
		"oldSelf holds":                            {"name: a\nmax: 1", "name: a\nmax: 2", ""},
		"oldSelf fails below":                      {"name: a", "name: b", "s.name: name cannot be changed"},
		"oldSelf fails at the root":                {"min: 1\nmax: 5", "min: 1\nmax: 4", "max may only grow"},
		"a key that was not there has no old one":  {"max: 1", "name: b", ""},
		"a whole number where floats are meant":    {"", "share: 4", ""},
		"a whole number that is too large there":   {"", "share: 6", "s.share: expected that self * 2.0 <= 10.0"},
		"a list":                                   {"", "zones: [za, zb, zc]", "s.zones: two zones at most"},
		"an element of a list":                     {"", "zones: [za, b]", "s.zones[1]: a zone begins with z"},
		"additional properties":                    {"", "pools: {a: {size: 1}, b: {size: 0}}", "s.pools.b: a pool has nodes"},
		"the first failure is told, not the types": {"", "min: 3\nmax: 2\nother: 1", "s: min must not exceed max"},
		"a wrong type, and no rule for it":         {"", "other: 1", "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			err := set.Config.Validate(section(t, c.now), "s")
			if c.before != "" {
				err = set.Config.ValidateChange(section(t, c.before), section(t, c.now), "s")
			}
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, expected %q", err, c.want)
			}
		})
	}
}

func TestAnExpressionThatIsNoneIsAnErrorWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"properties: {a: {x-deckhouse-validations: [{expression: 'self ==', message: x}]}}": "/properties/a/x-deckhouse-validations/0",
		"x-deckhouse-validations: [{expression: '1 + 1', message: x}]":                      "true or false",
		"x-deckhouse-validations: [{message: x}]":                                           "expected {expression",
		"x-deckhouse-validations: {expression: x}":                                          "expected a list",
		"x-deckhouse-validations: [{expression: other.a, message: x}]":                      "other",
	} {
		if _, err := Load([]byte("type: object\n"+text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, expected %q", text, err, want)
		}
	}
}

func TestARuleThatIsTooCostlyIsAnErrorNotAHang(t *testing.T) {
	set := load(t, "type: object\nx-deckhouse-validations: [{expression: 'self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, a + b + c + d >= 0))))', message: x}]\nproperties: {l: {type: array, items: {type: integer}}}", "")
	list := make([]any, 200)
	for i := range list {
		list[i] = int64(i)
	}
	if err := set.Config.Validate(values.Map{"l": list}, "s"); err == nil || !strings.Contains(err.Error(), "cost") {
		t.Errorf("got %v", err)
	}
}
