package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
)

// hookFloor runs the hook commands bare, with the files that the contract names.
type hookFloor struct {
	work workload
	dir  string
	env  map[string][]string // by hook
}

// globalHook is the only hook that is not a module's.
const globalHook = "global-hooks/hooks/010-fact.sh"

func (f *hookFloor) hook(i int) string {
	return filepath.Join("modules", f.work.modules.Dir(i), "hooks", "before.sh")
}

// prepare writes the input files of every hook.
func (f *hookFloor) prepare() error {
	f.env = map[string][]string{}
	global := map[string]any{"fact": f.work.fact, "enabledModules": f.work.names()}
	seen := []any{map[string]any{"object": map[string]any{"kind": "ConfigMap"}, "filterResult": f.work.fact}}
	errs := []error{f.write(globalHook,
		[]any{map[string]any{"binding": "fact", "type": "Synchronization", "objects": seen, "snapshots": map[string]any{"fact": seen}}},
		map[string]any{"global": global})}
	for i := range f.work.modules.Modules {
		errs = append(errs, f.write(f.hook(i), []any{map[string]any{"binding": "beforeHelm"}},
			map[string]any{"global": global, f.work.modules.Name(i): f.work.values(i)[f.work.modules.Name(i)]}))
	}
	return errors.Join(errs...)
}

func (f *hookFloor) write(hook string, contexts, values any) error {
	dir := filepath.Join(f.dir, strings.ReplaceAll(hook, "/", "_"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	env := os.Environ()
	files := map[string]any{
		"BINDING_CONTEXT_PATH": contexts, "VALUES_PATH": values, "CONFIG_VALUES_PATH": map[string]any{},
		"VALUES_JSON_PATCH_PATH": nil, "CONFIG_VALUES_JSON_PATCH_PATH": nil, "KUBERNETES_PATCH_PATH": nil, "METRICS_PATH": nil,
	}
	for name, content := range files {
		var text []byte
		if content != nil {
			var err error
			if text, err = json.Marshal(content); err != nil {
				return err
			}
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		env = append(env, name+"="+path)
	}
	f.env[hook] = env
	return nil
}

// command is one call of a hook.
type command struct {
	hook string
	args []string
}

// commands are the calls for the modules from first to before last, and for the
// global hook; withConfig adds those that a start makes for the configurations.
func (f *hookFloor) commands(first, last int, withConfig, withGlobal bool) []command {
	var hooks []string
	if withGlobal {
		hooks = append(hooks, globalHook)
	}
	for i := first; i < last; i++ {
		hooks = append(hooks, f.hook(i))
	}
	var out []command
	if withConfig {
		for _, h := range hooks {
			out = append(out, command{h, []string{"--config"}})
		}
	}
	for _, h := range hooks {
		out = append(out, command{hook: h})
	}
	return out
}

// run makes the calls on all cores.
func (f *hookFloor) run(ctx context.Context, commands []command) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for _, c := range commands {
		group.Go(func() error { return f.call(ctx, c) })
	}
	return group.Wait()
}

func (f *hookFloor) call(ctx context.Context, c command) error {
	cmd := exec.CommandContext(ctx, filepath.Join(f.work.dir, c.hook), c.args...)
	cmd.Env = f.env[c.hook]
	if out, err := cmd.Output(); err != nil {
		return fmt.Errorf("hook %s %v: %w: %s", c.hook, c.args, err, out)
	}
	return nil
}
