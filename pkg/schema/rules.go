package schema

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// extRules and the key that CRDs use hold CEL rules of a node (C-315):
//
//	x-deckhouse-validations: [{expression: self.min <= self.max, message: min must not exceed max}]
//	x-kubernetes-validations: [{rule: …, message: …}]
const (
	extRules      = "x-deckhouse-validations"
	extKubernetes = "x-kubernetes-validations"
)

// ruleCost bounds the evaluation of one rule, in the units of CEL: a rule over a long
// list of long lists must not hold up the process.
const ruleCost = 300_000

// rule is one compiled CEL rule.
type rule struct {
	program    cel.Program
	expression string
	message    string
	old        bool // it speaks of oldSelf
}

// ruled is the rules of a schema node and of those below; nil where there are none.
type ruled struct {
	rules      []rule
	properties map[string]*ruled
	patterns   []patternRules
	additional *ruled
	items      *ruled
	tuple      []*ruled
	all        []*ruled // allOf
}

type patternRules struct {
	name  *regexp.Regexp
	rules *ruled
}

// compileRules reads the rules of a schema; an expression that is none is an error that names its place.
func compileRules(doc values.Map) (*ruled, error) {
	if !mentionsRules(doc) {
		return nil, nil
	}
	env, err := cel.NewEnv(cel.Variable("self", cel.DynType), cel.Variable("oldSelf", cel.DynType),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Lists())
	if err != nil {
		return nil, err
	}
	return rulesOf(env, doc, "")
}

func mentionsRules(node values.Map) bool {
	if node[extRules] != nil || node[extKubernetes] != nil {
		return true
	}
	found := false
	_ = eachChild(node, func(c child) error {
		found = found || mentionsRules(c.node)
		return nil
	})
	return found
}

func rulesOf(env *cel.Env, node values.Map, at string) (*ruled, error) {
	r := &ruled{properties: map[string]*ruled{}}
	var err error
	if r.rules, err = ownRules(env, node, at); err != nil {
		return nil, err
	}
	empty := len(r.rules) == 0
	err = eachChild(node, func(c child) error {
		below, err := rulesOf(env, c.node, at+"/"+strings.Join(c.where, "/"))
		if err != nil || below == nil {
			return err
		}
		if r.put(c, below) {
			empty = false
		}
		return nil
	})
	if err != nil || empty {
		return nil, err
	}
	return r, nil
}

// put keeps the rules of a node below where values are. Alternatives (anyOf, oneOf,
// not) are no such place: a rule there would have to decide which one applies.
func (r *ruled) put(c child, below *ruled) bool {
	switch keyword := c.where[0]; {
	case keyword == "properties":
		r.properties[c.where[1]] = below
	case keyword == "patternProperties":
		name, err := regexp.Compile(c.where[1])
		if err != nil {
			return false // check has told
		}
		r.patterns = append(r.patterns, patternRules{name, below})
	case keyword == "additionalProperties":
		r.additional = below
	case keyword == "items" && len(c.where) == 1:
		r.items = below
	case keyword == "items":
		r.tuple = append(r.tuple, below)
	case keyword == "allOf":
		r.all = append(r.all, below)
	default:
		return false
	}
	return true
}

