package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// What hooks and enabled scripts find in their environment (C-101).
const (
	envBindingContext = "BINDING_CONTEXT_PATH"
	envValues         = "VALUES_PATH"
	envConfigValues   = "CONFIG_VALUES_PATH"
	envValuesPatch    = "VALUES_JSON_PATCH_PATH"
	envConfigPatch    = "CONFIG_VALUES_JSON_PATCH_PATH"
	envOperations     = "KUBERNETES_PATCH_PATH"
	envMetrics        = "METRICS_PATH"
	envAdmission      = "ADMISSION_RESPONSE_PATH"
	envValidating     = "VALIDATING_RESPONSE_PATH"
	envConversion     = "CONVERSION_RESPONSE_PATH"
	envEnabledResult  = "MODULE_ENABLED_RESULT"
	envEnabledReason  = "MODULE_ENABLED_REASON"
)

// file is one of a run's files: the variable that names it, its name, and what is
// in it before the run. Output files are empty then.
type file struct {
	env, name string
	text      []byte
}

// Bind makes the function that runs a loaded hook (C-100 … C-112). Its runs may
// overlap; keeping a hook from overlapping itself is the caller's concern.
func (r *Runner) Bind(h hook.Hook) hook.Func {
	timeout := h.Spec.Timeout
	if timeout <= 0 {
		timeout = r.cfg.Timeout
	}
	argv, env := r.commandOf(h)
	cwd := ""
	if h.Owner.IsStandalone() {
		cwd = filepath.Dir(h.Path) // C-100
	}
	return func(ctx context.Context, in hook.Input) (hook.Output, error) {
		var out hook.Output
		run := run{
			id: h.ID, account: h.Account, argv: argv, env: env, cwd: cwd, timeout: timeout, labels: in.Labels, urgent: in.Urgent, files: filesOf(h, in),
		}
		usage, err := r.do(ctx, run, func(o outputs) error {
			var err error
			out, err = r.parse(h.ID, o)
			return err
		})
		out.Usage = usage
		if err != nil {
			return hook.Output{Usage: usage}, err
		}
		return out, nil
	}
}

// filesOf are the files of a hook's run (C-101). Hooks without modules have no
// values; those with modules get the files of responses only when they asked to
// answer reviews (B-43).
func filesOf(h hook.Hook, in hook.Input) []file {
	files := []file{
		{envBindingContext, "binding-context.json", in.Contexts},
		{envOperations, "operations", nil},
		{envMetrics, "metrics.json", nil},
	}
	alone := h.Owner.IsStandalone()
	if !alone {
		files = append(files,
			file{envValues, "values.json", in.Values},
			file{envConfigValues, "config-values.json", in.ConfigValues},
			file{envValuesPatch, "values-patch.json", nil},
			file{envConfigPatch, "config-values-patch.json", nil})
	}
	if alone || len(h.Spec.Admissions) > 0 {
		files = append(files, file{envAdmission, admissionFile, nil}, file{envValidating, admissionFile, nil})
	}
	if alone || len(h.Spec.Conversions) > 0 {
		files = append(files, file{envConversion, "conversion-response.json", nil})
	}
	return files
}

// admissionFile is one file with two variables.
const admissionFile = "admission-response.json"

// parse reads every output before anything of it may be used (C-108).
func (r *Runner) parse(id hook.ID, o outputs) (hook.Output, error) {
	var out hook.Output
	var errs []error
	read := func(env string, parse func([]byte) error) {
		if !o.has(env) {
			return
		}
		text, err := o.read(env)
		if err == nil {
			err = parse(text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("bad %s: %w", env, err))
		}
	}
	var err error
	read(envOperations, func(t []byte) error { out.Operations, err = hook.ParseOperations(t); return err })
	read(envConfigPatch, func(t []byte) error { out.Config, err = values.ParsePatch(t); return err })
	read(envValuesPatch, func(t []byte) error { out.Values, err = values.ParsePatch(t); return err })
	read(envMetrics, func(t []byte) error {
		samples, warnings, err := hook.ParseSamples(t)
		out.Samples = samples
		for _, w := range warnings {
			r.cfg.Logger.Warn("metric operation passed over", "hook", id.Name, "module", id.Owner.Module, "reason", w)
		}
		return err
	})
	read(envAdmission, func(t []byte) error { out.Admission, err = hook.ParseAdmissionResponse(t); return err })
	read(envConversion, func(t []byte) error { out.Conversion, err = hook.ParseConversionResponse(t); return err })
	return out, errors.Join(errs...)
}

