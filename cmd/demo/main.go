// Command demo runs the operator with the modules of this repository on the cluster of KUBECONFIG, as deploy/ installs
// it but as a process of this machine: with the rights of its ServiceAccount and no others. It is started by
//
//	localcluster run -- demo [--once]
//
// With --channels it shows release channels instead: it starts two clusters and a registry by itself, publishes versions of
// a small module, and prints what the operators of both clusters make of them.
//
// It has to be run in the root of the repository. Where to look: install.go puts deploy/ into a cluster, operator.go and
// process.go run the operator, modules.go follows the modules, show.go prints; channels.go is the tale of release channels,
// publisher.go who publishes, fleet.go the two clusters.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options of one demo.
type options struct {
	// Once ends the demo when all was shown.
	Once bool
	// Timeout is how long the modules may take to become Ready; with Channels, how long each step may take.
	Timeout time.Duration
	// Channels shows release channels, on clusters of the demo's own.
	Channels bool
	// Root is the directory of the repository.
	Root string
	// Kubeconfig is that of an administrator.
	Kubeconfig string
	Out        io.Writer
}

func main() {
	o := options{Root: ".", Kubeconfig: os.Getenv("KUBECONFIG"), Out: os.Stdout}
	flag.BoolVar(&o.Once, "once", false, "end when all was shown")
	flag.BoolVar(&o.Channels, "channels", false, "show release channels, with two clusters and a registry that the demo starts by itself")
	flag.DurationVar(&o.Timeout, "timeout", 10*time.Minute, "how long the modules, or with --channels each step, may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "demo: interrupted before all was shown")
		} else {
			fmt.Fprintln(os.Stderr, "demo:", err)
		}
		os.Exit(1)
	}
}

// run shows the demo until ctx ends, or with Once until all was shown. It leaves no process and no file behind.
func run(ctx context.Context, o options) (err error) {
	if o.Root, err = filepath.Abs(o.Root); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "addon-operator-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := newScreen(o.Out)
	if o.Channels {
		return showChannels(ctx, o, dir, s)
	}
	return showModules(ctx, o, dir, s)
}

// showModules runs the operator with the modules of this repository on the cluster of KUBECONFIG.
func showModules(ctx context.Context, o options, dir string, s *screen) error {
	if o.Kubeconfig == "" {
		return errors.New("KUBECONFIG is not set: start with `make demo`, or with `bin/localcluster run -- bin/demo`")
	}
	c, err := connect(o.Kubeconfig)
	if err != nil {
		return err
	}
	if err := c.install(ctx, o.Root, filepath.Join(o.Root, "deploy", "configmap.yaml")); err != nil {
		return err
	}
	s.say("applied deploy/: namespace, rights, settings")
	p, err := c.startOperator(ctx, o, dir, filepath.Join(o.Root, "modules"), filepath.Join(o.Root, "global-hooks"))
	if err != nil {
		return err
	}
	s.say("started the operator with a token of deploy/'s ServiceAccount, its log is %s", p.log)
	err = follow(ctx, o, c, p, s)
	return errors.Join(err, p.stop())
}

// follow prints what happens to the modules and, once they are Ready, what was made.
func follow(ctx context.Context, o options, c *cluster, p *operator, s *screen) error {
	wanted, err := enabledModules(filepath.Join(o.Root, "deploy", "configmap.yaml"))
	if err != nil {
		return err
	}
	m := &modules{client: c.dynamic, wanted: wanted, screen: s, seen: map[string]string{}}
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := m.until(limited, p.process, m.ready); err != nil {
		return p.explain(fmt.Errorf("the modules are not Ready: %w", err))
	}
	took := s.elapsed()
	if err := s.facts(ctx, p); err != nil {
		return err
	}
	if err := s.table(ctx, c); err != nil {
		return err
	}
	s.print("\nAll modules are Ready, %.1f s after the demo began. Pods are imitated here: Ready says that the control\n"+
		"plane accepted everything, not that an add-on works.\n", took.Seconds())
	if o.Once {
		return nil
	}
	s.hints(o, p)
	err = m.until(ctx, p.process, func() bool { return false })
	if ctx.Err() != nil {
		s.print("\nstopping\n")
		return nil // interrupted by the user, who has seen everything
	}
	return p.explain(err)
}
