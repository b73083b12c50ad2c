package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// command is one process to run to its end.
type command struct {
	argv       []string
	env        []string
	cwd        string // "" is the operator's
	dir        string // directory of the run; dir.group notes its process group
	timeout    time.Duration
	grace      time.Duration
	limits     Limits
	credential *Credential
	// stdout and stderr read the process's output to its end and must always do so.
	stdout, stderr func(io.Reader)
}

// errTimeout is why a command's context ended when its own time was over.
var errTimeout = errors.New("no result in time")

// errLimits is a start that failed because limits could not be set.
var errLimits = errors.New("limits")

// excess is more than a command may take. As the reason for which its context ended
// it is killed without being asked; in any case it is itself to blame.
type excess struct{ what string }

func (e *excess) Error() string { return e.what }

// exit is how a process ended.
type exit struct {
	usage hook.Usage
	// cause is empty after status 0, and one line otherwise.
	cause string
	// reason is the kind of cause.
	reason hook.Reason
	// stopped is set when the caller's context ended the run.
	stopped error
}

// run starts the command in its own group, waits for its end, and leaves no
// process of it behind. The error is set when it could not be started.
func (c command) run(ctx context.Context) (exit, error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer cancel()
	// The kernel sends the parent-death signal when the *thread* that forked ends.
	// This goroutine keeps that thread to itself until the process is reaped.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	began := time.Now()
	inherited := ownPeak()
	cmd, pipes, err := c.start(limited)
	if err != nil {
		return exit{}, err
	}
	pid := cmd.Process.Pid
	c.noteGroup(pid)
	pumps := pipes.pump(c.stdout, c.stderr)
	peak := samplePeak(pid)
	signalled, sampled := c.wait(limited, pid)
	sampled.MaxRSS = max(sampled.MaxRSS, peak())
	wall := time.Since(began)
	// The leader is a zombie here and so its number is not used again.
	_ = unix.Kill(-pid, unix.SIGKILL)
	_ = os.Remove(c.groupNote())
	c.sweepAfter(pid, wall)
	_ = cmd.Wait() // explainEnd looks at the state
	c.drain(pipes, pumps)

	out := exit{usage: usageOf(cmd.ProcessState, wall, inherited, sampled)}
	var much *excess
	switch cause := context.Cause(limited); {
	case signalled && errors.Is(cause, errTimeout):
		out.cause, out.reason = fmt.Sprintf("no result within %s", c.timeout), hook.ReasonTimeout
	case signalled && errors.As(cause, &much):
		out.cause, out.reason = "killed: it "+much.what, hook.ReasonLimit
	case signalled:
		out.stopped = cause
	default:
		out.cause, out.reason = c.explainEnd(cmd.ProcessState, out.usage)
	}
	return out, nil
}

// start forks. A file that another goroutine has just written may be busy for a
// moment, as long as a child forked meanwhile has not dropped its copy of the descriptor.
func (c command) start(ctx context.Context) (*exec.Cmd, *pipes, error) {
	for try := 1; ; try++ {
		cmd, p, err := c.fork()
		if err == nil || !errors.Is(err, unix.ETXTBSY) || try == 20 {
			return cmd, p, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(time.Duration(try) * time.Millisecond):
		}
	}
}

func (c command) fork() (*exec.Cmd, *pipes, error) {
	p, err := openPipes()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env = append(c.env, envRun+"="+c.dir)
	cmd.Dir = c.cwd
	cmd.Stdout, cmd.Stderr = p.stdoutWrite, p.stderrWrite
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: c.credential.forProcess(), Ptrace: !c.limits.none(),
	}
	err = cmd.Start()
	p.closeWriters()
	if err == nil && !c.limits.none() {
		if err = c.limits.release(cmd.Process.Pid); err != nil {
			err = fmt.Errorf("%w: %w", errLimits, err)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	if err != nil {
		p.closeReaders()
		return nil, nil, err
	}
	return cmd, p, nil
}

// groupNote is beside the run's directory, not in it: the hook may do there what it likes.
func (c command) groupNote() string { return c.dir + ".group" }

func (c command) noteGroup(pid int) {
	// Without it the guard of a killed operator knows the run by its environment alone.
	_ = os.WriteFile(c.groupNote(), append(strconv.AppendInt(nil, int64(pid), 10), '\n'), 0o600)
}

// wait returns when the process has ended and is not yet reaped. It tells
// whether it was signalled for that, and what its group had used by then.
func (c command) wait(ctx context.Context, pid int) (bool, hook.Usage) {
	ended := make(chan struct{})
	signalled := false
	var used hook.Usage
	var killer sync.WaitGroup
	killer.Go(func() {
		select {
		case <-ended:
		case <-ctx.Done():
			signalled = true
			used = c.end(context.Cause(ctx), pid, ended)
		}
	})
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	close(ended)
	killer.Wait()
	return signalled, used
}

// end asks the group to end and kills it after the grace, or at once when it took
// too much. It returns what the group had used.
func (c command) end(cause error, pid int, ended <-chan struct{}) hook.Usage {
	used := sampleGroup(pid)
	var much *excess
	if !errors.As(cause, &much) {
		signalGroup(pid, unix.SIGTERM)
		grace := time.NewTimer(c.grace)
		defer grace.Stop()
		select {
		case <-ended:
			return used
		case <-grace.C:
			used = sampleGroup(pid)
		}
	}
	signalGroup(pid, unix.SIGKILL)
	return used
}

// signalGroup reaches a leader also when it has left its group.
func signalGroup(pid int, signal unix.Signal) {
	if err := unix.Kill(-pid, signal); err != nil || signal == unix.SIGKILL {
		_ = unix.Kill(pid, signal)
	}
}

// drain waits for the pumps. Nothing that is known to belong to the run holds the
// outputs any more; what is not known may, and then the reading is given up.
func (c command) drain(p *pipes, done <-chan struct{}) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-done:
		return
	case <-t.C:
		p.giveUp()
	}
	<-done
}

// pipes carry a process's output.
type pipes struct {
	stdoutRead, stdoutWrite, stderrRead, stderrWrite *os.File
}

func openPipes() (*pipes, error) {
	p := &pipes{}
	var err error
	if p.stdoutRead, p.stdoutWrite, err = os.Pipe(); err != nil {
		return nil, err
	}
	if p.stderrRead, p.stderrWrite, err = os.Pipe(); err != nil {
		_ = p.stdoutRead.Close()
		_ = p.stdoutWrite.Close()
		return nil, err
	}
	return p, nil
}

func (p *pipes) closeWriters() {
	_ = p.stdoutWrite.Close()
	_ = p.stderrWrite.Close()
}

func (p *pipes) closeReaders() {
	_ = p.stdoutRead.Close()
	_ = p.stderrRead.Close()
}

// giveUp ends reads that wait for data.
func (p *pipes) giveUp() {
	_ = p.stdoutRead.SetReadDeadline(time.Unix(1, 0))
	_ = p.stderrRead.SetReadDeadline(time.Unix(1, 0))
}

// pump reads both outputs; the channel closes when both have ended.
func (p *pipes) pump(stdout, stderr func(io.Reader)) <-chan struct{} {
	done := make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() { stdout(p.stdoutRead) })
	both.Go(func() { stderr(p.stderrRead) })
	go func() {
		both.Wait()
		p.closeReaders()
		close(done)
	}()
	return done
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
