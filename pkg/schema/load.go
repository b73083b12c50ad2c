package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/addon-operator/addon-operator/pkg/values"
)

const (
	configFile = "config-values.yaml"
	valuesFile = "values.yaml"

	extExtend   = "x-extend"
	extSecret   = "x-secret"
	extHelm     = "x-required-for-helm"
	extPreserve = "x-kubernetes-preserve-unknown-fields"
)

// maxNodes bounds a schema after its references were resolved: references to
// references can multiply without end in a few lines of text.
const maxNodes = 100_000

// Load reads the text of config-values.yaml and values.yaml; nil is a file that
// does not exist and gives a nil schema (C-310). The error names the file and
// the place in it (C-318).
func Load(config, vals []byte) (Set, error) {
	var set Set
	configDoc, err := parse(configFile, config)
	if err != nil {
		return Set{}, err
	}
	valuesDoc, err := parse(valuesFile, vals)
	if err != nil {
		return Set{}, err
	}
	if valuesDoc != nil {
		if valuesDoc, err = set.extend(valuesDoc, configDoc); err != nil {
			return Set{}, fmt.Errorf("%s: %w", valuesFile, err)
		}
	}
	if set.Config, err = set.compile(configFile, configDoc); err != nil {
		return Set{}, err
	}
	if set.Values, err = set.compile(valuesFile, valuesDoc); err != nil {
		return Set{}, err
	}
	if set.Values != nil {
		helm := values.Clone(set.Values.doc).(values.Map)
		if err := requireForHelm(helm, ""); err != nil {
			return Set{}, fmt.Errorf("%s: %w", valuesFile, err)
		}
		if set.Helm, err = build(helm); err != nil {
			return Set{}, fmt.Errorf("%s: %w", valuesFile, err)
		}
	}
	set.secrets = secrets(set.Config, set.Values)
	return set.Hide(nil), nil
}

func parse(file string, text []byte) (values.Map, error) {
	if text == nil {
		return nil, nil
	}
	v, err := values.DecodeYAML(text)
	if err != nil {
		return nil, fmt.Errorf("%s: expected a schema in YAML: %w", file, err)
	}
	switch doc := v.(type) {
	case nil: // an empty file restricts nothing
		return nil, nil
	case values.Map:
		n := 0
		doc, err = resolve(doc, doc, nil, &n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return doc, nil
	}
	return nil, fmt.Errorf("%s: expected an object at the root, got %T", file, v)
}

// extend carries out x-extend (C-312). References were resolved in each file by
// itself, so that names in definitions cannot clash.
func (s *Set) extend(child, parent values.Map) (values.Map, error) {
	ext, ok := child[extExtend]
	if !ok {
		return child, nil
	}
	name, _ := values.Get(ext, "schema")
	if name != configFile {
		return nil, fmt.Errorf("%s: expected {schema: %s}, got %v", extExtend, configFile, ext)
	}
	if parent == nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s: %s names %s, which does not exist or is empty", valuesFile, extExtend, configFile))
		return child, nil
	}
	out := maps.Clone(child)
	for key, above := range parent {
		own, has := child[key]
		switch key {
		case "definitions", "properties", "patternProperties":
			above, _ := above.(values.Map)
			own, _ := own.(values.Map)
			both := maps.Clone(above)
			if both == nil {
				both = values.Map{}
			}
			maps.Copy(both, own)
			out[key] = both
		case "required":
			above, _ := above.([]any)
			own, _ := own.([]any)
			out[key] = union(own, above)
		case "title", "description":
			if !has {
				out[key] = above
			}
		default:
			if strings.HasPrefix(key, "x-") && !has {
				out[key] = above
			}
		}
	}
	return out, nil
}

func union(a, b []any) []any {
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(texts(out), fmt.Sprint(v)) {
			out = append(out, v)
		}
	}
	return out
}

func texts(list []any) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = fmt.Sprint(v)
	}
	return out
}

func (s *Set) compile(file string, doc values.Map) (*Schema, error) {
	if doc == nil {
		return nil, nil
	}
	doc = values.Clone(doc).(values.Map)
	if err := check(doc, ""); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	closeObjects(doc)
	out, err := build(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return out, nil
}

func build(doc values.Map) (*Schema, error) {
	slim := maps.Clone(doc)
	delete(slim, "definitions") // resolved already
	text, err := json.Marshal(slim)
	if err != nil {
		return nil, err
	}
	s := &spec.Schema{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("expected an OpenAPI schema: %w", err)
	}
	rules, err := compileRules(doc)
	if err != nil {
		return nil, err
	}
	return &Schema{doc: doc, spec: s, rules: rules}, nil
}

// resolve replaces {$ref: "#/…"} by what it points at, with the keys beside it
// on top. It returns a new tree.
func resolve(node, root values.Map, open []string, n *int) (values.Map, error) {
	if *n++; *n > maxNodes || len(open) > maxDepth {
		return nil, fmt.Errorf("expected at most %d schema nodes; simplify its $ref", maxNodes)
	}
	if ref, ok := node["$ref"].(string); ok {
		if slices.Contains(open, ref) {
			return nil, fmt.Errorf("$ref %s refers to itself: %s; schemas must be finite", ref, strings.Join(append(open, ref), " > "))
		}
		target, err := lookup(root, ref)
		if err != nil {
			return nil, err
		}
		open = append(slices.Clone(open), ref)
		beside := maps.Clone(node)
		delete(beside, "$ref")
		return resolve(values.Merge(target, beside), root, open, n)
	}
	out := maps.Clone(node)
	err := eachChild(node, func(c child) error {
		if c.where[0] == "definitions" {
			return nil
		}
		next, err := resolve(c.node, root, open, n)
		if err != nil {
			return err
		}
		c.put(out, next)
		return nil
	})
	return out, err
}

// maxDepth bounds how many references lead into each other.
const maxDepth = 64

func lookup(root values.Map, ref string) (values.Map, error) {
	rest, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, fmt.Errorf("$ref %s: expected a place in the same file, such as #/definitions/name", ref)
	}
	v, _ := values.Get(root, values.Pointer(rest)...)
	target, ok := v.(values.Map)
	if !ok {
		return nil, fmt.Errorf("$ref %s: there is no schema at that place", ref)
	}
	return target, nil
}

