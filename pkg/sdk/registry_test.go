package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/sdk"
)

var hello = hook.Owner{Module: "hello"}

// bound is a function as a hook of module hello.
func bound(t *testing.T, options sdk.Options, timeout time.Duration, f func(context.Context, *sdk.Input) error) hook.Func {
	t.Helper()
	r := sdk.NewRegistry(options)
	err := r.Add(hello, sdk.Hook{Name: "h", On: []sdk.Binding{sdk.OnStartup(1)}, Settings: sdk.Settings{Timeout: timeout}, Run: f})
	if err != nil {
		t.Fatal(err)
	}
	do, ok := r.Bind(r.Hooks(hello)[0])
	if !ok {
		t.Fatal("the registry does not know its own hook")
	}
	return do
}

func startup() hook.Input { return hook.Input{Contexts: []byte(`[{"binding":"onStartup"}]`)} }

func TestARegistryHoldsHooksByOwner(t *testing.T) {
	t.Parallel()
	named := func(name string, on ...sdk.Binding) sdk.Hook {
		return sdk.Hook{Name: name, On: on, Run: func(context.Context, *sdk.Input) error { return nil }}
	}
	r := sdk.NewRegistry(sdk.Options{Version: "1"})
	for owner, hooks := range map[hook.Owner][]sdk.Hook{
		hello:           {named("b", sdk.BeforeHelm(1)), named("a", sdk.OnStartup(1))},
		hook.Global:     {named("a", sdk.BeforeAll(1))},
		hook.Standalone: {named("a", sdk.OnStartup(1))},
	} {
		if err := r.Add(owner, hooks...); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, owner := range []hook.Owner{hello, hook.Global, hook.Standalone, {Module: "other"}} {
		for _, h := range r.Hooks(owner) {
			names = append(names, h.ID.String())
		}
	}
	if diff := cmp.Diff([]string{"hello/hooks/a", "hello/hooks/b", "global/hooks/a", "hooks/a"}, names); diff != "" {
		t.Errorf("C-009 (-want +got):\n%s", diff)
	}
	if _, ok := r.Bind(hook.Hook{ID: hook.ID{Owner: hello, Name: "hooks/c"}}); ok {
		t.Error("a hook that is not there can be bound")
	}
}

func TestHooksThatCannotBeAdded(t *testing.T) {
	t.Parallel()
	do := func(context.Context, *sdk.Input) error { return nil }
	r := sdk.NewRegistry(sdk.Options{})
	err := r.Add(hello,
		sdk.Hook{Name: "good", On: []sdk.Binding{sdk.OnStartup(1)}, Run: do},
		sdk.Hook{Name: "good", On: []sdk.Binding{sdk.OnStartup(1)}, Run: do},
		sdk.Hook{Name: "global", On: []sdk.Binding{sdk.BeforeAll(1)}, Run: do},
		sdk.Hook{Name: "none", Run: do},
		sdk.Hook{Name: "idle", On: []sdk.Binding{sdk.OnStartup(1)}},
	)
	for _, want := range []string{
		"hook hello/hooks/good is there already", "hook hello/hooks/global: hook configuration", "beforeAll",
		"hook hello/hooks/none: hook configuration", `hook "idle" of hello needs a Name and a Run`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q in %v", want, err)
		}
	}
	if got := r.Hooks(hello); len(got) != 0 {
		t.Errorf("some were added all the same: %v", got)
	}
}

func TestTheDigestFollowsVersionAndConfiguration(t *testing.T) {
	t.Parallel()
	digest := func(version string, number int) string {
		r := sdk.NewRegistry(sdk.Options{Version: version})
		err := r.Add(hello, sdk.Hook{Name: "h", On: []sdk.Binding{sdk.OnStartup(number)}, Run: func(context.Context, *sdk.Input) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		return r.Hooks(hello)[0].Digest
	}
	first := digest("1", 1)
	if digest("1", 1) != first || digest("2", 1) == first || digest("1", 2) == first {
		t.Error("equal hooks need equal digests, and others another")
	}
}

// TestAFailedRunInProcessSaysWhy: C-107, C-108.
func TestAFailedRunInProcessSaysWhy(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		do            func(context.Context, *sdk.Input) error
		cause, stderr string
	}{
		"an error":                 {func(context.Context, *sdk.Input) error { return errors.New("no\nway") }, "no way", ""},
		"a panic":                  {func(context.Context, *sdk.Input) error { panic("no\nway") }, "panic: no way", "TestAFailedRunInProcessSaysWhy"},
		"the end of its goroutine": {func(context.Context, *sdk.Input) error { runtime.Goexit(); return nil }, "the hook ended its goroutine: expected it to return", ""},
		"output that is not valid": {func(_ context.Context, in *sdk.Input) error { in.Objects.Delete(sdk.Target{Kind: "Pod"}); return nil }, "bad KUBERNETES_PATCH_PATH: can't validate document: document 1.name should not be empty", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			_, err := bound(t, sdk.Options{Logger: discard()}, 0, test.do)(t.Context(), startup())
			var failed *hook.RunError
			if !errors.As(err, &failed) || failed.Cause != test.cause || !strings.Contains(failed.Stderr, test.stderr) || failed.Hook.Name != "hooks/h" {
				t.Errorf("the error is %#v", err)
			}
		})
	}
}

