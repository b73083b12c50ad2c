package hooktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Config of a Desk.
type Config struct {
	// TempDir holds the files of runs. Default exec.DefaultTempDir.
	TempDir string
	// Timeout bounds a run of a hook that sets none itself. Default 10 minutes.
	Timeout time.Duration
	// Env is the environment of hooks. Default os.Environ().
	Env []string
	// Logger gets what is not the output of a hook. Default: nothing is logged.
	Logger *slog.Logger
}

// Desk is where hooks are run by themselves. It keeps what runs have in common:
// configurations, schemas and static values. It is safe for concurrent use.
type Desk struct {
	cfg  Config
	logs *logs
	runs atomic.Int64

	mu      sync.Mutex
	runners map[string]*exec.Runner // by what is added to the environment
	sets    map[setKey]*once[*module.Set]
	hooks   map[hookKey]*once[hook.Hook]
}

type hookKey struct {
	place     Place
	path, env string
}

// once computes a value for the first who asks, and for those who ask meanwhile.
type once[T any] struct {
	sync.Once
	value T
	err   error
}

func (o *once[T]) get(f func() (T, error)) (T, error) {
	o.Do(func() { o.value, o.err = f() })
	return o.value, o.err
}

// New makes a Desk. Close it after the last run.
func New(cfg Config) *Desk {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Env == nil {
		cfg.Env = os.Environ()
	}
	return &Desk{cfg: cfg, logs: newLogs(cfg.Logger.Handler()), runners: map[string]*exec.Runner{},
		sets: map[setKey]*once[*module.Set]{}, hooks: map[hookKey]*once[hook.Hook]{}}
}

// Close removes the files of runs. No run may be under way.
func (d *Desk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, r := range d.runners {
		errs = append(errs, r.Close())
	}
	clear(d.runners)
	return errors.Join(errs...)
}

// runner runs hooks with some variables more.
func (d *Desk) runner(env map[string]string) (*exec.Runner, string, error) {
	var more []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		more = append(more, name+"="+env[name])
	}
	key := strings.Join(more, "\x00")
	d.mu.Lock()
	defer d.mu.Unlock()
	if r, ok := d.runners[key]; ok {
		return r, key, nil
	}
	all := slices.DeleteFunc(slices.Clone(d.cfg.Env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		_, replaced := env[name]
		return replaced
	})
	r, err := exec.New(exec.Config{TempDir: d.cfg.TempDir, Timeout: d.cfg.Timeout, Env: append(all, more...), Logger: slog.New(d.logs)})
	if err != nil {
		return nil, "", err
	}
	d.runners[key] = r
	return r, key, nil
}

// Scene is a hook and what it finds when it is run.
type Scene struct {
	Place Place
	// Hook is the path of the executable.
	Hook string
	// Objects are what its bindings see; Cluster, if set, takes their place.
	Objects []Object
	Cluster *Cluster
	// Values lie below the settings, beside static values: what other hooks wrote,
	// for one. ConfigValues are the settings of the ConfigMap. Both are by key.
	Values, ConfigValues values.Map
	// Env is added to the environment.
	Env map[string]string
	Trigger
	// Contexts, if not nil, is the content of BINDING_CONTEXT_PATH, whatever Trigger says.
	Contexts []byte
}

// Result is what a hook did with a scene. Nothing of it has been done.
type Result struct {
	Hook hook.Hook
	// Err is why a run failed, or was not accepted; nil when all went well. It is a
	// *hook.RunError when the hook is to blame.
	Err   error
	Steps []Step
	// What all runs asked for, in order.
	Values, Config []values.Op
	Flags          hook.Flags
	Operations     []hook.Operation
	Samples        []hook.Sample
	Admission      *hook.AdmissionResponse
	Conversion     *hook.ConversionResponse
	// Before and After are VALUES_PATH before the first and after the last run,
	// SettingsBefore and SettingsAfter CONFIG_VALUES_PATH. Nil without modules.
	Before, After, SettingsBefore, SettingsAfter values.Map
	// Log has the lines that the hook wrote.
	Log []LogLine
	// Loading is the time spent on what runs have in common, Harness on the rest
	// around the hook's own time, which is in Usage.
	Loading, Harness time.Duration
	Usage            hook.Usage

	sections *sections
}

