package hooksonly_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/hooksonly"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder is a folder of hooks whose runs are functions.
type folder struct {
	mu     sync.Mutex
	hooks  []hook.Hook
	broken map[string]bool // their --config fails
	runs   map[string]func(context.Context) error
	log    []string
}

func (f *folder) note(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, line)
}

func (f *folder) lines() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.log, ", ")
}

func (f *folder) add(name string, spec hook.Spec, run func(context.Context) error) {
	spec.Version = "v1"
	f.hooks = append(f.hooks, hook.Hook{ID: hook.ID{Owner: hook.Standalone, Name: name}, Spec: spec})
	f.runs[name] = run
}

func (f *folder) Load(context.Context, hook.Owner, hook.Place) ([]hook.Hook, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []hook.Hook
	var errs []error
	for _, h := range f.hooks {
		if f.broken[h.Name] {
			errs = append(errs, &hook.RunError{Hook: h.ID, Cause: "--config: garbage"})
			continue
		}
		out = append(out, h)
	}
	return out, errors.Join(errs...)
}

func (f *folder) Bind(h hook.Hook) hook.Func {
	return func(ctx context.Context, in hook.Input) (hook.Output, error) {
		f.note(h.Name + " " + in.Labels["binding"])
		if run := f.runs[h.Name]; run != nil {
			return hook.Output{}, run(ctx)
		}
		return hook.Output{}, nil
	}
}

func (f *folder) Watch(_ context.Context, id hook.ID, _ hook.Kubernetes, _ hook.WatchHandler) (hook.Watch, error) {
	f.note(id.Name + " watches")
	return watch{}, nil
}

type watch struct{}

func (watch) Snapshot() []hook.Item { return nil }
func (watch) Peek() hook.Held       { return hook.Held{} }
func (watch) Unlock()               {}
func (watch) Stop()                 {}

func (f *folder) Add(string, func()) (func(), error) { return func() {}, nil }

func (f *folder) Register(_ context.Context, _ hook.Owner, hooks []hook.Webhook) error {
	var names []string
	for _, h := range hooks {
		names = append(names, h.Hook.Name)
	}
	f.note("register " + strings.Join(names, "+"))
	return nil
}

func (f *folder) Unregister(context.Context, hook.Owner) error {
	f.note("unregister")
	return nil
}

func (f *folder) Execute(context.Context, []hook.Operation) error     { return nil }
func (f *folder) Samples(hook.ID, []hook.Sample) error                { return nil }
func (f *folder) HookRun(hookrun.Run)                                 {}
func (f *folder) Compacted(string, hook.ID)                           {}
func (f *folder) QueueAction(string, string, time.Duration)           {}
func (f *folder) MonitorMissing(string)                               {}
func (f *folder) BindingsStarted(_ hook.ID, _ time.Duration, _ error) {}
func (f *folder) state(l *hooksonly.Loop, name string) (s hooksonly.State) {
	i := slices.IndexFunc(l.Hooks(), func(h hooksonly.Status) bool { return h.Name == name })
	return l.Hooks()[i].State
}

// advance lets virtual time pass; it is called inside synctest bubbles only.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // virtual time
	synctest.Wait()
}

func startup(order float64) hook.Spec {
	return hook.Spec{Orders: map[hook.Binding]float64{hook.OnStartup: order}}
}

// C-185 with a patience: the start goes by order, and what fails or hangs, in its
// configuration or its start, is tried again and holds up nobody. Webhooks are
// registered together, after the first round.
func TestTheStartGoesOnBeyondWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &folder{broken: map[string]bool{"d-bad": true}, runs: map[string]func(context.Context) error{}}
		watching := hook.Kubernetes{Route: hook.Route{Name: "pods"}, OnSynchronization: true}
		fails := 2
		f.add("a-late", startup(20), nil)
		f.add("b-fails", startup(10), func(context.Context) error {
			if fails--; fails >= 0 {
				return errors.New("not yet")
			}
			return nil
		})
		f.add("c-watch", hook.Spec{Kubernetes: []hook.Kubernetes{watching}, Admissions: []hook.Admission{{}}}, nil)
		f.add("d-bad", hook.Spec{Admissions: []hook.Admission{{}}}, nil)
		l := hooksonly.New(hooksonly.Config{Dir: "hooks", Logger: slog.New(slog.DiscardHandler),
			Ports: hooksonly.Ports{Executables: f, Watcher: f, Scheduler: f, Webhooks: f, Objects: f, Meter: f}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		synctest.Wait()

		want := "b-fails onStartup, a-late onStartup, c-watch watches"
		if got := f.lines(); !strings.HasPrefix(got, want) || !strings.Contains(got, "c-watch pods") || !strings.Contains(got, "register c-watch") {
			t.Errorf("got %s", got)
		}
		if !l.Ready() || f.state(l, "b-fails") != hooksonly.Starting || f.state(l, "c-watch") != hooksonly.Running || f.state(l, "d-bad") != hooksonly.Unreadable {
			t.Errorf("ready %v, hooks %+v", l.Ready(), l.Hooks())
		}
		f.mu.Lock()
		f.broken = nil
		f.mu.Unlock()
		advance(10 * time.Second)
		if f.state(l, "b-fails") != hooksonly.Running || f.state(l, "d-bad") != hooksonly.Running {
			t.Errorf("hooks %+v", l.Hooks())
		}
		if got := f.lines(); !strings.Contains(got, "register c-watch+d-bad") {
			t.Errorf("got %s", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A hook that hangs at its start holds the others up for the patience, and ends with the process.
func TestAHangingStartIsWaitedForWithPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &folder{runs: map[string]func(context.Context) error{}}
		f.add("a-hangs", startup(1), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		f.add("b-watch", hook.Spec{Kubernetes: []hook.Kubernetes{{}}}, nil)
		l := hooksonly.New(hooksonly.Config{Logger: slog.New(slog.DiscardHandler), Patience: time.Minute, ShutdownGrace: time.Second,
			Ports: hooksonly.Ports{Executables: f, Watcher: f, Scheduler: f, Objects: f, Meter: f}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		advance(59 * time.Second)
		if got := f.lines(); got != "a-hangs onStartup" || l.Ready() {
			t.Errorf("ready %v: %s", l.Ready(), got)
		}
		advance(2 * time.Second)
		if got := f.lines(); got != "a-hangs onStartup, b-watch watches" || !l.Ready() {
			t.Errorf("ready %v: %s", l.Ready(), got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
