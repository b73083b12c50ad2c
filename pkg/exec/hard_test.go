package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

func readInto(w io.Writer) func(io.Reader) {
	return func(r io.Reader) { _, _ = io.Copy(w, r) }
}

type counter struct{ n atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

type result struct {
	out hook.Output
	err error
}

// background starts a run that stop ends.
func background(t *testing.T, run hook.Func) (<-chan result, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan result, 1)
	go func() {
		out, err := run(ctx, hook.Input{})
		done <- result{out, err}
	}()
	return done, cancel
}

// marked lists the processes that still belong to a Runner.
func marked(r *Runner) []string {
	var out []string
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		if environ, err := os.ReadFile(path); err == nil && isMarked(environ, r.dir.path) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			out = append(out, filepath.Dir(path)+" "+printable(name))
		}
	}
	return out
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func clean(t *testing.T, r *Runner) {
	t.Helper()
	if l := left(t, r); len(l) > 0 {
		t.Errorf("files are left: %v", l)
	}
	if m := marked(r); len(m) > 0 {
		t.Errorf("processes are left: %v", m)
	}
}

func TestAFloodCostsNeitherMemoryNorLog(t *testing.T) {
	const amount = 64 << 20
	most := 1 << 30
	if testing.Short() {
		most = amount
	}
	for name, c := range map[string]struct {
		script, cause string
	}{
		"lines on stdout":             {lines(most / 100), ""},
		"lines on stderr":             {lines(amount/100) + " >&2", ""},
		"a failure after it":          {lines(amount/100) + " >&2; echo the reason >&2; exit 3", "exit status 3"},
		"one line without end":        {fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x", most), ""},
		"NUL bytes on both":           {fmt.Sprintf("head -c %d /dev/zero | tee /dev/stderr", amount/2), ""},
		"random bytes":                {fmt.Sprintf("head -c %d /dev/urandom", amount/8), ""},
		"an object that never closes": {fmt.Sprintf("printf '{\"a\":\"'; head -c %d /dev/zero | tr '\\0' x", amount), ""},
	} {
		t.Run(name, func(t *testing.T) {
			log := &counter{}
			r, _ := newRunner(t, func(c *Config) {
				c.ProxyJSONLogs = true
				c.Logger = slog.New(slog.NewTextHandler(log, nil))
			})
			run := bind(t, r, c.script)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err := run(t.Context(), hook.Input{})
			seconds := int64(time.Since(began).Seconds()) + 2
			runtime.ReadMemStats(&after)
			var failed *hook.RunError
			switch {
			case c.cause == "" && err != nil:
				t.Error(err)
			case c.cause != "" && (!errors.As(err, &failed) || failed.Cause != c.cause || !strings.HasSuffix(failed.Stderr, "7\nthe reason") || len(failed.Stderr) > tailBytes):
				t.Errorf("got %v", err)
			}
			// 1 MiB a second of each output, and what slog adds to a thousand lines.
			logged := log.n.Load()
			if logged > seconds*3<<20 {
				t.Errorf("%s were logged in %d seconds", size(logged), seconds)
			}
			// All that was ever allocated, hence more than was in use at once.
			if allocated := int64(after.TotalAlloc - before.TotalAlloc); allocated > 32<<20+16*logged {
				t.Errorf("%s were allocated for %s of log", size(allocated), size(logged))
			}
			clean(t, r)
		})
	}
}

func TestNothingThatAHookStartedOutlivesItsRun(t *testing.T) {
	for name, text := range map[string]string{
		"in its group":                   `sleep 1000 &`,
		"in a session of its own":        `setsid sleep 1000 >/dev/null 2>&1 </dev/null &`,
		"a daemon, forked twice":         `(setsid bash -c 'sleep 1000 & exit' >/dev/null 2>&1 </dev/null)`,
		"in a session, holding stdout":   `setsid sleep 1000 &`,
		"in groups made by job control":  "set -m\nsleep 1000 & sleep 1000 | cat &",
		"deaf to SIGTERM and SIGHUP":     `setsid bash -c 'trap "" TERM HUP; while :; do sleep 1000; done' &`,
		"many":                           `for i in {1..200}; do setsid sleep 1000 & done`,
		"one that goes on forking":       `setsid bash -c 'while :; do setsid sleep 1000 & read -t 0.01 < <(:); done' &`,
		"one that goes on writing":       `setsid bash -c 'while :; do echo "{\"name\":\"m\",\"set\":1}" >> $METRICS_PATH; done' & while [ ! -s $METRICS_PATH ]; do :; done`,
		"a run long enough for new pids": `setsid sleep 1000 & sleep 1.2`,
		"stopped":                        `setsid bash -c 'kill -STOP $$' &`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newRunner(t, nil)
			_, err := bind(t, r, text+"\ntrue")(t.Context(), hook.Input{})
			if name == "one that goes on writing" { // it may be killed in the middle of a line
				var failed *hook.RunError
				if err != nil && !errors.As(err, &failed) {
					t.Error(err)
				}
			} else if err != nil {
				t.Error(err)
			}
			clean(t, r)
		})
	}
}

