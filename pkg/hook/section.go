package hook

import (
	"fmt"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// EnabledSuffix ends the keys of enabled flags.
const EnabledSuffix = "Enabled"

// Flags are dynamic enabled flags by the module's values key; nil takes a flag back (C-328).
type Flags map[string]*bool

// Sort parts a patch of an owner's hook: operations on the owner's section, and
// for global hooks dynamic enabled flags. Any other path is an error (C-322).
func Sort(o Owner, ops []values.Op) ([]values.Op, Flags, error) {
	var own []values.Op
	flags := Flags{}
	section := o.Section()
	for _, op := range ops {
		path := values.Pointer(op.Path)
		switch {
		case o.IsStandalone():
			return nil, nil, fmt.Errorf("unacceptable patch operation for path '%s': there are no values without modules", op.Path)
		case path[0] == section:
			own = append(own, op)
		case o.IsGlobal() && len(path) == 1 && strings.HasSuffix(path[0], EnabledSuffix) && path[0] != EnabledSuffix:
			on, err := enabledValue(op)
			if err != nil {
				return nil, nil, err
			}
			flags[strings.TrimSuffix(path[0], EnabledSuffix)] = on
		default:
			only := "/" + section
			if o.IsGlobal() {
				only += " and /<module>Enabled"
			}
			return nil, nil, fmt.Errorf("unacceptable patch operation for path '%s' (only '%s' accepted)", op.Path, only)
		}
	}
	return own, flags, nil
}

func enabledValue(op values.Op) (*bool, error) {
	if op.Op == "remove" {
		return nil, nil
	}
	switch v := op.Value.(type) {
	case bool:
		return &v, nil
	case string:
		if on := v == "true"; on || v == "false" {
			return &on, nil
		}
	}
	return nil, fmt.Errorf("patch operation for path '%s': expected true or false, got %v", op.Path, op.Value)
}
