package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopGrace is longer than the operator's own grace for hooks and Helm actions at shutdown.
const stopGrace = 40 * time.Second

// tailLines is how much of the log an error shows.
const tailLines = 30

// process is the running operator.
type process struct {
	binary, socket, log string
	port                int
	cmd                 *exec.Cmd
	done                chan struct{} // closed when it has ended
	err                 error         // how; read after done
}

// startOperator starts the operator in dir as deploy/ does, in a process group of its own: Ctrl-C on the terminal reaches
// only the demo, which then stops the operator once.
func (c *cluster) startOperator(ctx context.Context, o options, dir string) (*process, error) {
	binary := filepath.Join(o.Root, "bin", "addon-operator")
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("the operator is not built, run `make build`: %w", err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := c.operatorKubeconfig(ctx, kubeconfig); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &process{binary: binary, socket: filepath.Join(dir, "debug.sock"), log: filepath.Join(dir, "operator.log"),
		port: port, done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the operator holds its own
	p.cmd = exec.Command(binary, "start",
		"--namespace", namespace, "--config-map", configMap,
		"--modules-dir", filepath.Join(o.Root, "modules"), "--global-hooks-dir", filepath.Join(o.Root, "global-hooks"),
		"--tmp-dir", filepath.Join(dir, "tmp"), "--debug-unix-socket", p.socket,
		"--prometheus-listen-address", "127.0.0.1", "--prometheus-listen-port", strconv.Itoa(port))
	p.cmd.Dir = o.Root
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = ownGroup()
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
		return fmt.Errorf("start %s: %w", p.binary, err)
	}
	return nil
}

// stop asks the operator to end and waits for it.
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
		return fmt.Errorf("the operator did not stop within %s and was killed", stopGrace)
	}
}

// explain adds the end of the operator's log, which is removed with the demo.
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
	return fmt.Errorf("%w\nthe end of the operator's log:\n  %s", err, strings.Join(lines, "\n  "))
}

// ask runs one of the operator's commands that look inside the running one.
func (p *process) ask(ctx context.Context, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, p.binary, append(args, "--debug-unix-socket", p.socket)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("addon-operator %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// freePort is one that nobody listens on right now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