// run is one run of an executable with files.
type run struct {
	id      hook.ID
	account string
	argv    []string
	env     []string
	cwd     string
	timeout time.Duration
	labels  map[string]string
	urgent  bool
	files   []file
}

// do runs to the end, and calls use on the outputs of a successful run while they
// exist. What the executable did wrong comes back as *hook.RunError.
func (r *Runner) do(ctx context.Context, run run, use func(outputs) error) (hook.Usage, error) {
	release, err := r.slotFor(ctx, run.urgent)
	if err != nil {
		return hook.Usage{}, fmt.Errorf("%s: not started: %w", run.id, err)
	}
	defer release()
	id, err := r.identify(ctx, run.account, run.timeout)
	if err != nil {
		return hook.Usage{}, fmt.Errorf("%s: not started: %w", run.id, err)
	}
	dir, err := r.newRun(slices.Concat(id.files, run.files))
	if err != nil {
		return hook.Usage{}, fmt.Errorf("%s: not started: %w", run.id, err)
	}
	defer r.endRun(dir)
	o := outputs{limit: r.cfg.OutputLimit, credential: r.cfg.Credential, names: map[string]string{}}
	env := slices.Clip(id.env(run.env, dir))
	given := id.size()
	for _, f := range run.files {
		path := filepath.Join(dir, f.name)
		env = append(env, f.env+"="+path)
		o.names[f.env] = path
		given += int64(len(f.text)) + 4<<10 // disks count in blocks
	}
	c := r.commandFor(run, dir, env)
	ended, stderr, err := r.execute(ctx, c, run, given)
	fail := func(reason hook.Reason, cause string) error {
		return &hook.RunError{Hook: run.id, Reason: reason, Cause: cause, Stderr: stderr, Usage: ended.usage}
	}
	switch {
	case err != nil && notStarted(ctx, err):
		return hook.Usage{}, fmt.Errorf("%s: not started: %w", run.id, err)
	case err != nil:
		return hook.Usage{}, fail(hook.ReasonStarted, c.explainStart(err))
	case ended.stopped != nil:
		return ended.usage, fmt.Errorf("%s: stopped: %w", run.id, ended.stopped)
	case ended.cause != "":
		return ended.usage, fail(ended.reason, ended.cause)
	}
	if err := roomIn(dir); err != nil {
		return ended.usage, fmt.Errorf("%s: its result is not used, it may be incomplete: %w", run.id, err)
	}
	if err := use(o); err != nil {
		reason := hook.ReasonOutput
		if much := (*excess)(nil); errors.As(err, &much) {
			reason = hook.ReasonLimit
		}
		return ended.usage, fail(reason, oneLine(err.Error()))
	}
	return ended.usage, nil
}

// allowed says whether an executable may start now.
func (r *Runner) allowed() error {
	if r.cfg.Allowed == nil {
		return nil
	}
	if err := r.cfg.Allowed(); err != nil {
		return &forbidden{err}
	}
	return nil
}

// forbidden is why nothing may run now; that is no fault of the hook.
type forbidden struct{ error }

func (f *forbidden) Unwrap() error { return f.error }

// notStarted tells whether a start failed by no fault of the hook.
func notStarted(ctx context.Context, err error) bool {
	no := (*forbidden)(nil)
	return ctx.Err() != nil || isOurs(err) || errors.As(err, &no)
}