func TestAHookThatStopsItselfIsKilledAtItsDeadline(t *testing.T) {
	r, _ := newRunner(t, nil)
	h := hookOf(script(t, t.TempDir(), "hook.sh", "kill -STOP $$"))
	h.Spec.Timeout = 100 * time.Millisecond
	_, err := r.Bind(h)(t.Context(), hook.Input{})
	var failed *hook.RunError
	if !errors.As(err, &failed) || failed.Cause != "no result within 100ms" {
		t.Errorf("got %v", err)
	}
	clean(t, r)
}

// C-194, B-65.
func TestAHookMayFinishWithinTheGraceAtShutdown(t *testing.T) {
	r, _ := newRunner(t, func(c *Config) { c.KillGrace = time.Minute })
	dir := t.TempDir()
	run := bind(t, r, `trap 'printf half > `+dir+`/state; printf " whole" >> `+dir+`/state; exit 0' TERM
echo $$ > `+dir+`/self; while :; do sleep 1000 & wait $!; done`)
	done, stop := background(t, run)
	pidIn(t, filepath.Join(dir, "self"))
	stop()
	res := <-done
	var failed *hook.RunError
	if !errors.Is(res.err, context.Canceled) || errors.As(res.err, &failed) {
		t.Errorf("got %v", res.err)
	}
	if state, err := os.ReadFile(filepath.Join(dir, "state")); string(state) != "half whole" {
		t.Errorf("it was cut short: %q, %v", state, err)
	}
	clean(t, r)
}

func TestAFloodInAnswerToConfigIsBounded(t *testing.T) {
	r, _ := newRunner(t, nil)
	for name, text := range map[string]string{"stdout": lines(100000), "stderr": lines(1000000) + " >&2; exit 1"} {
		t.Run(name, func(t *testing.T) {
			_, err := r.LoadOne(t.Context(), hook.Standalone, "", script(t, t.TempDir(), "hook.sh", text))
			if err == nil || len(err.Error()) > 20000 {
				t.Errorf("an error of %d bytes: %.200v", len(err.Error()), err)
			}
		})
	}
	clean(t, r)
}

