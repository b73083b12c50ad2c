package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"sync/atomic"

	"github.com/itchyny/gojq"
)

// Filter is a compiled jq program (C-142, C-143), safe for concurrent use. It
// sees no environment and loads no files. A run is bounded in time and memory.
type Filter struct {
	program string
	code    atomic.Pointer[gojq.Code]
	limits  limits
}

// CompileFilter compiles a jq program once, to be run on many objects.
func CompileFilter(program string) (*Filter, error) {
	query, err := gojq.Parse(program)
	if err != nil {
		return nil, fmt.Errorf("compile jqFilter: %w", err)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, fmt.Errorf("compile jqFilter: %w", err)
	}
	f := &Filter{program: program, limits: defaultLimits()}
	f.code.Store(code)
	return f, nil
}

// String is the source of the program.
func (f *Filter) String() string { return f.program }

// Share makes f run the compiled code of other, which must have the same source;
// otherwise it does nothing. So equal programs of many hooks are kept once.
func (f *Filter) Share(other *Filter) {
	if f.program == other.program {
		f.code.Store(other.code.Load())
	}
}

// Run returns the program's result for object as compact JSON with sorted keys:
// null without a result, the value of one, an array of several (C-142). The
// object is only read; it may hold what Kubernetes objects are decoded to.
//
// A program that has no result after 5 s, or that makes the process keep 256 MB
// more meanwhile, is ended with an error.
func (f *Filter) Run(object map[string]any) ([]byte, error) {
	result, err := f.run(object)
	if err != nil {
		return nil, err
	}
	return gojq.Marshal(result)
}

// Apply is Run for a program whose result is used as an object (JQPatch): the
// result shares nothing with object, and whole numbers in it are int64 (C-212).
func (f *Filter) Apply(object map[string]any) (any, error) {
	result, err := f.run(object)
	if err != nil {
		return nil, err
	}
	return fromJQ(result), nil
}

func (f *Filter) run(object map[string]any) (any, error) {
	input, _, err := toJQ(object)
	if err == nil {
		b := newBudget(f.limits)
		defer b.end()
		input, err = collect(f.code.Load().RunWithContext(b, input))
	}
	if err != nil {
		return nil, fmt.Errorf("jqFilter %q: %w", f.program, err)
	}
	return input, nil
}

// collect maps the results of a program to one value (C-142).
func collect(iter gojq.Iter) (any, error) {
	results := []any{}
	for {
		v, ok := iter.Next()
		if !ok {
			break
		}
		if err, isErr := v.(error); isErr {
			var halt *gojq.HaltError
			if errors.As(err, &halt) && halt.Value() == nil {
				break
			}
			return nil, err
		}
		results = append(results, v)
	}
	switch len(results) {
	case 0:
		return nil, nil
	case 1:
		return results[0], nil
	}
	return results, nil
}

// Numbers turns the whole numbers of a decoded object, in place, into the type
// that filters run on; Run then copies nothing. The object must be the caller's own.
func Numbers(object map[string]any) {
	for k, v := range object {
		switch v := v.(type) {
		case int64:
			object[k] = int(v)
		case map[string]any:
			Numbers(v)
		case []any:
			numbersOfList(v)
		}
	}
}

func numbersOfList(list []any) {
	for i, v := range list {
		switch v := v.(type) {
		case int64:
			list[i] = int(v)
		case map[string]any:
			Numbers(v)
		case []any:
			numbersOfList(v)
		}
	}
}

// toJQ gives gojq the number types that it knows. Only what lies above a number
// to convert is copied, for the object is shared with other readers; changed
// tells whether v was.
func toJQ(v any) (out any, changed bool, err error) {
	switch v := v.(type) {
	case nil, bool, string, int, float64, *big.Int, json.Number:
		return v, false, nil
	case int64:
		return int(v), true, nil
	case int32:
		return int(v), true, nil
	case float32:
		return float64(v), true, nil
	case map[string]any:
		return mapToJQ(v)
	case []any:
		return listToJQ(v)
	}
	return nil, false, fmt.Errorf("a %T cannot be given to jq: expected a JSON value", v)
}

func mapToJQ(m map[string]any) (any, bool, error) {
	var copied map[string]any
	for k, e := range m {
		next, changed, err := toJQ(e)
		if err != nil {
			return nil, false, err
		}
		if !changed {
			continue
		}
		if copied == nil {
			copied = make(map[string]any, len(m))
			for k, e := range m {
				copied[k] = e
			}
		}
		copied[k] = next
	}
	if copied == nil {
		return m, false, nil
	}
	return copied, true, nil
}

func listToJQ(list []any) (any, bool, error) {
	var copied []any
	for i, e := range list {
		next, changed, err := toJQ(e)
		if err != nil {
			return nil, false, err
		}
		if !changed {
			continue
		}
		if copied == nil {
			copied = append([]any(nil), list...)
		}
		copied[i] = next
	}
	if copied == nil {
		return list, false, nil
	}
	return copied, true, nil
}

// fromJQ deep-copies a result of gojq into int64, float64 and the other JSON types.
func fromJQ(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = fromJQ(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = fromJQ(e)
		}
		return out
	}
	return v
}