func (r *Runner) commandFor(run run, dir string, env []string) command {
	return command{
		argv: run.argv, env: env, cwd: run.cwd, dir: dir, timeout: run.timeout, grace: r.cfg.KillGrace,
		limits: r.cfg.Limits, credential: r.cfg.Credential,
	}
}

// execute runs the process with its output going to the log. given is the size of
// what its files hold from the start.
func (r *Runner) execute(ctx context.Context, c command, run run, given int64) (exit, string, error) {
	log := r.runLogger(run)
	limit := lineLimit
	if r.cfg.ProxyJSONLogs {
		limit = longLineLimit
	}
	var last tail
	pump := func(output string, also func([]byte, bool)) func(io.Reader) {
		return func(from io.Reader) {
			l := &lineLogger{log: log.With("output", output), limit: limit, now: time.Now}
			readLines(from, limit, func(line []byte, cut bool) {
				if r.cfg.Printed != nil {
					line = []byte(r.cfg.Printed(string(line)))
				}
				l.line(line, cut)
				also(line, cut)
			})
			l.flush()
		}
	}
	if err := r.allowed(); err != nil {
		return exit{}, "", err
	}
	c.stdout = pump("stdout", func([]byte, bool) {})
	c.stderr = pump("stderr", last.line)
	watched, end := context.WithCancelCause(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		diskWatch{dir: c.dir, free: given, limit: r.cfg.FilesLimit, files: filesAllowed}.run(watched, end)
	})
	ended, err := c.run(watched)
	end(nil)
	watcher.Wait()
	return ended, last.String(), err
}

func (r *Runner) runLogger(run run) *slog.Logger {
	attrs := []any{slog.String("hook", run.id.Name)}
	if ofModule(run.id.Owner) {
		attrs = append(attrs, slog.String("module", run.id.Owner.Module))
	}
	for _, k := range slices.Sorted(maps.Keys(run.labels)) {
		attrs = append(attrs, slog.String(k, run.labels[k]))
	}
	return r.cfg.Logger.With(attrs...)
}

// slotFor lets urgent runs start at once.
func (r *Runner) slotFor(ctx context.Context, urgent bool) (release func(), err error) {
	if urgent {
		return func() {}, nil
	}
	return r.takeSlot(ctx)
}

// takeSlot waits for a slot. It is given back by release, or when its lease ends.
func (r *Runner) takeSlot(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	give := sync.OnceFunc(func() { <-r.slots })
	lease := time.AfterFunc(r.cfg.SlotLease, give)
	return func() {
		lease.Stop()
		give()
	}, nil
}

// Enabled runs a module's enabled script (C-337) on values and config values, both
// JSON. An error means that the script gave no answer.
func (r *Runner) Enabled(ctx context.Context, m *module.Descriptor, valuesJSON, configJSON []byte) (on bool, reason string, err error) {
	run := run{
		id: hook.ID{Owner: hook.Owner{Module: m.Name}, Name: filepath.Base(m.EnabledScript)}, account: m.Origin.ServiceAccount,
		argv: []string{m.EnabledScript}, env: r.env, timeout: r.cfg.Timeout,
		files: []file{
			{envValues, "values.json", valuesJSON},
			{envConfigValues, "config-values.json", configJSON},
			{envEnabledResult, "enabled-result", nil},
			{envEnabledReason, "enabled-reason", nil},
		},
	}
	_, err = r.do(ctx, run, func(o outputs) error {
		answer, err := o.read(envEnabledResult)
		if err != nil {
			return fmt.Errorf("bad %s: %w", envEnabledResult, err)
		}
		switch text := strings.TrimSpace(string(answer)); text {
		case "true", "false":
			on = text == "true"
		default:
			return fmt.Errorf("bad %s: expected true or false, got %q", envEnabledResult, text[:min(len(text), 60)])
		}
		// The reason is for people; without one the answer stands.
		if text, err := o.read(envEnabledReason); err == nil {
			reason = printable([]byte(strings.TrimSpace(string(text[:min(len(text), 1024)]))))
		}
		return nil
	})
	if err != nil {
		return false, "", err
	}
	return on, reason, nil
}
