package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// operator is the running operator.
type operator struct {
	*process
	binary, socket string
	port           int
}

// startOperator starts the operator in dir as deploy/ does, with these directories of modules and of global hooks.
func (c *cluster) startOperator(ctx context.Context, o options, dir, modules, globalHooks string) (*operator, error) {
	binary, err := o.built("addon-operator")
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig-operator")
	if err := c.operatorKubeconfig(ctx, kubeconfig); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &operator{binary: binary, socket: filepath.Join(dir, "debug.sock"), port: port}
	cmd := exec.Command(binary, "start",
		"--namespace", namespace, "--config-map", configMap, "--modules-dir", modules, "--global-hooks-dir", globalHooks,
		"--tmp-dir", filepath.Join(dir, "tmp"), "--cache-dir", filepath.Join(dir, "cache"), "--debug-unix-socket", p.socket,
		"--prometheus-listen-address", "127.0.0.1", "--prometheus-listen-port", strconv.Itoa(port))
	cmd.Dir = o.Root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	p.process, err = startProcess("the operator"+c.label(), filepath.Join(dir, "operator.log"), cmd)
	return p, err
}

// built is the path of a binary of `make build`.
func (o options) built(name string) (string, error) {
	binary := filepath.Join(o.Root, "bin", name)
	if name == "localcluster" && os.Getenv("LOCALCLUSTER") != "" {
		binary = os.Getenv("LOCALCLUSTER") // as the tests have it
	}
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("%s is not built, run `make build`: %w", name, err)
	}
	return binary, nil
}

// ask runs one of the operator's commands that look inside the running one.
func (p *operator) ask(ctx context.Context, args ...string) ([]byte, error) {
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
