package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// exitCode is an error that only carries the exit code of the command that was run.
type exitCode int

func (e exitCode) Error() string { return "exit code " + strconv.Itoa(int(e)) }

// commandGrace is how long CMD may take to end when the cluster died under it.
const commandGrace = 10 * time.Second

// up runs a cluster until ctx ends, which is no error.
func up(ctx context.Context, cfg clusterConfig) error {
	begin := time.Now()
	if err := cfg.absolute(); err != nil {
		return err
	}
	err := withCluster(ctx, cfg, func(ctx context.Context, c *cluster) error {
		kubeconfig := c.kubeconfig()
		fmt.Fprint(os.Stderr, hints(c.dir, kubeconfig))
		fmt.Printf("ready in %.1fs kubeconfig=%s\n", time.Since(begin).Seconds(), kubeconfig)
		<-ctx.Done()
		return nil
	})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // interrupted while it started
	}
	return err
}

// kubeconfig is the path to tell the user.
func (c *cluster) kubeconfig() string {
	if c.cfg.Kubeconfig != "" {
		return c.cfg.Kubeconfig
	}
	return filepath.Join(c.dir, fileKubeconfig)
}

func hints(dir, kubeconfig string) string {
	return "nodes and pods are imitated: Ready says that the control plane accepted everything, not that an image works\n" +
		"in another shell:\n" +
		"  export KUBECONFIG=" + kubeconfig + " LOCALCLUSTER_DIR=" + dir + " PATH=" + filepath.Join(dir, dirBin) + ":$PATH\n" +
		"  kubectl get nodes\n"
}

// runWith runs a cluster for as long as the command runs. An exitCode is returned
// for a command that ended with another code than 0.
func runWith(cfg clusterConfig, args []string) error {
	begin := time.Now()
	if err := cfg.absolute(); err != nil {
		return err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ready := make(chan struct{})
	forward := make(chan os.Signal, 16)
	go relay(ctx, signals, ready, forward, cancel)
	return withCluster(ctx, cfg, func(ctx context.Context, c *cluster) error {
		close(ready)
		fmt.Fprintf(os.Stderr, "localcluster: ready in %.1fs\n", time.Since(begin).Seconds())
		return runCommandIn(ctx, c, cwd, args, forward)
	})
}

// relay ends the start of the cluster on a terminating signal, and passes signals on
// to the command once there is one.
func relay(ctx context.Context, in <-chan os.Signal, ready <-chan struct{}, out chan<- os.Signal, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-in:
			select {
			case <-ready:
				out <- sig
			default:
				cancel(fmt.Errorf("got %s while the cluster started", sig))
			}
		}
	}
}

// runCommandIn runs the command to its end.
func runCommandIn(ctx context.Context, c *cluster, cwd string, args []string, signals <-chan os.Signal) error {
	cmd, err := clusterCommand(c, cwd, args)
	if err != nil {
		return err
	}
	done, err := startOnThread(cmd)
	if err != nil {
		return fmt.Errorf("run %s: %w", args[0], err)
	}
	for {
		select {
		case err := <-done:
			return commandResult(err)
		case sig := <-signals:
			if !sentByTerminal(sig) {
				_ = cmd.Process.Signal(sig)
			}
		case <-ctx.Done():
			_ = endCommand(cmd, done) // why it was ended matters, not how it did
			return context.Cause(ctx)
		}
	}
}

// clusterCommand prepares the command; it is looked up on the PATH it will get.
func clusterCommand(c *cluster, cwd string, args []string) (*exec.Cmd, error) {
	path := filepath.Join(c.dir, dirBin) + string(os.PathListSeparator) + os.Getenv("PATH")
	if err := os.Setenv("PATH", path); err != nil {
		return nil, err
	}
	name := args[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(cwd, name)
	}
	cmd := exec.Command(name, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Dir = cwd
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(),
		"PWD="+cwd,
		"KUBECONFIG="+c.kubeconfig(),
		"KUBECACHEDIR="+filepath.Join(c.dir, dirKubectlCache),
		"LOCALCLUSTER_DIR="+c.dir,
	)
	cmd.SysProcAttr = childAttr(false)
	return cmd, nil
}

// startOnThread starts the command on a thread that lives until it ends, since the
// parent-death signal is tied to that thread.
func startOnThread(cmd *exec.Cmd) (<-chan error, error) {
	started, done := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	return done, <-started
}

// endCommand ends the command and returns how it ended.
func endCommand(cmd *exec.Cmd, done <-chan error) error {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-done:
		return err
	case <-time.After(commandGrace):
		_ = cmd.Process.Kill()
		return <-done
	}
}

// commandResult turns how the command ended into its exit code, as a shell does.
func commandResult(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitCode(128 + int(status.Signal()))
	}
	return exitCode(exit.ExitCode())
}

// sentByTerminal says that the command got the signal from the terminal already: it
// shares our process group, and that is the terminal's foreground group.
func sentByTerminal(sig os.Signal) bool {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT {
		return false
	}
	foreground, err := unix.IoctlGetInt(int(os.Stdin.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}
