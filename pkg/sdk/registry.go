package sdk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Options are what the hooks of a Registry run with. The zero value of a field means its default.
type Options struct {
	// Timeout bounds a run of a hook that sets none itself. Default 10 minutes.
	Timeout time.Duration
	// Grace is how long a run may take to return after its context has ended. Default 5 seconds.
	Grace time.Duration
	// Version is part of the digests of hooks: facts that another version stated are
	// stated anew after an upgrade. Default: the version of the running binary's main
	// module and its revision.
	Version string
	// Logger gets what hooks log. Default slog.Default().
	Logger *slog.Logger
}

func (o *Options) fill() {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Minute
	}
	if o.Grace <= 0 {
		o.Grace = 5 * time.Second
	}
	if o.Version == "" {
		o.Version = buildVersion()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	parts := []string{info.Main.Path, info.Main.Version, info.Main.Sum}
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "vcs.") {
			parts = append(parts, s.Value)
		}
	}
	return strings.Join(parts, " ")
}

// Registry holds hooks that run inside the operator, by owner. Its methods are safe for
// concurrent use.
type Registry struct {
	options Options
	mu      sync.Mutex
	entries map[hook.ID]*entry
}

// NewRegistry is a Registry without hooks.
func NewRegistry(options Options) *Registry {
	options.fill()
	return &Registry{options: options, entries: map[hook.ID]*entry{}}
}