// ownRules compiles the rules of one node.
func ownRules(env *cel.Env, node values.Map, at string) ([]rule, error) {
	var out []rule
	for _, key := range []string{extRules, extKubernetes} {
		list, ok := node[key].([]any)
		if !ok && node[key] != nil {
			return nil, fmt.Errorf("%s/%s: expected a list of {expression, message}, got %v", at, key, node[key])
		}
		for i, e := range list {
			r, err := compileRule(env, e)
			if err != nil {
				return nil, fmt.Errorf("%s/%s/%d: %w", at, key, i, err)
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func compileRule(env *cel.Env, e any) (rule, error) {
	m, _ := e.(values.Map)
	text, _ := m["expression"].(string)
	if text == "" {
		text, _ = m["rule"].(string)
	}
	if text == "" {
		return rule{}, fmt.Errorf("expected {expression: CEL, message: text}, got %v", e)
	}
	message, _ := m["message"].(string)
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return rule{}, fmt.Errorf("expression %q: %w", text, issues.Err())
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return rule{}, fmt.Errorf("expression %q: expected one that is true or false, it is %s", text, t)
	}
	program, err := env.Program(ast, cel.CostLimit(ruleCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return rule{}, fmt.Errorf("expression %q: %w", text, err)
	}
	r := rule{program: program, expression: text, message: message}
	for _, ref := range ast.NativeRep().ReferenceMap() {
		r.old = r.old || ref.Name == "oldSelf"
	}
	return r, nil
}

// check evaluates the rules of a value and of what is below it. It stops at the first
// that fails. before is the value that was there; known is false where there was none.
func (r *ruled) check(v, before any, known bool, at string) error {
	if r == nil {
		return nil
	}
	for _, rule := range r.rules {
		if err := rule.check(v, before, known, at); err != nil {
			return err
		}
	}
	for _, part := range r.all {
		if err := part.check(v, before, known, at); err != nil {
			return err
		}
	}
	switch v := v.(type) {
	case values.Map:
		return r.checkObject(v, before, at)
	case []any:
		return r.checkArray(v, before, at)
	}
	return nil
}

func (r *ruled) checkObject(v values.Map, before any, at string) error {
	old, _ := before.(values.Map)
	for _, name := range slices.Sorted(maps.Keys(v)) {
		was, known := old[name]
		for _, below := range r.below(name) {
			if err := below.check(v[name], was, known, at+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// below are the rules that concern a key, as schemasOf finds schemas.
func (r *ruled) below(name string) []*ruled {
	var out []*ruled
	if sub := r.properties[name]; sub != nil {
		out = append(out, sub)
	}
	for _, p := range r.patterns {
		if p.name.MatchString(name) {
			out = append(out, p.rules)
		}
	}
	if len(out) == 0 && r.additional != nil {
		out = append(out, r.additional)
	}
	return out
}

// checkArray compares no elements with those before: which one was which, a list does not tell.
func (r *ruled) checkArray(v []any, _ any, at string) error {
	for i, e := range v {
		below := r.items
		if below == nil && i < len(r.tuple) {
			below = r.tuple[i]
		}
		if err := below.check(e, nil, false, fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

func (r rule) check(v, before any, known bool, at string) error {
	if r.old && !known {
		return nil
	}
	ok, err := r.eval(v, before)
	if err != nil && strings.Contains(err.Error(), "no such overload") {
		// All numbers of a schema's author may be meant as floating point: self.size * 1.5.
		ok, err = r.eval(floats(v), floats(before))
	}
	switch {
	case err != nil && strings.Contains(err.Error(), "no such key"):
		return nil
	case err != nil:
		return fmt.Errorf("%s: rule %q cannot be evaluated: %w", at, r.expression, err)
	case ok:
		return nil
	case r.message != "":
		return fmt.Errorf("%s: %s", at, r.message)
	}
	return fmt.Errorf("%s: expected that %s", at, r.expression)
}

func (r rule) eval(v, before any) (bool, error) {
	out, _, err := r.program.Eval(map[string]any{"self": v, "oldSelf": before})
	if err != nil {
		return false, err
	}
	ok, isBool := out.Value().(bool)
	if !isBool {
		return false, errors.New("expected true or false, got " + out.Type().TypeName())
	}
	return ok, nil
}

// floats returns a copy in which whole numbers are floating point.
func floats(v any) any {
	switch v := v.(type) {
	case values.Map:
		out := make(values.Map, len(v))
		for k, e := range v {
			out[k] = floats(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = floats(e)
		}
		return out
	case int64:
		return float64(v)
	}
	return v
}