var knownTypes = []string{"object", "array", "string", "number", "integer", "boolean", "null"}

// check reports what the validator would panic on or silently pass over.
func check(node values.Map, at string) error {
	where := at
	if where == "" {
		where = "the root"
	}
	types, ok := typesOf(node)
	for _, t := range types {
		ok = ok && slices.Contains(knownTypes, t)
	}
	if !ok {
		return fmt.Errorf("%s: type: expected one of %s, got %v", where, strings.Join(knownTypes, ", "), node["type"])
	}
	if err := checkPatterns(node); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if m, ok := number(node["multipleOf"]); ok && m <= 0 {
		return fmt.Errorf("%s: multipleOf: expected a positive number, got %v", where, m)
	}
	if err := checkShapes(node); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return eachChild(node, func(c child) error { return check(c.node, at+"/"+strings.Join(c.where, "/")) })
}

func checkPatterns(node values.Map) error {
	if p, ok := node["pattern"].(string); ok {
		if _, err := regexp.Compile(p); err != nil {
			return fmt.Errorf("pattern: %w", err)
		}
	}
	byPattern, _ := node["patternProperties"].(values.Map)
	for p := range byPattern {
		if _, err := regexp.Compile(p); err != nil {
			return fmt.Errorf("patternProperties: %w", err)
		}
	}
	return nil
}

// checkShapes: subschemas must be objects where they are objects by definition.
func checkShapes(node values.Map) error {
	for _, key := range []string{"properties", "patternProperties", "definitions"} {
		v, ok := node[key]
		if !ok {
			continue
		}
		m, ok := v.(values.Map)
		if !ok {
			return fmt.Errorf("%s: expected an object, got %T", key, v)
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if _, ok := m[name].(values.Map); !ok {
				return fmt.Errorf("%s: %s: expected a schema, got %T", key, name, m[name])
			}
		}
	}
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		list, ok := node[key].([]any)
		if node[key] != nil && !ok {
			return fmt.Errorf("%s: expected a list of schemas, got %T", key, node[key])
		}
		for i, v := range list {
			if _, ok := v.(values.Map); !ok {
				return fmt.Errorf("%s: %d: expected a schema, got %T", key, i, v)
			}
		}
	}
	if p, ok := node["pattern"]; ok {
		if _, isText := p.(string); !isText {
			return errors.New("pattern: expected text")
		}
	}
	return nil
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// typesOf is the value of type as a list; false if it has another form.
func typesOf(node values.Map) ([]string, bool) {
	switch t := node["type"].(type) {
	case nil:
		return nil, true
	case string:
		return []string{t}, true
	case []any:
		var out []string
		for _, e := range t {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			out = append(out, s)
		}
		return out, true
	}
	return nil, false
}

func isObject(node values.Map) bool {
	types, _ := typesOf(node)
	if types == nil {
		_, props := node["properties"]
		_, patterns := node["patternProperties"]
		return props || patterns
	}
	return slices.Contains(types, "object")
}

// closeObjects sets additionalProperties to false where an object schema says
// nothing about it; below one that does, nothing is set (C-311). Alternatives
// (allOf, anyOf, oneOf, not) are left open: they describe parts of an object.
func closeObjects(node values.Map) {
	if _, explicit := node["additionalProperties"]; explicit || node[extPreserve] == true {
		return
	}
	if isObject(node) {
		node["additionalProperties"] = false
	}
	_ = eachChild(node, func(c child) error {
		switch c.where[0] {
		case "properties", "patternProperties", "items":
			closeObjects(c.node)
		}
		return nil
	})
}

// requireForHelm adds x-required-for-helm to required at every level (C-313).
func requireForHelm(node values.Map, at string) error {
	var names []any
	switch ext := node[extHelm].(type) {
	case nil:
	case string:
		names = []any{ext}
	case []any:
		names = ext
	default:
		return fmt.Errorf("%s/%s: expected a name or a list of names, got %v", at, extHelm, ext)
	}
	for _, name := range names {
		if _, ok := name.(string); !ok {
			return fmt.Errorf("%s/%s: expected names, got %v", at, extHelm, name)
		}
	}
	if len(names) > 0 {
		required, _ := node["required"].([]any)
		node["required"] = union(required, names)
	}
	return eachChild(node, func(c child) error { return requireForHelm(c.node, at+"/"+strings.Join(c.where, "/")) })
}