func TestARunHasTheTimeOfItsSettings(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		timeout, bound time.Duration
		wants          string
	}{
		"its own":        {time.Minute, time.Minute, "no result within 1m0s"},
		"the operator's": {0, time.Hour, "no result within 1h0m0s"},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				do := bound(t, sdk.Options{Timeout: time.Hour, Logger: discard()}, test.timeout, func(ctx context.Context, _ *sdk.Input) error {
					<-ctx.Done()
					return nil // too late all the same
				})
				out, err := do(t.Context(), startup())
				var failed *hook.RunError
				if !errors.As(err, &failed) || failed.Cause != test.wants || time.Since(began) != test.bound || out.Usage.Wall != test.bound {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
			})
		})
	}
}

func TestARunEndsWithTheOperator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		do := bound(t, sdk.Options{Logger: discard()}, 0, func(ctx context.Context, _ *sdk.Input) error {
			cancel(errors.New("shutdown"))
			<-ctx.Done()
			return ctx.Err()
		})
		_, err := do(ctx, startup())
		if err == nil || err.Error() != "hello/hooks/h: stopped: shutdown" {
			t.Errorf("the error is %v", err)
		}
		var failed *hook.RunError
		if errors.As(err, &failed) {
			t.Error("the hook is blamed for the end of the operator")
		}
	})
}

// TestARunThatIgnoresItsDeadlineIsAbandoned and never overlaps the next ones.
func TestARunThatIgnoresItsDeadlineIsAbandoned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		running, runs := 0, 0
		do := bound(t, sdk.Options{Grace: time.Second, Logger: discard()}, time.Minute, func(context.Context, *sdk.Input) error {
			if running++; running > 1 {
				t.Error("two runs at once")
			}
			runs++
			<-release
			running--
			return nil
		})
		failed := func(wants string) {
			t.Helper()
			if _, err := do(t.Context(), startup()); err == nil || !strings.Contains(err.Error(), wants) {
				t.Errorf("the error is %v, want one with %q", err, wants)
			}
		}
		began := time.Now()
		failed("no result within 1m0s, and it ignores that its time is over")
		if took := time.Since(began); took != time.Minute+time.Second {
			t.Errorf("it was abandoned after %s", took)
		}
		failed("not started within 1m0s: an earlier run ignored that its time was over and still goes on")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := do(ended, startup()); err == nil || !strings.Contains(err.Error(), "not started: context canceled") {
			t.Errorf("at the end of the operator: %v", err)
		}
		close(release)
		synctest.Wait()
		if _, err := do(t.Context(), startup()); err != nil {
			t.Errorf("after its end: %v", err)
		}
		if runs != 2 {
			t.Errorf("%d runs were started, expected the abandoned one and the last", runs)
		}
	})
}

// TestRunsMayOverlapUnlessAbandoned: answers to reviews are given in parallel (C-245).
func TestRunsMayOverlapUnlessAbandoned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		both := make(chan struct{}, 2)
		do := bound(t, sdk.Options{Logger: discard()}, time.Minute, func(ctx context.Context, _ *sdk.Input) error {
			both <- struct{}{}
			for len(both) < 2 {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Second):
				}
			}
			return nil
		})
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := do(t.Context(), startup())
				errs <- err
			}()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Error(err)
		}
	})
}

// TestLogRecordsAreLabelled: C-111.
func TestLogRecordsAreLabelled(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	do := bound(t, sdk.Options{Logger: slog.New(slog.NewJSONHandler(&text, nil))}, 0, func(_ context.Context, in *sdk.Input) error {
		in.Log.Warn("careful", "key", "value")
		return nil
	})
	in := startup()
	in.Labels = map[string]string{"binding": "onStartup", "queue": "main"}
	if _, err := do(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]any{"level": "WARN", "msg": "careful", "key": "value", "hook": "hooks/h", "module": "hello", "binding": "onStartup", "queue": "main"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
