package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"
)

// module is the directory in the repository of the module that is published.
const module = "cmd/demo/module/500-hello"

// registryServer is a registry in this process, on loopback and plain HTTP, with everything in memory.
type registryServer struct {
	host   string
	server *http.Server
	ended  chan struct{}
}

func startRegistry() (*registryServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a registry: %w", err)
	}
	r := &registryServer{host: l.Addr().String(), ended: make(chan struct{}),
		server: &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}}
	go func() {
		defer close(r.ended)
		_ = r.server.Serve(l) // the clusters notice, and say so
	}()
	return r, nil
}

// stop closes the port and all connections.
func (r *registryServer) stop() error {
	err := r.server.Close()
	<-r.ended
	return err
}

// publisher is somebody who makes versions and runs the commands, in a directory with the module and the keys.
type publisher struct {
	dir, binary, root string // root is the URL of the registry
	screen            *screen
}

func newPublisher(o options, dir, root string, s *screen) (*publisher, error) {
	binary, err := o.built("addon-operator")
	if err != nil {
		return nil, err
	}
	p := &publisher{dir: dir, binary: binary, root: root, screen: s}
	return p, os.CopyFS(filepath.Join(dir, filepath.Base(module)), os.DirFS(filepath.Join(o.Root, module)))
}

// edit replaces text in a file of the module, where it must be found.
func (p *publisher) edit(file, old, replacement string) error {
	path := filepath.Join(p.dir, filepath.Base(module), file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), old) {
		return fmt.Errorf("%s has no %q to be replaced", path, old)
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, replacement)), 0o644)
}

// release gives the module its next version.
func (p *publisher) release(from, to string) error {
	return errors.Join(p.edit("module.yaml", from, to), p.edit("Chart.yaml", from, to))
}

// run prints a command of the operator's binary and what it says, as a user would see it; $ADDON_OPERATOR_ROOT in a line stands for
// the root. The error of a command that fails holds what it printed.
func (p *publisher) run(ctx context.Context, line string) error {
	said, err := p.try(ctx, line)
	if err != nil {
		return fmt.Errorf("`addon-operator %s` failed: %w\n%s", line, err, said)
	}
	return nil
}

// refused is like run for a command that has to fail, with these words.
func (p *publisher) refused(ctx context.Context, line, words string) error {
	said, err := p.try(ctx, line)
	if err == nil || !strings.Contains(said, words) {
		return fmt.Errorf("`addon-operator %s` was not refused with %q (error %w):\n%s", line, words, err, said)
	}
	return nil
}

func (p *publisher) try(ctx context.Context, line string) (string, error) {
	p.screen.print("$ addon-operator %s\n", line)
	args := strings.Fields(strings.ReplaceAll(line, "$ADDON_OPERATOR_ROOT", p.root))
	cmd := exec.CommandContext(ctx, p.binary, args...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), "ADDON_OPERATOR_ROOT="+p.root)
	said, err := cmd.CombinedOutput()
	p.screen.print("%s", said)
	return string(said), err
}
