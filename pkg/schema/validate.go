package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	kerrors "k8s.io/kube-openapi/pkg/validation/errors"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Error is everything in a section that its schema refuses (C-317).
type Error struct {
	// Violations are messages that start with the dotted path from the root,
	// sorted. They repeat the value, unless it is secret.
	Violations []string
}

// Error joins the violations.
func (e *Error) Error() string { return strings.Join(e.Violations, "; ") }

// Validate reports all violations at once as an *Error (C-317). root is the
// values key, with which every path starts. Defaults are not filled in.
//
// Rules (C-315) come first, and the first that fails is all that is told. Those that
// speak of oldSelf are passed over: see ValidateChange.
func (s *Schema) Validate(section values.Map, root string) error {
	return s.validate(section, nil, false, root)
}

// ValidateChange is Validate for a section that takes the place of another one.
func (s *Schema) ValidateChange(before, section values.Map, root string) error {
	return s.validate(section, before, true, root)
}

func (s *Schema) validate(section, before values.Map, known bool, root string) error {
	if s == nil {
		return nil
	}
	if err := s.rules.check(section, before, known, root); err != nil {
		return &Error{Violations: []string{err.Error()}}
	}
	list, err := s.violations(section, root)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	return &Error{Violations: slices.Compact(list)}
}

// violations keeps a panic of the validator, which it uses as API, from ending the process.
func (s *Schema) violations(section values.Map, root string) (list []string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: the schema cannot be evaluated: %v", root, r)
		}
	}()
	if section == nil {
		section = values.Map{}
	}
	v := validate.NewSchemaValidator(s.spec, nil, root, strfmt.Default)
	for _, e := range v.Validate(plain(section)).Errors {
		list = append(list, s.describe(e, section, root)...)
	}
	return list, nil
}

// describe takes out of the validator's messages what they say about HTTP
// bodies, and has them repeat the value where it may be shown.
func (s *Schema) describe(err error, section values.Map, root string) []string {
	var all *kerrors.CompositeError
	if errors.As(err, &all) && len(all.Errors) > 0 {
		var out []string
		for _, e := range all.Errors {
			out = append(out, s.describe(e, section, root)...)
		}
		return out
	}
	var v *kerrors.Validation
	if !errors.As(err, &v) {
		return []string{err.Error()}
	}
	text := strings.Replace(err.Error(), " in "+v.In+" ", " ", 1)
	text = strings.TrimSuffix(text, fmt.Sprintf(": %q", v.Value))
	if got := shown(section, s.hidden, root, v.Name); got != "" && v.Code() != kerrors.RequiredFailCode {
		text += ", got " + got
	}
	return []string{text}
}

// maxExact is the largest whole number up to which float64 is exact.
const maxExact = 1 << 53

// plain returns a copy with the number type that encoding/json decodes to, which
// the validator compares enum entries with. Larger whole numbers stay.
func plain(v any) any {
	switch v := v.(type) {
	case values.Map:
		out := make(values.Map, len(v))
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case int64:
		if v > -maxExact && v < maxExact {
			return float64(v)
		}
	}
	return v
}