// Step is one run.
type Step struct {
	Name     string
	Contexts []byte
	Usage    hook.Usage
}

// Run runs a hook once, or as often as a start of the operator would. The error
// says that the scene cannot be set; what becomes of the hook is in the Result.
func (d *Desk) Run(ctx context.Context, s Scene) (Result, error) {
	start := time.Now()
	r, run, err := d.load(ctx, s)
	if err != nil {
		return r, err
	}
	var set *module.Set
	if !s.Place.Owner.IsStandalone() {
		if set, err = d.set(s.Place); err != nil {
			return r, err
		}
	}
	r.Loading = time.Since(start)
	err = d.play(ctx, s, set, run, &r)
	r.Harness = time.Since(start) - r.Loading - r.Usage.Wall
	return r, err
}

func (d *Desk) play(ctx context.Context, s Scene, set *module.Set, run hook.Func, r *Result) error {
	var err error
	if r.sections, err = newSections(s.Place, set, s.Values, s.ConfigValues); err != nil {
		return err
	}
	r.Before, r.SettingsBefore = r.sections.view()
	steps, err := s.steps(r.Hook.Owner, r.Hook.Spec)
	if err != nil {
		return err
	}
	see, done, err := s.source(ctx, r.Hook)
	if err != nil {
		return err
	}
	defer done()
	id := strconv.FormatInt(d.runs.Add(1), 10)
	lines := d.logs.open(id)
	defer func() { r.Log = d.logs.close(id, lines) }()
	for _, st := range steps {
		at := see
		if st.files != nil {
			at = st.files.snapshot
		}
		if r.Err, err = r.step(ctx, s, st, at, run, id); r.Err != nil || err != nil {
			break
		}
	}
	r.After, r.SettingsAfter = r.sections.view()
	return err
}

// Load reads a hook's configuration.
func (d *Desk) Load(ctx context.Context, s Scene) (hook.Hook, error) {
	r, _, err := d.load(ctx, s)
	return r.Hook, err
}

func (d *Desk) load(ctx context.Context, s Scene) (Result, hook.Func, error) {
	runner, env, err := d.runner(s.Env)
	if err != nil {
		return Result{}, nil, err
	}
	d.mu.Lock()
	key := hookKey{s.Place, s.Hook, env}
	entry := d.hooks[key]
	if entry == nil {
		entry = &once[hook.Hook]{}
		d.hooks[key] = entry
	}
	d.mu.Unlock()
	h, err := entry.get(func() (hook.Hook, error) { return runner.LoadOne(ctx, s.Place.Owner, s.Place.Dir, s.Hook) })
	if err != nil {
		return Result{}, nil, err
	}
	return Result{Hook: h, Flags: hook.Flags{}}, runner.Bind(h), nil
}

func (d *Desk) set(p Place) (*module.Set, error) {
	key := setKey{modulesNear(p), p.GlobalHooksDir}
	d.mu.Lock()
	entry := d.sets[key]
	if entry == nil {
		entry = &once[*module.Set]{}
		d.sets[key] = entry
	}
	d.mu.Unlock()
	set, err := entry.get(func() (*module.Set, error) { return loadSet(key) })
	if err != nil {
		return nil, err
	}
	if broken := set.Broken[p.Owner.Module]; broken != nil {
		return nil, fmt.Errorf("module %s: %w", p.Owner.Module, broken)
	}
	return set, nil
}

// steps are the runs that the scene leads to.
func (s Scene) steps(owner hook.Owner, spec hook.Spec) ([]step, error) {
	if s.Contexts != nil {
		return []step{{name: "contexts"}}, nil
	}
	return s.Trigger.steps(owner, spec, files{s.Objects})
}

