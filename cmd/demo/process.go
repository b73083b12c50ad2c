package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopGrace is longer than the operator's own grace for hooks and Helm actions at shutdown.
const stopGrace = 40 * time.Second

// tailLines is how much of the log an error shows.
const tailLines = 30

// process is a program that the demo runs.
type process struct {
	name string // for people: "the operator"
	log  string // file with all that it prints
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
}

// startProcess starts a program in a process group of its own: Ctrl-C on the terminal reaches only the demo, which then
// stops the program once.
func startProcess(name, log string, cmd *exec.Cmd) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the program holds its own
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = file, file, ownGroup()
	p := &process{name: name, log: log, cmd: cmd, done: make(chan struct{})}
	return p, p.start()
}

// start runs the command on a thread that lives as long as it: the parent-death signal is tied to the thread.
func (p *process) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.cmd.Path, err)
	}
	return nil
}

// stop asks the program to end and waits for it.
func (p *process) stop() error {
	select {
	case <-p.done:
		return nil // whoever waited for done tells
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.done:
		return nil
	case <-grace.C:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may end in between
		<-p.done
		return fmt.Errorf("%s did not stop within %s and was killed", p.name, stopGrace)
	}
}

// explain adds the end of the program's log, which is removed with the demo.
func (p *process) explain(err error) error {
	if err == nil {
		return nil
	}
	text, readErr := os.ReadFile(p.log)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	return fmt.Errorf("%w\nthe end of the log of %s:\n  %s", err, p.name, strings.Join(lines, "\n  "))
}
