package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/sdk"
)

// executables are the hooks that are files and those inside the process.
type executables struct {
	*exec.Runner
	inProcess *sdk.Registry // may be nil
}

// Load lists both kinds by name. Where both have one name, the file is what runs.
func (e executables) Load(ctx context.Context, o hook.Owner, at hook.Place) ([]hook.Hook, error) {
	hooks, err := e.Runner.Load(ctx, o, at)
	if e.inProcess == nil {
		return hooks, err
	}
	for _, h := range e.inProcess.Hooks(o) {
		if slices.ContainsFunc(hooks, func(file hook.Hook) bool { return file.ID == h.ID }) {
			err = errors.Join(err, fmt.Errorf("hook %s is a file and is built in too: rename one of them", h.ID))
			continue
		}
		h.Account = at.Account
		hooks = append(hooks, h)
	}
	slices.SortStableFunc(hooks, func(a, b hook.Hook) int { return cmp.Compare(a.Name, b.Name) })
	return hooks, err
}

// Bind makes a hook callable.
func (e executables) Bind(h hook.Hook) hook.Func {
	if h.Path == "" && e.inProcess != nil {
		if run, ok := e.inProcess.Bind(h); ok {
			return run
		}
	}
	return e.Runner.Bind(h)
}
