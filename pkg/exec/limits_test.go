package exec

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

func TestLimitsAreInForceFromTheFirstInstruction(t *testing.T) {
	r, _ := newRunner(t, func(c *Config) {
		c.Limits = Limits{CPU: 90*time.Second + 1, Memory: 1 << 30, FileSize: 1 << 20, OpenFiles: 99, Processes: 5000}
	})
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/cat /proc/self/limits\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// cat gets the file and what the run adds, nothing; it prints both.
	log := &strings.Builder{}
	_, err := command{argv: []string{"/bin/cat", "/proc/self/limits"}, env: []string{}, dir: t.TempDir(), timeout: time.Minute, limits: r.cfg.Limits,
		stdout: readInto(log), stderr: readInto(&strings.Builder{})}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Max cpu time              91                   92", "Max data size             1073741824           1073741824",
		"Max file size             1048576              1048576", "Max open files            99                   99", "Max processes             5000                 5000",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is missing in\n%s", want, log)
		}
	}
}

func TestAHookBeyondALimitSaysWhich(t *testing.T) {
	for name, c := range map[string]struct {
		limits        Limits
		script, cause string
	}{
		"CPU":                 {Limits{CPU: time.Second}, "while :; do :; done", "killed: it used more than 1s of CPU"},
		"CPU, signal ignored": {Limits{CPU: time.Second}, "trap '' XCPU; while :; do :; done", "killed: it used more than 1s of CPU"},
		"CPU of a program":    {Limits{CPU: time.Second}, "bash -c 'while :; do :; done'; exit $?", "exit status 152: a program that it ran used more than 1s of CPU"},
		"file size":           {Limits{FileSize: 1 << 20}, "exec head -c 2M /dev/zero > $(dirname $METRICS_PATH)/x", "killed: it wrote a file of more than 1 MiB"},
		"file size of a program": {Limits{FileSize: 1 << 20}, "head -c 2M /dev/zero > $(dirname $METRICS_PATH)/x; exit $?",
			"exit status 153: a program that it ran wrote a file of more than 1 MiB"},
		"memory":                  {Limits{Memory: 40 << 20}, "x=$(head -c 17M /dev/zero | tr '\\0' x); sleep 0.5; y=$(head -c 39M /dev/zero | tr '\\0' x)", "; its largest process held "},
		"none, killed by another": {Limits{}, "kill -9 $$", "signal: killed, and not by the operator: out of memory?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && name == "CPU, signal ignored" {
				t.Skip("takes two seconds of CPU")
			}
			r, _ := newRunner(t, func(cfg *Config) { cfg.Limits = c.limits })
			_, err := bind(t, r, c.script)(t.Context(), hook.Input{})
			var failed *hook.RunError
			if !errors.As(err, &failed) || !strings.Contains(failed.Cause, c.cause) {
				t.Errorf("got %v, want %s", err, c.cause)
			}
			if l := left(t, r); len(l) > 0 {
				t.Errorf("left: %v", l)
			}
		})
	}
}

func TestLimitsOfAnotherUsersProcessesNeedARightOrSaySo(t *testing.T) {
	dir := openDir(t)
	as := asNobody(t, dir)
	r, log := newRunner(t, func(c *Config) { as(c); c.Limits.OpenFiles = 50 })
	_, err := r.Bind(hookOf(script(t, dir, "hook.sh", "ulimit -n")))(t.Context(), hook.Input{})
	if err == nil && strings.Contains(log.String(), "msg=50") {
		return
	}
	if err == nil || !strings.Contains(err.Error(), "CAP_SYS_RESOURCE") {
		t.Errorf("got %v, %s", err, log)
	}
	clean(t, r)
}

const nobody = 65534

// openDir is a directory that every user can enter, below paths that they can.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hooks-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func asNobody(t *testing.T, dir string) func(*Config) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can start processes of another user")
	}
	return func(c *Config) {
		c.TempDir = filepath.Join(dir, "tmp")
		c.Credential = &Credential{UID: nobody, GID: nobody}
	}
}

