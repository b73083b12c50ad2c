package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// command is one process to run to its end.
type command struct {
	argv    []string
	env     []string
	cwd     string // "" is the operator's
	dir     string // directory of the run, where its group is noted
	timeout time.Duration
	grace   time.Duration
	// stdout and stderr read the process's output to its end and must always do so.
	stdout, stderr func(io.Reader)
}

// errTimeout is why a command's context ended when its own time was over.
var errTimeout = errors.New("no result in time")

// exit is how a process ended.
type exit struct {
	usage hook.Usage
	// cause is empty after status 0, and one line otherwise.
	cause string
	// stopped is set when the caller's context ended the run.
	stopped error
}

// run starts the command in its own group, waits for its end, and leaves no
// process of the group behind. The error is set when it could not be started.
func (c command) run(ctx context.Context) (exit, error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer cancel()
	// The kernel sends the parent-death signal when the *thread* that forked ends.
	// This goroutine keeps that thread to itself until the process is reaped.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	began := time.Now()
	cmd, pipes, err := c.start(limited)
	if err != nil {
		return exit{}, err
	}
	note := c.noteGroup(cmd.Process.Pid)
	pumps := pipes.pump(c.stdout, c.stderr)
	signalled := c.wait(limited, cmd.Process.Pid)
	// The leader is a zombie here and so its number is not used again.
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	_ = os.Remove(note)
	waitErr := cmd.Wait()
	c.drain(pipes, pumps)

	out := exit{usage: usageOf(cmd.ProcessState, time.Since(began))}
	switch cause := context.Cause(limited); {
	case signalled && errors.Is(cause, errTimeout):
		out.cause = fmt.Sprintf("no result within %s", c.timeout)
	case signalled:
		out.stopped = cause
	case waitErr != nil:
		out.cause = oneLine(waitErr.Error())
	}
	return out, nil
}

// start forks. A file that another goroutine has just written may be busy for a
// moment, as long as a child forked meanwhile has not dropped its copy of the descriptor.
func (c command) start(ctx context.Context) (*exec.Cmd, *pipes, error) {
	for try := 1; ; try++ {
		p, err := openPipes()
		if err != nil {
			return nil, nil, err
		}
		cmd := exec.Command(c.argv[0], c.argv[1:]...)
		cmd.Env = append(c.env, envRun+"="+c.dir)
		cmd.Dir = c.cwd
		cmd.Stdout, cmd.Stderr = p.stdoutWrite, p.stderrWrite
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		err = cmd.Start()
		p.closeWriters()
		if err == nil {
			return cmd, p, nil
		}
		p.closeReaders()
		if !errors.Is(err, unix.ETXTBSY) || try == 20 {
			return nil, nil, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(time.Duration(try) * time.Millisecond):
		}
	}
}

func (c command) noteGroup(pid int) string {
	path := filepath.Join(c.dir, "group")
	// Without it the group of a killed operator's hook waits for the next start.
	_ = os.WriteFile(path, append(strconv.AppendInt(nil, int64(pid), 10), '\n'), 0o600)
	return path
}

// wait returns when the process has ended and is not yet reaped, and tells
// whether it was signalled for that.
func (c command) wait(ctx context.Context, pid int) bool {
	ended := make(chan struct{})
	var signalled atomic.Bool
	var killer sync.WaitGroup
	killer.Go(func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		signalled.Store(true)
		_ = unix.Kill(-pid, unix.SIGTERM)
		grace := time.NewTimer(c.grace)
		defer grace.Stop()
		select {
		case <-ended:
		case <-grace.C:
			_ = unix.Kill(-pid, unix.SIGKILL)
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
	return signalled.Load()
}

// drain waits for the pumps. Killing the group closed the outputs, unless a
// process left the group with them: then it is looked for, and in the end the
// reading is given up.
func (c command) drain(p *pipes, done <-chan struct{}) {
	for _, next := range []func(){
		func() { killMarked(c.dir) },
		func() { p.giveUp() },
	} {
		t := time.NewTimer(time.Second)
		select {
		case <-done:
			t.Stop()
			return
		case <-t.C:
			next()
		}
	}
	<-done
}

func usageOf(s *os.ProcessState, wall time.Duration) hook.Usage {
	u := hook.Usage{Wall: wall}
	if s == nil {
		return u
	}
	u.User, u.System = s.UserTime(), s.SystemTime()
	if ru, ok := s.SysUsage().(*syscall.Rusage); ok {
		u.MaxRSS = ru.Maxrss << 10 // Linux counts in KiB
	}
	return u
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