func TestManyBadHooksAtOnceLeaveNothingBehind(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	open := descriptors(t)
	r, err := New(Config{TempDir: t.TempDir(), KillGrace: 20 * time.Millisecond, Slots: 25, FilesLimit: 1 << 20, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{
		"sleep 1000", "trap '' TERM; while :; do sleep 1000; done", "setsid sleep 1000 & setsid sleep 1000 >/dev/null 2>&1 &", "exit 3", "kill -9 $$",
		lines(200000), "head -c 20M /dev/urandom >&2", "echo '{' > $METRICS_PATH", "rm -r $(dirname $METRICS_PATH)",
		"while :; do head -c 100K /dev/zero; done > $METRICS_PATH", "rm $METRICS_PATH; mkfifo $METRICS_PATH", "for i in {1..50}; do setsid sleep 1000 & done; sleep 1000",
		"kill -STOP $$", "exec 1>&- 2>&-; sleep 1000", "chmod 0 $(dirname $METRICS_PATH)",
	}
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	dir := t.TempDir()
	for range rounds {
		var wg sync.WaitGroup
		for i := range 50 {
			h := hookOf(script(t, dir, fmt.Sprintf("%d.sh", i), bad[i%len(bad)]))
			h.Spec.Timeout = 500 * time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			if i%7 == 0 {
				time.AfterFunc(100*time.Millisecond, cancel)
			}
			wg.Go(func() {
				defer cancel()
				_, err := r.Bind(h)(ctx, hook.Input{})
				var failed *hook.RunError
				if err != nil && !errors.As(err, &failed) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		clean(t, r)
		if len(r.slots) != 0 {
			t.Errorf("%d slots are taken", len(r.slots))
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, ignore)
	if now := descriptors(t); now > open {
		t.Errorf("%d descriptors were open, now %d", open, now)
	}
}

// killOperator kills a process of operatorProcess and expects its hook to end with all it started.
func killOperator(t *testing.T, operator *exec.Cmd, dir string) {
	t.Helper()
	script(t, dir, "hook.sh", `trap '' TERM HUP
sleep 1000 & echo $! > `+dir+`/child
setsid bash -c 'echo $$ > `+dir+`/away; exec sleep 1000' >/dev/null 2>&1 </dev/null &
setsid bash -c 'while :; do setsid sleep 1000 & echo $! > `+dir+`/more; read -t 0.05 < <(:); done' >/dev/null 2>&1 </dev/null &
echo $$ > `+dir+`/self
while :; do sleep 1000; done`)
	if err := operator.Start(); err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for _, name := range []string{"self", "child", "away", "more"} {
		pids[name] = pidIn(t, filepath.Join(dir, name))
	}
	eventually(t, "the group is noted", func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "tmp", "*", "1.group"))
		return len(found) == 1
	})
	if err := operator.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = operator.Wait()
	for _, name := range []string{"self", "child", "away", "more"} {
		eventually(t, name+" ended without another start", func() bool { return !alive(pids[name]) })
	}
	mark := []byte(filepath.Join(dir, "tmp"))
	eventually(t, "all ended", func() bool {
		paths, _ := filepath.Glob("/proc/[0-9]*/environ")
		return !slices.ContainsFunc(paths, func(path string) bool {
			environ, _ := os.ReadFile(path)
			return strings.Contains(string(environ), envRun+"="+string(mark))
		})
	})
}

func TestTheGuardNeedsNothingButAShell(t *testing.T) {
	for _, shell := range [][]string{{"sh"}, {"bash"}, {"dash"}, {"busybox", "sh"}} {
		t.Run(strings.Join(shell, " "), func(t *testing.T) {
			path, err := exec.LookPath(shell[0])
			if err != nil {
				t.Skip(err)
			}
			dir := t.TempDir()
			ours, others := exec.Command("sleep", "1000"), exec.Command("sleep", "1000")
			ours.Env = []string{"A=b\nc", envRun + "=" + dir + "/7", "Z=1"}
			others.Env = []string{envRun + "=" + dir + "7/7"}
			for _, c := range []*exec.Cmd{ours, others} {
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Process.Kill() }()
			}
			guard := exec.Command(path, append(slices.Clone(shell[1:]), "-c", guardScript, "guard", dir, envRun+"="+dir+"/")...)
			guard.Stdin = strings.NewReader("some\nwords\n") // that end without "done"
			guard.Env = []string{"PATH=/nowhere"}
			if out, err := guard.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			_ = ours.Wait() // it returns
			if !alive(others.Process.Pid) {
				t.Error("it killed what is not its own")
			}
			_ = others.Process.Kill()
			_ = others.Wait()
			guard = exec.Command(path, append(slices.Clone(shell[1:]), "-c", guardScript, "guard", "/nowhere", "=")...)
			guard.Stdin = strings.NewReader("done\n")
			if out, err := guard.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
