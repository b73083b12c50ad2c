package exec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// configLimit bounds what is read of a --config output.
const configLimit = 1 << 20

// cacheKey is what the answer to --config depends on.
type cacheKey struct {
	owner        hook.Owner
	path, digest string
}

type cached struct{ spec hook.Spec }

// Load finds the executables below an owner's hooks directory and asks each for
// its configuration (C-001 … C-010, C-020 … C-027). An empty Dir means that there is no
// such directory; the hooks run as the Account, now and later. The hooks that could be loaded are returned, in the order of
// their paths, also when others failed; the error joins one for each of those,
// with the hook's name and what it printed. Answers of
// unchanged files are kept until all of the owner's hooks could be loaded, so that
// trying again asks only those that failed.
func (r *Runner) Load(ctx context.Context, owner hook.Owner, at hook.Place) ([]hook.Hook, error) {
	if at.Dir == "" {
		return nil, nil
	}
	dir, err := filepath.Abs(at.Dir)
	if err != nil {
		return nil, err
	}
	files, err := r.hooksIn(owner, dir)
	if err != nil {
		return nil, err
	}
	hooks := make([]hook.Hook, len(files))
	errs := make([]error, len(files))
	var group errgroup.Group
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for i, f := range files {
		group.Go(func() error {
			hooks[i], errs[i] = r.load(ctx, hook.Hook{ID: hook.ID{Owner: owner, Name: f.Name}, Account: at.Account, Path: f.Path}, dir)
			return nil
		})
	}
	_ = group.Wait() // every error is kept in its place
	var loaded []hook.Hook
	for i, h := range hooks {
		if errs[i] == nil {
			loaded = append(loaded, h)
		}
	}
	err = errors.Join(errs...)
	if err == nil { // the next time is another start of the owner, which asks anew (C-023)
		r.forget(owner)
	}
	return loaded, err
}

// forget drops the answers of an owner's hooks.
func (r *Runner) forget(owner hook.Owner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.cache, func(k cacheKey, _ cached) bool { return k.owner == owner })
}

// LoadOne asks one file for its configuration, be it one that discovery would
// find or not. dir is the hooks directory that it is taken to be in; "" means the
// file's own.
func (r *Runner) LoadOne(ctx context.Context, owner hook.Owner, dir, path string) (hook.Hook, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return hook.Hook{}, err
	}
	if dir == "" {
		dir = filepath.Dir(path)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return hook.Hook{}, err
	}
	return r.load(ctx, hook.Hook{ID: hook.ID{Owner: owner, Name: nameOf(owner, dir, path)}, Path: path}, dir)
}

// load fills in what the file and its answer say.
func (r *Runner) load(ctx context.Context, h hook.Hook, dir string) (hook.Hook, error) {
	var err error
	if h.Digest, err = digestOf(h.Path); err != nil {
		return h, fmt.Errorf("hook %s: %w", h.ID, err)
	}
	key := cacheKey{h.Owner, h.Path, h.Digest}
	r.mu.Lock()
	known, ok := r.cache[key]
	r.mu.Unlock()
	if ok {
		h.Spec = known.spec
		return h, nil
	}
	if h.Spec, err = r.config(ctx, h, dir); err != nil {
		return h, err
	}
	for _, w := range h.Spec.Warnings {
		r.cfg.Logger.Warn("hook configuration: "+w, "hook", h.Name, "module", h.Owner.Module)
	}
	r.mu.Lock()
	r.cache[key] = cached{h.Spec}
	r.mu.Unlock()
	return h, nil
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// config runs the hook with --config alone: no files, and none of the variables
// that name them (C-020), but who it acts as. Without modules it runs in the hooks directory, else in
// the operator's working directory (C-021).
func (r *Runner) config(ctx context.Context, h hook.Hook, hooksDir string) (hook.Spec, error) {
	release, err := r.takeSlot(ctx)
	if err != nil {
		return hook.Spec{}, fmt.Errorf("hook %s: --config: not started: %w", h.ID, err)
	}
	defer release()
	id, err := r.identify(ctx, h.Account, r.cfg.LoadTimeout)
	if err != nil {
		return hook.Spec{}, fmt.Errorf("hook %s: --config: not started: %w", h.ID, err)
	}
	dir, err := r.newRun(id.files)
	if err != nil {
		return hook.Spec{}, fmt.Errorf("hook %s: --config: not started: %w", h.ID, err)
	}
	defer r.endRun(dir)
	argv, env := r.commandOf(h)
	env = id.env(env, dir)
	cwd := ""
	if h.Owner.IsStandalone() {
		cwd = hooksDir
	}
	var stdout bytes.Buffer
	var stderr tail
	c := command{
		argv: append(slices.Clip(argv), "--config"), env: env, cwd: cwd, dir: dir, timeout: r.cfg.LoadTimeout, grace: r.cfg.KillGrace,
		limits: r.cfg.Limits, credential: r.cfg.Credential,
		stdout: func(from io.Reader) {
			_, _ = io.Copy(&stdout, io.LimitReader(from, configLimit+1))
			_, _ = io.Copy(io.Discard, from)
		},
		stderr: func(from io.Reader) { readLines(from, lineLimit, stderr.line) },
	}
	ended, err := c.run(ctx)
	fail := func(cause string) error {
		var shown tail
		readLines(bytes.NewReader(stdout.Bytes()), lineLimit, shown.line)
		return &hook.RunError{Hook: h.ID, Cause: fmt.Sprintf("--config: %s; it printed %q", cause, shown.String()), Stderr: stderr.String(), Usage: ended.usage}
	}
	switch {
	case err != nil && notStarted(ctx, err):
		return hook.Spec{}, fmt.Errorf("hook %s: --config: not started: %w", h.ID, err)
	case err != nil:
		return hook.Spec{}, fail(c.explainStart(err))
	case ended.stopped != nil:
		return hook.Spec{}, fmt.Errorf("hook %s: --config: stopped: %w", h.ID, ended.stopped)
	case ended.cause != "":
		return hook.Spec{}, fail(ended.cause)
	case stdout.Len() > configLimit:
		return hook.Spec{}, fail(fmt.Sprintf("more than %d bytes of output", configLimit))
	}
	spec, err := hook.ParseConfig(stdout.Bytes(), h.Owner)
	if err != nil {
		return hook.Spec{}, fail(err.Error())
	}
	return spec, nil
}

// commandOf is how the hook's process is started. A .py hook of a module runs
// with the module's own Python, when it brings one (C-010).
func (r *Runner) commandOf(h hook.Hook) (argv, env []string) {
	env = slices.Clip(r.env)
	module, inHooks := strings.CutSuffix(h.Path, string(filepath.Separator)+h.Name)
	if !ofModule(h.Owner) || filepath.Ext(h.Path) != ".py" || !inHooks {
		return []string{h.Path}, env
	}
	venv := filepath.Join(module, "hooks", "venv")
	python := filepath.Join(venv, "bin", "python3")
	if _, err := os.Stat(python); err != nil {
		r.cfg.Logger.Warn("the module has no Python of its own in hooks/venv; the hook is started directly", "hook", h.Name, "module", h.Owner.Module)
		return []string{h.Path}, env
	}
	// PYTHONHOME must name a directory with the standard library, which a virtual
	// environment has only when it was made to be moved.
	if library, _ := filepath.Glob(filepath.Join(venv, "lib", "python3*", "os.py")); len(library) > 0 {
		env = append(env, "PYTHONHOME="+venv)
	}
	return []string{python, h.Path}, env
}
