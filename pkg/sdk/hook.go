package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Hook is a hook in Go.
type Hook struct {
	// Name tells the hook from others of its owner and of its binary.
	Name string
	// On says when it runs: OnStartup(10), Schedule{…}, Kubernetes[T]{…}, BeforeHelm(5) …
	On []Binding
	// Settings bound the runs of the hook.
	Settings Settings
	// Run does one run. An error, or a panic, means that nothing is applied and that
	// the run is tried again. It should return soon after ctx has ended.
	Run func(ctx context.Context, in *Input) error
}

// Settings are the limits of a hook; a zero field is no limit of its own (C-035).
type Settings struct {
	// Timeout bounds one run. Default: the operator's, 10 minutes.
	Timeout time.Duration
	// MinInterval and Burst limit how often the hook runs for events and schedules (C-188).
	MinInterval time.Duration
	Burst       int
}

// Config is what the hook answers to --config: JSON of configuration v1 (C-030).
// Whether it is valid depends on the owner; hook.ParseConfig decides that.
func (h Hook) Config() ([]byte, error) {
	d := document{"configVersion": "v1"}
	for _, b := range h.On {
		if err := b.declare(d); err != nil {
			return nil, fmt.Errorf("hook %s: %w", h.Name, err)
		}
	}
	if s := h.Settings.document(); len(s) > 0 {
		d["settings"] = s
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("hook %s: configuration: %w", h.Name, err)
	}
	return append(text, '\n'), nil
}

func (s Settings) document() document {
	d := document{}
	if s.Timeout != 0 {
		d["timeout"] = s.Timeout.String()
	}
	if s.MinInterval != 0 {
		d["executionMinInterval"] = s.MinInterval.String()
	}
	if s.Burst != 0 {
		d["executionBurst"] = s.Burst
	}
	return d
}

// Binding is one reason to run a hook. The types and functions of this package
// are all there are.
type Binding interface {
	declare(d document) error
}

// document is a configuration in the making; JSON sorts its keys.
type document map[string]any

// add appends to the list at key.
func (d document) add(key string, item any) error {
	list, _ := d[key].([]any)
	d[key] = append(list, item)
	return nil
}

type order struct {
	moment hook.Binding
	number int
}

func (o order) declare(d document) error {
	if _, twice := d[string(o.moment)]; twice {
		return errors.New(string(o.moment) + " is declared twice: a hook has one place in its order")
	}
	d[string(o.moment)] = o.number
	return nil
}

// OnStartup runs the hook once, before all else, in ascending order (C-036).
func OnStartup(number int) Binding { return order{hook.OnStartup, number} }

// BeforeAll runs a global hook before each pass over all modules (C-032).
func BeforeAll(number int) Binding { return order{hook.BeforeAll, number} }

// AfterAll runs a global hook after each pass over all modules (C-032).
func AfterAll(number int) Binding { return order{hook.AfterAll, number} }

// BeforeHelm runs a module's hook before its release is installed or upgraded (C-032).
func BeforeHelm(number int) Binding { return order{hook.BeforeHelm, number} }

// AfterHelm runs a module's hook after its release was installed or upgraded (C-032).
func AfterHelm(number int) Binding { return order{hook.AfterHelm, number} }

// BeforeDeleteHelm runs a module's hook before the removal of its release (C-032).
func BeforeDeleteHelm(number int) Binding { return order{hook.BeforeDeleteHelm, number} }

// AfterDeleteHelm runs a module's hook after the removal of its release (C-032).
func AfterDeleteHelm(number int) Binding { return order{hook.AfterDeleteHelm, number} }
