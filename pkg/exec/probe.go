package exec

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// HealthBinding is the binding in the context of a health check.
const HealthBinding = "health"

// Probe is an executable that says by its exit status whether a module is healthy.
type Probe struct {
	Module string
	// Account is the ServiceAccount of the operator's namespace that it acts as; "" is the operator itself.
	Account string
	// Path is absolute, Name the path below the module's directory.
	Path, Name string
	Timeout    time.Duration
	// Values and ConfigValues are JSON (C-106).
	Values, ConfigValues []byte
}

// Probe runs a health check with the environment of a hook (C-101) and the binding
// context [{"binding":"health"}]. It is never asked for --config. What it writes into
// its outputs is not done; a warning says so. An error that a *hook.RunError is behind
// is one line for people: the last that the executable wrote to stderr, or how it ended.
func (r *Runner) Probe(ctx context.Context, p Probe) error {
	h := hook.Hook{ID: hook.ID{Owner: hook.Owner{Module: p.Module}, Name: p.Name}, Path: p.Path}
	in := hook.Input{Contexts: hook.MarshalContexts([]hook.Context{{Binding: HealthBinding}}, nil), Values: p.Values, ConfigValues: p.ConfigValues}
	argv, env := r.commandOf(h)
	files := filesOf(h, in)
	_, err := r.do(ctx, run{id: h.ID, account: p.Account, argv: argv, env: env, timeout: p.Timeout, files: files,
		labels: map[string]string{"binding": HealthBinding}}, func(o outputs) error {
		r.refuse(h.ID, files, o)
		return nil
	})
	var failed *hook.RunError
	if errors.As(err, &failed) {
		return &unhealthy{lastOf(failed), failed}
	}
	return err
}

// refuse warns of outputs of a health check.
func (r *Runner) refuse(id hook.ID, files []file, o outputs) {
	var written []string
	for _, f := range files {
		if f.env == envBindingContext || f.env == envValues || f.env == envConfigValues {
			continue
		}
		if text, err := o.read(f.env); len(text) > 0 || err != nil {
			written = append(written, f.env)
		}
	}
	if len(written) > 0 {
		r.cfg.Logger.Warn("what a health check wrote is not applied: leave changes to a hook", "module", id.Owner.Module, "hook", id.Name,
			"outputs", slices.Compact(written))
	}
}

// lastOf is the last line on stderr, or the cause when there is none or time ran out.
func lastOf(e *hook.RunError) string {
	text := e.Stderr[strings.LastIndex(e.Stderr, "\n")+1:]
	if text == "" || e.Reason != "" && e.Reason != hook.ReasonExit {
		return e.Cause
	}
	return text
}

type unhealthy struct {
	text string
	err  *hook.RunError
}

func (u *unhealthy) Error() string { return u.text }
func (u *unhealthy) Unwrap() error { return u.err }