// Add gives an owner its hooks. The configuration of each is checked as that of an executable
// is; the error names what is wrong with each hook, and then none is added. A hook is
// called hooks/<Name> as an executable would be (C-009), without modules just <Name>.
func (r *Registry) Add(owner hook.Owner, hooks ...Hook) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	added := map[hook.ID]*entry{}
	var errs []error
	for _, h := range hooks {
		e, err := newEntry(owner, h, &r.options)
		if err == nil && (r.entries[e.hook.ID] != nil || added[e.hook.ID] != nil) {
			err = fmt.Errorf("hook %s is there already: hooks of one owner need names of their own", e.hook.ID)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		added[e.hook.ID] = e
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	maps.Copy(r.entries, added)
	for _, e := range added {
		for _, w := range e.hook.Spec.Warnings {
			e.logger(nil).Warn("hook configuration: " + w)
		}
	}
	return nil
}

// Hooks are those of an owner, sorted by name.
func (r *Registry) Hooks(owner hook.Owner) []hook.Hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []hook.Hook
	for id, e := range r.entries {
		if id.Owner == owner {
			out = append(out, e.hook)
		}
	}
	slices.SortFunc(out, func(a, b hook.Hook) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Bind is the function that runs a hook of this registry; false if it has none of that ID.
//
// A run is bounded by the hook's timeout, which ends its context. A Go function
// cannot be killed: one that has not returned some seconds later is reported as failed
// and abandoned, and as long as it goes on, the hook's next runs wait for it within their own
// timeout. But for that, runs may overlap, as those of executables.
func (r *Registry) Bind(h hook.Hook) (hook.Func, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[h.ID]
	if !ok {
		return nil, false
	}
	return e.run, true
}

// entry is a hook of the registry.
type entry struct {
	hook    hook.Hook
	code    Hook
	options *Options

	mu sync.Mutex
	// abandoned are closed by runs that nobody waits for any more when they return.
	abandoned []<-chan struct{}
}

func newEntry(owner hook.Owner, h Hook, options *Options) (*entry, error) {
	if h.Name == "" || h.Run == nil {
		return nil, fmt.Errorf("hook %q of %s needs a Name and a Run", h.Name, owner)
	}
	id := hook.ID{Owner: owner, Name: h.Name}
	if !owner.IsStandalone() {
		id.Name = path.Join("hooks", h.Name)
	}
	config, err := h.Config()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", owner, err)
	}
	spec, err := hook.ParseConfig(config, owner)
	if err != nil {
		return nil, fmt.Errorf("hook %s: %w", id, err)
	}
	digest := values.Digest(slices.Concat([]byte(options.Version+"\x00"), config))
	return &entry{hook: hook.Hook{ID: id, Digest: digest, Spec: spec}, code: h, options: options}, nil
}

var (
	errTimeout = errors.New("no result in time")
	errEnded   = errors.New("the hook ended its goroutine: expected it to return")
)

type result struct {
	out hook.Output
	err error
}

// run is the hook.Func of the entry.
func (e *entry) run(ctx context.Context, in hook.Input) (hook.Output, error) {
	timeout := cmp.Or(e.hook.Spec.Timeout, e.options.Timeout)
	limited, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	if err := e.waitForAbandoned(limited, timeout); err != nil {
		return hook.Output{}, err
	}
	began := time.Now()
	done := make(chan struct{})
	res := result{err: errEnded} // what remains when the hook calls runtime.Goexit
	go func() {
		defer close(done)
		res.out, res.err = Run(limited, e.code, in, e.logger(in.Labels))
	}()
	returned, cause := e.await(limited, done)
	usage := hook.Usage{Wall: time.Since(began)}
	out := hook.Output{Usage: usage}
	switch {
	case cause != nil && !errors.Is(cause, errTimeout):
		return out, fmt.Errorf("%s: stopped: %w", e.hook.ID, cause)
	case !returned:
		return out, e.failed(fmt.Sprintf("no result within %s, and it ignores that its time is over; its next runs wait for its end", timeout), "", usage)
	case cause != nil:
		return out, e.failed(fmt.Sprintf("no result within %s", timeout), "", usage)
	case res.err != nil:
		var p *panicError
		if errors.As(res.err, &p) {
			return out, e.failed(p.cause, p.stack, usage)
		}
		return out, e.failed(strings.Join(strings.Fields(res.err.Error()), " "), "", usage)
	}
	res.out.Usage = usage
	return res.out, nil
}

// await waits for the end of a run, and a grace longer than its context; a run that has not
// returned then is abandoned. The cause is why the context ended before the run, if it did.
func (e *entry) await(ctx context.Context, done <-chan struct{}) (returned bool, cause error) {
	select {
	case <-done:
		return true, nil
	case <-ctx.Done():
	}
	grace := time.NewTimer(e.options.Grace)
	defer grace.Stop()
	select {
	case <-done:
		return true, context.Cause(ctx)
	case <-grace.C:
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.abandoned = append(e.abandoned, done)
	return false, context.Cause(ctx)
}

// waitForAbandoned returns when no abandoned run of the hook goes on.
func (e *entry) waitForAbandoned(ctx context.Context, timeout time.Duration) error {
	e.mu.Lock()
	waiting := slices.Clone(e.abandoned)
	e.mu.Unlock()
	for _, done := range waiting {
		select {
		case <-done:
			e.forget(done)
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, errTimeout) {
				return fmt.Errorf("%s: not started: %w", e.hook.ID, cause)
			}
			return e.failed(fmt.Sprintf("not started within %s: an earlier run ignored that its time was over and still goes on", timeout), "", hook.Usage{})
		}
	}
	return nil
}

func (e *entry) forget(done <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.abandoned = slices.DeleteFunc(e.abandoned, func(c <-chan struct{}) bool { return c == done })
}

func (e *entry) failed(cause, stack string, usage hook.Usage) error {
	return &hook.RunError{Hook: e.hook.ID, Cause: cause, Stderr: stack, Usage: usage}
}

// logger labels what a run logs as lines of an executable are labelled (C-111).
func (e *entry) logger(labels map[string]string) *slog.Logger {
	attrs := []any{slog.String("hook", e.hook.Name)}
	if m := e.hook.Owner.Module; m != "" {
		attrs = append(attrs, slog.String("module", m))
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		attrs = append(attrs, slog.String(k, labels[k]))
	}
	return e.options.Logger.With(attrs...)
}