func TestHooksRunAsAnotherUser(t *testing.T) {
	dir := openDir(t)
	r, log := newRunner(t, asNobody(t, dir))
	out, err := r.Bind(hookOf(script(t, dir, "hook.sh", `echo "I am $(id -u) $(id -g) $(id -G)"
[ "$(cat $VALUES_PATH)" = '{"a":1}' ] || exit 2
ls $(dirname $(dirname $METRICS_PATH)) 2>/dev/null && exit 3
echo '{"name":"m","set":2}' > $METRICS_PATH.new; mv $METRICS_PATH.new $METRICS_PATH
setsid bash -c 'echo $$ > `+dir+`/away; exec sleep 1000' >/dev/null 2>&1 </dev/null &
while [ ! -s `+dir+`/away ]; do :; done`)))(t.Context(), hook.Input{Values: []byte(`{"a":1}`)})
	if err != nil || len(out.Samples) != 1 || !strings.Contains(log.String(), "I am 65534 65534 65534") {
		t.Fatalf("got %+v, %v, %s", out, err, log)
	}
	if pid := pidIn(t, filepath.Join(dir, "away")); alive(pid) {
		t.Error("what it left behind is alive")
	}
	if l := left(t, r); len(l) > 0 {
		t.Errorf("left: %v", l)
	}
}

func TestAnotherUserCannotHaveFilesOfRootRead(t *testing.T) {
	dir := openDir(t)
	r, _ := newRunner(t, asNobody(t, dir))
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{
		"ln -sf " + secret + " $METRICS_PATH",
		"rm -r $(dirname $METRICS_PATH)/*; ln -s " + secret + " $METRICS_PATH",
		"exit 3; rm -f " + secret,
	} {
		_, err := r.Bind(hookOf(script(t, dir, fmt.Sprintf("hook%d.sh", i), text)))(t.Context(), hook.Input{})
		var failed *hook.RunError
		if !errors.As(err, &failed) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", text, err)
		}
	}
	// A hard link, where the kernel lets users make one.
	own := filepath.Join(dir, "link")
	if err := os.Link(secret, own); err != nil {
		t.Fatal(err)
	}
	o := outputs{limit: 100, credential: r.cfg.Credential, names: map[string]string{envMetrics: own}}
	if text, err := o.read(envMetrics); err == nil || !strings.Contains(err.Error(), "it belongs to uid 0") {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestAnotherUsersHooksDieWithAnOperatorThatIsKilled(t *testing.T) {
	dir := openDir(t)
	asNobody(t, dir)
	operator := exec.Command(os.Args[0])
	operator.Env = append(os.Environ(), envTestOperator+"="+dir, envTestUser+"=nobody")
	killOperator(t, operator, dir)
}

func TestUsageHoldsWhatChildrenUsed(t *testing.T) {
	r, _ := newRunner(t, nil)
	const burn = `bash -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'`
	block := 2 * ownPeak() >> 20
	out, err := bind(t, r, fmt.Sprintf(burn+`; dd if=/dev/zero of=/dev/null bs=%dM count=1 status=none`, block))(t.Context(), hook.Input{})
	if err != nil {
		t.Fatal(err)
	}
	if used := out.Usage.User + out.Usage.System; used < 20*time.Millisecond || out.Usage.MaxRSS < block<<20 {
		t.Errorf("C-110: got %+v", out.Usage)
	}
}

// The kernel counts what the operator had when it forked as the child's: a small hook
// must not look as large as the operator.
func TestTheMemoryOfASmallHookIsItsOwn(t *testing.T) {
	r, _ := newRunner(t, nil)
	large := make([]byte, 64<<20)
	for i := 0; i < len(large); i += 4 << 10 {
		large[i] = 1
	}
	out, err := bind(t, r, `read -rt 0.2 <> <(:) || true`)(t.Context(), hook.Input{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Usage.MaxRSS < 1<<18 || out.Usage.MaxRSS > 32<<20 {
		t.Errorf("C-110: got %d bytes", out.Usage.MaxRSS)
	}
	runtime.KeepAlive(large)
}

func TestUsageOfAKilledRunHoldsWhatItsChildrenUsed(t *testing.T) {
	r, _ := newRunner(t, nil)
	dir := t.TempDir()
	// The child is never waited for: its parent dies with it.
	run := bind(t, r, `trap '' TERM; bash -c 'trap "" TERM; while :; do :; done' & echo $! > `+dir+`/child; while :; do sleep 1000; done`)
	h, stop := background(t, run)
	pid := pidIn(t, filepath.Join(dir, "child"))
	var used time.Duration
	eventually(t, "the child used some CPU", func() bool {
		p, ok := readStat(fmt.Sprintf("/proc/%d/stat", pid))
		used = p.user + p.system
		return ok && used >= 100*time.Millisecond
	})
	stop()
	if out := <-h; out.out.Usage.User+out.out.Usage.System < used || out.out.Usage.MaxRSS == 0 || out.out.Usage.Wall == 0 {
		t.Errorf("got %+v; the child alone used %s", out.out.Usage, used)
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("12 (a) b) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 100"))
	f.Add([]byte("1 (x"))
	f.Fuzz(func(_ *testing.T, text []byte) { parseStat(text) })
}
