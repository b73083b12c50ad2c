package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envTestOperator); dir != "" {
		operatorProcess(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// records is a log that a test reads.
type records struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func newRunner(t *testing.T, change func(*Config)) (*Runner, *records) {
	t.Helper()
	log := &records{}
	cfg := Config{TempDir: t.TempDir(), KillGrace: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r, log
}

// script writes an executable of bash.
func script(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/bash\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func hookOf(path string) hook.Hook {
	return hook.Hook{ID: hook.ID{Owner: hook.Owner{Module: "mod"}, Name: "hooks/" + filepath.Base(path)}, Path: path}
}

func bind(t *testing.T, r *Runner, text string) hook.Func {
	t.Helper()
	return r.Bind(hookOf(script(t, t.TempDir(), "hook.sh", text)))
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// alive tells whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	after := string(stat[bytes.LastIndexByte(stat, ')')+1:])
	return !strings.HasPrefix(after, " Z") && !strings.HasPrefix(after, " X")
}

func readPID(path string) int {
	text, _ := os.ReadFile(path)
	if !bytes.HasSuffix(text, []byte("\n")) {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func pidIn(t *testing.T, path string) int {
	t.Helper()
	eventually(t, "a pid in "+filepath.Base(path), func() bool { return readPID(path) > 0 })
	return readPID(path)
}

// C-101, C-102, C-104, C-106.
func TestAHookGetsItsVariablesAndFiles(t *testing.T) {
	t.Setenv(envMetrics, "/from/outside")
	r, _ := newRunner(t, nil)
	kept := t.TempDir()
	run := bind(t, r, `
cat $BINDING_CONTEXT_PATH > `+kept+`/contexts; cat $VALUES_PATH > `+kept+`/values; cat $CONFIG_VALUES_PATH > `+kept+`/config
stat -c %a $VALUES_JSON_PATCH_PATH $CONFIG_VALUES_JSON_PATCH_PATH $KUBERNETES_PATCH_PATH $METRICS_PATH $VALUES_PATH $(dirname $VALUES_PATH) | tr '\n' ' ' > `+kept+`/modes
stat -c %s $VALUES_JSON_PATCH_PATH $CONFIG_VALUES_JSON_PATCH_PATH $KUBERNETES_PATCH_PATH $METRICS_PATH | tr '\n' ' ' > `+kept+`/sizes
echo $# $PWD > `+kept+`/args
dirname $VALUES_PATH > `+kept+`/dir
`)
	if _, err := run(t.Context(), hook.Input{Contexts: []byte(`[1]`), Values: []byte(`{"a":1}`), ConfigValues: []byte(`{"b":1}`)}); err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"contexts": `[1]`, "values": `{"a":1}`, "config": `{"b":1}`, "modes": "600 600 600 600 600 700 ", "sizes": "0 0 0 0 ", "args": "0 " + wd + "\n",
	} {
		got, err := os.ReadFile(filepath.Join(kept, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, want)
		}
	}
	dir, err := os.ReadFile(filepath.Join(kept, "dir"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(dir))); !os.IsNotExist(err) {
		t.Errorf("the files are still there: %v", err)
	}
}

func TestAHooksOutputsAreParsed(t *testing.T) {
	r, _ := newRunner(t, nil)
	out, err := bind(t, r, `
echo '{"op":"add","path":"/mod/a","value":1}' > $VALUES_JSON_PATCH_PATH
echo '[{"op":"remove","path":"/mod/b"}]' > $CONFIG_VALUES_JSON_PATCH_PATH
printf 'operation: Delete\nkind: Pod\nname: x\n' > $KUBERNETES_PATCH_PATH
echo '{"name":"m","set":2}' >> $METRICS_PATH
`)(t.Context(), hook.Input{})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Values) != 1 || out.Values[0] != (values.Op{Op: "add", Path: "/mod/a", Value: int64(1)}) || len(out.Config) != 1 || len(out.Operations) != 1 || len(out.Samples) != 1 {
		t.Errorf("got %+v", out)
	}
	if out.Usage.Wall <= 0 { // C-110
		t.Errorf("got usage %+v", out.Usage)
	}
}

func TestAFailedRunSaysWhy(t *testing.T) {
	for name, c := range map[string]struct{ script, cause, stderr string }{
		"a status above zero (C-107)":     {"echo out; echo it broke >&2; exit 3", "exit status 3", "it broke"},
		"a signal":                        {"kill -9 $$", "signal: killed", ""},
		"a values patch (C-108, C-321)":   {`echo '{"op":"replace","path":"/mod/a","value":1}' > $VALUES_JSON_PATCH_PATH`, "bad VALUES_JSON_PATCH_PATH: values patch: unsupported patch operation", ""},
		"operations":                      {`echo '{"operation":"x"}' > $KUBERNETES_PATCH_PATH; echo '{' > $METRICS_PATH`, "bad KUBERNETES_PATCH_PATH: can't validate document", ""},
		"several files":                   {`echo '{"operation":"x"}' > $KUBERNETES_PATCH_PATH; echo '{' > $METRICS_PATH`, "bad METRICS_PATH: got bad metrics", ""},
		"a removed file":                  {"rm $CONFIG_VALUES_JSON_PATCH_PATH", "bad CONFIG_VALUES_JSON_PATCH_PATH: the hook removed the file", ""},
		"a file above the limit":          {"head -c 2000 /dev/zero > $METRICS_PATH", "bad METRICS_PATH: it holds 1.953 KiB: at most 1000 bytes", ""},
		"a named pipe in a file's place":  {"rm $METRICS_PATH; mkfifo $METRICS_PATH", "bad METRICS_PATH: it became a named pipe", ""},
		"a directory in a file's place":   {"rm $METRICS_PATH; mkdir $METRICS_PATH", "bad METRICS_PATH: it became a directory", ""},
		"only the tail of a long stderr":  {"for i in {1..500}; do echo line $i >&2; done; exit 1", "exit status 1", "line 481\n"},
		"binary output is made printable": {`printf '\x00\xff\x1b[31mred' >&2; exit 1`, "exit status 1", `\x00\xff\x1b[31mred`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newRunner(t, func(c *Config) { c.OutputLimit = 1000 })
			out, err := bind(t, r, c.script)(t.Context(), hook.Input{})
			var failed *hook.RunError
			if !errors.As(err, &failed) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(failed.Cause, c.cause) || strings.Contains(failed.Cause, "\n") {
				t.Errorf("got cause %q, want %q", failed.Cause, c.cause)
			}
			if c.stderr == "" && failed.Stderr != "" || !strings.HasPrefix(failed.Stderr+"\n", c.stderr) || len(failed.Stderr) > tailBytes {
				t.Errorf("got stderr %q, want %q", failed.Stderr, c.stderr)
			}
			if len(out.Values)+len(out.Operations)+len(out.Samples) != 0 || failed.Usage.Wall == 0 {
				t.Errorf("got %+v, %+v", out, failed.Usage)
			}
		})
	}
}

func TestAFileThatCannotBeStartedIsTheHooksFault(t *testing.T) {
	r, _ := newRunner(t, nil)
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := r.Bind(hookOf(path))(t.Context(), hook.Input{})
	var failed *hook.RunError
	if !errors.As(err, &failed) || !strings.Contains(failed.Cause, "cannot be started") {
		t.Errorf("got %v", err)
	}
}

func TestAHookThatTakesTooLongIsKilledWithAllItsChildren(t *testing.T) {
	for name, prefix := range map[string]string{"one that ends on SIGTERM": "", "one that ignores SIGTERM": "trap '' TERM\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newRunner(t, nil)
			dir := t.TempDir()
			h := hookOf(script(t, dir, "hook.sh", prefix+`sleep 1000 & echo $! > `+dir+`/child
echo $$ > `+dir+`/self
while :; do sleep 1000; done`))
			h.Spec.Timeout = 300 * time.Millisecond
			_, err := r.Bind(h)(t.Context(), hook.Input{})
			var failed *hook.RunError
			if !errors.As(err, &failed) || failed.Cause != "no result within 300ms" {
				t.Fatalf("got %v", err)
			}
			for _, name := range []string{"self", "child"} {
				pid := pidIn(t, filepath.Join(dir, name))
				eventually(t, name+" ended", func() bool { return !alive(pid) })
			}
		})
	}
}

func TestARunEndsWithItsContextAndThatIsNotTheHooksFault(t *testing.T) {
	r, _ := newRunner(t, nil)
	dir := t.TempDir()
	run := r.Bind(hookOf(script(t, dir, "hook.sh", `echo $$ > `+dir+`/self; exec sleep 1000`)))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the lease was lost")
	result := make(chan error, 1)
	go func() {
		_, err := run(ctx, hook.Input{})
		result <- err
	}()
	pid := pidIn(t, filepath.Join(dir, "self"))
	cancel(why)
	err := <-result
	var failed *hook.RunError
	if !errors.Is(err, why) || errors.As(err, &failed) {
		t.Errorf("got %v", err)
	}
	if alive(pid) {
		t.Error("the hook is still alive")
	}
	if _, err := run(ctx, hook.Input{}); !errors.Is(err, why) {
		t.Errorf("a run after the end: got %v", err)
	}
}

func TestWhatAHookLeavesBehindIsKilled(t *testing.T) {
	r, _ := newRunner(t, nil)
	dir := t.TempDir()
	// The first stays in the group, the second leaves it and keeps the outputs open.
	_, err := bind(t, r, `sleep 1000 & echo $! > `+dir+`/child
setsid bash -c 'echo $$ > `+dir+`/away; exec sleep 1000' &
while [ ! -s `+dir+`/away ]; do :; done
echo '{"name":"m","set":2}' > $METRICS_PATH`)(t.Context(), hook.Input{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"child", "away"} {
		pid := pidIn(t, filepath.Join(dir, name))
		eventually(t, name+" ended", func() bool { return !alive(pid) })
	}
}

func TestCloseKillsWhatLeftItsGroupSilently(t *testing.T) {
	r, err := New(Config{TempDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := bind(t, r, `setsid bash -c 'echo $$ > `+dir+`/away; exec sleep 1000' >/dev/null 2>&1 </dev/null &
while [ ! -s `+dir+`/away ]; do :; done`)(t.Context(), hook.Input{}); err != nil {
		t.Fatal(err)
	}
	pid := pidIn(t, filepath.Join(dir, "away"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ended", func() bool { return !alive(pid) })
}

const (
	envTestOperator = "TEST_OPERATOR_DIR"
	envTestUser     = "TEST_OPERATOR_USER"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// operatorProcess is the body of a child process that runs a hook and is killed.
func operatorProcess(dir string) {
	cfg := Config{TempDir: filepath.Join(dir, "tmp")}
	if os.Getenv(envTestUser) != "" {
		cfg.Credential = &Credential{UID: nobody, GID: nobody}
	}
	r, err := New(cfg)
	if err == nil {
		_, err = r.Bind(hookOf(filepath.Join(dir, "hook.sh")))(context.Background(), hook.Input{Values: []byte("{}")})
	}
	fmt.Fprintln(os.Stderr, "the run ended:", err)
	os.Exit(1)
}

func TestHooksDieWithAnOperatorThatIsKilled(t *testing.T) {
	dir := t.TempDir()
	operator := exec.Command(os.Args[0])
	operator.Env = append(os.Environ(), envTestOperator+"="+dir)
	killOperator(t, operator, dir)
	r, err := New(Config{TempDir: filepath.Join(dir, "tmp"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", dirPrefix+"*")); len(left) != 1 {
		t.Errorf("files are left: %v", left)
	}
}

func TestTwoOperatorsShareADirectory(t *testing.T) {
	tmp := t.TempDir()
	first, _ := newRunner(t, func(c *Config) { c.TempDir = tmp })
	newRunner(t, func(c *Config) { c.TempDir = tmp })
	if _, err := bind(t, first, "true")(t.Context(), hook.Input{}); err != nil {
		t.Errorf("the second start took the first one's files: %v", err)
	}
}

func TestAHangingHookGivesItsSlotBack(t *testing.T) {
	r, _ := newRunner(t, func(c *Config) { c.Slots, c.SlotLease = 1, 50*time.Millisecond })
	dir := t.TempDir()
	gate := filepath.Join(dir, "gate")
	hanging := bind(t, r, `mkfifo `+gate+`; read -r _ < `+gate)
	result := make(chan error, 1)
	go func() {
		_, err := hanging(t.Context(), hook.Input{})
		result <- err
	}()
	eventually(t, "the first hangs", func() bool { _, err := os.Stat(gate); return err == nil })
	if _, err := bind(t, r, "true")(t.Context(), hook.Input{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-result:
		t.Fatalf("the first ended before it was let go: %v", err)
	default:
	}
	if err := os.WriteFile(gate, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	// Nothing was given back twice.
	if len(r.slots) != 0 {
		t.Errorf("%d slots are taken", len(r.slots))
	}
}

func TestSlotsBoundTheProcesses(t *testing.T) {
	r, _ := newRunner(t, func(c *Config) { c.Slots = 2; c.SlotLease = time.Hour })
	dir := t.TempDir()
	run := bind(t, r, `mkdir `+dir+`/$$; ls `+dir+` | wc -l; rmdir `+dir+`/$$; n=$(ls `+dir+` | wc -l); [ "$n" -le 1 ]`)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := run(t.Context(), hook.Input{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// C-111, C-112.
func TestOutputGoesToTheLogLineByLine(t *testing.T) {
	r, log := newRunner(t, nil)
	if _, err := bind(t, r, `echo hello; echo problem >&2; echo '{"level":"warn","msg":"from json","time":"x","n":12345678901234567}'; printf 'no end'`)(t.Context(),
		hook.Input{Labels: map[string]string{"binding": "beforeHelm", "queue": "main", "event": "pass"}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`level=INFO msg=hello hook=hooks/hook.sh module=mod binding=beforeHelm event=pass queue=main output=stdout`,
		`level=INFO msg=problem hook=hooks/hook.sh module=mod binding=beforeHelm event=pass queue=main output=stderr`,
		`level=WARN msg="from json" hook=hooks/hook.sh module=mod binding=beforeHelm event=pass queue=main output=stdout proxyJsonLog=true hook_n=12345678901234567` + "\n",
		`msg="no end"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s\nis missing in\n%s", want, log)
		}
	}
}

func TestAFloodIsCutAndTheHookGoesOn(t *testing.T) {
	r, log := newRunner(t, nil)
	if _, err := bind(t, r, `yes | head -n 300000; head -c 3000000 /dev/zero; echo`)(t.Context(), hook.Input{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "\n"); n > 200000 {
		t.Errorf("%d records", n)
	}
	if !strings.Contains(log.String(), "the hook writes too much") {
		t.Error("no mark")
	}
}

// C-337.
func TestEnabledScript(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		on     bool
		reason string
		err    string
	}{
		"on":                          {`echo true > $MODULE_ENABLED_RESULT`, true, "", ""},
		"off with a reason":           {`echo " false " > $MODULE_ENABLED_RESULT; echo no nodes > $MODULE_ENABLED_REASON`, false, "no nodes", ""},
		"reads its values":            {`grep -q '"a":1' $VALUES_PATH && grep -q null $CONFIG_VALUES_PATH && echo true > $MODULE_ENABLED_RESULT`, true, "", ""},
		"gets no hook's file (C-101)": {`[ -z "$BINDING_CONTEXT_PATH$VALUES_JSON_PATCH_PATH$METRICS_PATH" ] && echo true > $MODULE_ENABLED_RESULT`, true, "", ""},
		"no answer":                   {`:`, false, "", `bad MODULE_ENABLED_RESULT: expected true or false, got ""`},
		"another answer":              {`echo True > $MODULE_ENABLED_RESULT`, false, "", `got "True"`},
		"a failure":                   {`echo true > $MODULE_ENABLED_RESULT; echo oops >&2; exit 1`, false, "", "exit status 1: oops"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newRunner(t, nil)
			on, reason, err := r.Enabled(t.Context(), &module.Descriptor{Name: "mod", EnabledScript: script(t, t.TempDir(), "enabled", c.script)}, []byte(`{"a":1}`), []byte(`null`))
			if on != c.on || reason != c.reason || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %t %q %v", on, reason, err)
			}
		})
	}
}

func TestFilesStayWhenAskedTo(t *testing.T) {
	tmp := t.TempDir()
	r, _ := newRunner(t, func(c *Config) { c.TempDir, c.KeepTempFiles = tmp, true })
	if _, err := bind(t, r, "true")(t.Context(), hook.Input{}); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(tmp, "*", "1", "values.json")); len(found) != 1 {
		t.Errorf("C-104: got %v", found)
	}
}

func BenchmarkRun(b *testing.B) {
	r, err := New(Config{TempDir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	path := filepath.Join(b.TempDir(), "hook.sh")
	if err := os.WriteFile(path, []byte("#!/bin/bash\n:\n"), 0o755); err != nil {
		b.Fatal(err)
	}
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command(path).Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("hook", func(b *testing.B) {
		run := r.Bind(hookOf(path))
		for b.Loop() {
			if _, err := run(b.Context(), hook.Input{Contexts: []byte("[]"), Values: []byte("{}"), ConfigValues: []byte("{}")}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