// source is where snapshots come from.
func (s Scene) source(ctx context.Context, h hook.Hook) (see func(hook.Kubernetes) ([]hook.Item, error), done func(), err error) {
	if s.Cluster == nil {
		return files{s.Objects}.snapshot, func() {}, nil
	}
	return s.Cluster.watch(ctx, h)
}

// step is one run of the hook with what it sees now.
func (r *Result) step(ctx context.Context, s Scene, st step, see func(hook.Kubernetes) ([]hook.Item, error), run hook.Func, id string) (failed, err error) {
	in := hook.Input{Contexts: s.Contexts, Labels: map[string]string{caseLabel: id}}
	if in.Contexts == nil {
		if in.Contexts, err = contextsOf(r.Hook.Spec, st, see); err != nil {
			return nil, err
		}
	}
	if r.sections.store != nil {
		vals, config := r.sections.view()
		if in.Values, err = compact(vals); err != nil {
			return nil, err
		}
		if in.ConfigValues, err = compact(config); err != nil {
			return nil, err
		}
	}
	out, err := run(ctx, in)
	usage := out.Usage
	var own *hook.RunError
	if errors.As(err, &own) {
		usage = own.Usage
	}
	r.Steps = append(r.Steps, Step{Name: st.name, Contexts: in.Contexts, Usage: usage})
	r.Usage.Wall += usage.Wall
	r.Usage.User += usage.User
	r.Usage.System += usage.System
	r.Usage.MaxRSS = max(r.Usage.MaxRSS, usage.MaxRSS)
	if err != nil {
		if own == nil {
			return nil, err
		}
		return own, nil
	}
	flags, err := r.sections.commit(r.Hook, out)
	if err != nil {
		return &hook.RunError{Hook: r.Hook.ID, Cause: err.Error(), Usage: usage}, nil
	}
	r.Values, r.Config = append(r.Values, out.Values...), append(r.Config, out.Config...)
	maps.Copy(r.Flags, flags)
	r.Operations, r.Samples = append(r.Operations, out.Operations...), append(r.Samples, out.Samples...)
	if out.Admission != nil {
		r.Admission = out.Admission
	}
	if out.Conversion != nil {
		r.Conversion = out.Conversion
	}
	return r.answered(st, usage), nil
}

// answered makes a review without an answer a failed run, as it is for the API server.
func (r *Result) answered(st step, usage hook.Usage) error {
	for _, c := range st.contexts {
		missing := ""
		switch {
		case (c.Type == hook.TypeValidating || c.Type == hook.TypeMutating) && r.Admission == nil:
			missing = "ADMISSION_RESPONSE_PATH"
		case c.Type == hook.TypeConversion && r.Conversion == nil:
			missing = "CONVERSION_RESPONSE_PATH"
		default:
			continue
		}
		return &hook.RunError{Hook: r.Hook.ID, Cause: fmt.Sprintf("it did not answer the review: %s is empty", missing), Usage: usage}
	}
	return nil
}

// contextsOf is the content of BINDING_CONTEXT_PATH. Each binding is seen once (C-132).
func contextsOf(spec hook.Spec, st step, see func(hook.Kubernetes) ([]hook.Item, error)) ([]byte, error) {
	if spec.Version == "v0" {
		return hook.MarshalContextsV0(st.contexts), nil
	}
	snapshots := map[string][]byte{}
	add := func(name string) error {
		if _, ok := snapshots[name]; ok {
			return nil
		}
		for _, b := range spec.Kubernetes {
			if b.Name == name {
				items, err := see(b)
				snapshots[name] = hook.MarshalItems(items)
				return err
			}
		}
		return nil
	}
	for _, c := range st.contexts {
		names := c.Snapshots
		if c.Type == hook.TypeSynchronization {
			names = append([]string{c.Binding}, names...)
		}
		for _, name := range names {
			if err := add(name); err != nil {
				return nil, err
			}
		}
	}
	return hook.MarshalContexts(st.contexts, snapshots), nil
}
