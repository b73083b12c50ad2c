package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one running component: this binary, re-executed under its name.
type process struct {
	name string
	log  string // path of its output
	cmd  *exec.Cmd
	gate io.Writer     // a byte lets it begin; its end lets the process end
	done chan struct{} // closed once it has ended and err is set
	err  error
}

// startProcess starts a component in dir with its output appended to its log. It
// waits at its gate, and dies with this process, however this one ends.
func startProcess(dir, name string, args []string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	p := &process{name: name, log: filepath.Join(dir, dirLogs, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(self, args...)
	p.cmd.Args[0] = name
	p.cmd.Dir = dir
	p.cmd.Env = componentEnv(os.Environ())
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = childAttr(true)
	lifeline, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	p.gate = lifeline
	started := make(chan error)
	go p.superviseOne(started, lifeline, out)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// superviseOne starts the process and waits for its end on one locked thread: the
// parent-death signal is tied to the thread that started it.
func (p *process) superviseOne(started chan<- error, held ...io.Closer) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
	for _, c := range held {
		_ = c.Close()
	}
	close(p.done)
}

// end signals the process, kills it when it has not ended after the grace period,
// and returns when it has ended.
func (p *process) end(sig syscall.Signal, grace time.Duration) {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
		return
	case <-time.After(grace):
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

// death describes an end nobody asked for, with the last lines it logged.
func (p *process) death() error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("%s ended by itself (%s); its last log lines:\n%s", p.name, how, tail(p.log, 15))
}

// tail returns the last n lines of a log, indented.
func tail(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "  (no log: " + err.Error() + ")"
	}
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	lines = lines[max(0, len(lines)-n):]
	return "  " + strings.Join(lines, "\n  ")
}

// componentEnv is the environment without proxies: components talk to loopback only.
// Unless the user says otherwise the garbage collector runs half as often as by
// default: a sixth less time to start and less load, for 80 MB more in all.
func componentEnv(env []string) []string {
	kept := []string{"GOGC=200"} // a later GOGC wins
	for _, kv := range env {
		key, _, _ := strings.Cut(kv, "=")
		switch strings.ToUpper(key) {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "KUBECONFIG":
		default:
			kept = append(kept, kv)
		}
	}
	return kept
}

// runAsComponent is the main of a re-executed component. It begins when the gate
// opens: one byte on standard input. It ends when standard input closes, that is,
// when its supervisor is gone.
func runAsComponent(run func() int) int {
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
		return 1
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	return run()
}

// supervisor owns the processes of one cluster.
type supervisor struct {
	dir    string
	deaths chan error // first death nobody asked for

	mu      sync.Mutex
	running map[string]*process
	ending  bool
}

func newSupervisor(dir string) *supervisor {
	return &supervisor{dir: dir, deaths: make(chan error, 1), running: map[string]*process{}}
}

// Prepare starts the process of a component and leaves it at its gate: loading the
// binary takes a while and can happen before what the component needs is there. Its
// death is reported unless End asked for it.
func (s *supervisor) Prepare(name string, args []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return context.Canceled
	}
	if s.running[name] != nil {
		return fmt.Errorf("%s is running already", name)
	}
	p, err := startProcess(s.dir, name, args)
	if err != nil {
		return err
	}
	s.running[name] = p
	go s.watch(p)
	return nil
}

// Release lets a prepared component begin.
func (s *supervisor) Release(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.running[name]
	if p == nil {
		return fmt.Errorf("%s is not running", name)
	}
	if _, err := p.gate.Write([]byte{'\n'}); err != nil {
		return fmt.Errorf("release %s: %w", name, err)
	}
	return nil
}

// Start prepares a component and lets it begin at once.
func (s *supervisor) Start(name string, args []string) error {
	if err := s.Prepare(name, args); err != nil {
		return err
	}
	return s.Release(name)
}

func (s *supervisor) watch(p *process) {
	<-p.done
	s.mu.Lock()
	expected := s.ending || s.running[p.name] != p
	s.mu.Unlock()
	if expected {
		return
	}
	select {
	case s.deaths <- p.death():
	default: // an earlier death is being reported
	}
}

// End ends one component on purpose and returns when it has ended.
func (s *supervisor) End(name string, sig syscall.Signal, grace time.Duration) error {
	s.mu.Lock()
	p := s.running[name]
	delete(s.running, name)
	s.mu.Unlock()
	if p == nil {
		return fmt.Errorf("%s is not running", name)
	}
	p.end(sig, grace)
	return nil
}

// EndAll kills every component and returns when all have ended. Their data is
// about to be removed, so there is nothing to flush.
func (s *supervisor) EndAll() {
	s.mu.Lock()
	s.ending = true
	procs := s.running
	s.running = nil
	s.mu.Unlock()
	for _, p := range procs {
		_ = p.cmd.Process.Kill()
	}
	for _, p := range procs {
		<-p.done
	}
}
