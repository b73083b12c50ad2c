// Package health compiles and evaluates expressions in CEL
// (https://cel.dev) that say whether an object is healthy. The one variable
// is `object`, as the API server shows it; macros and the string functions of cel-go
// are there. What an evaluation may cost is bounded.
package health

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
)

// costLimit bounds an evaluation: about the number of fields that it looks at.
const costLimit = 100_000

// maxLength bounds the text of an expression.
const maxLength = 8 << 10

// Program is a compiled expression. It may be used from many goroutines.
type Program struct {
	text    string
	program cel.Program
}

// Compile reads an expression. Its error says where it is wrong.
func Compile(text string) (*Program, error) {
	if len(text) > maxLength {
		return nil, fmt.Errorf("expected an expression of up to %d bytes, got %d", maxLength, len(text))
	}
	env, err := cel.NewEnv(cel.Variable("object", cel.DynType), cel.OptionalTypes(), ext.Strings(), cel.CrossTypeNumericComparisons(true))
	if err != nil {
		return nil, fmt.Errorf("CEL: %w", err)
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("expected a CEL expression over object: %w", err)
	}
	if t := ast.OutputType(); t != cel.BoolType && t != cel.DynType {
		return nil, fmt.Errorf("expected a CEL expression that answers true or false, this one answers %s", t)
	}
	program, err := env.Program(ast, cel.CostLimit(costLimit))
	if err != nil {
		return nil, fmt.Errorf("CEL: %w", err)
	}
	return &Program{text, program}, nil
}

// Healthy evaluates the expression on an object as decoded JSON. A field that is not
// there yet is an error: use has() or the optional object.?status to ask for it.
func (p *Program) Healthy(object map[string]any) (bool, error) {
	out, _, err := p.program.Eval(map[string]any{"object": object})
	if err != nil {
		return false, err
	}
	ok, isBool := out.Value().(bool)
	if !isBool {
		return false, fmt.Errorf("expected true or false, the expression answers %v", out.Type())
	}
	return ok, nil
}

// Says is why the object is not healthy by a check of this name; "" when it is.
func (p *Program) Says(name string, object map[string]any) string {
	ok, err := p.Healthy(object)
	switch {
	case err != nil:
		return fmt.Sprintf("%s: not yet: %v", name, err)
	case !ok:
		return fmt.Sprintf("%s: not true yet: %s", name, p.text)
	}
	return ""
}
