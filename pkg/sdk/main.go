package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Main is the main function of an executable that holds hooks. It ends the process:
// with 0 when the configuration was printed or the run succeeded, else with 1
// and the reason on stderr. SIGTERM ends the context of a run.
//
// Of several hooks the one is run that has the name of the executable, without
// its extension and a number before it (hooks/010-nodes > nodes), so that links to
// one binary will do; or the one that the first argument names, for scripts:
// exec all-hooks nodes "$@".
func Main(hooks ...Hook) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	h, args, err := choose(hooks, os.Args)
	if err == nil {
		err = Execute(ctx, h, args, os.Getenv, os.Stdout)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// choose finds the hook that the command line means.
func choose(hooks []Hook, args []string) (Hook, []string, error) {
	if len(hooks) == 1 {
		return hooks[0], args[1:], nil
	}
	base := filepath.Base(args[0])
	plain := strings.TrimLeft(strings.TrimSuffix(base, filepath.Ext(base)), "0123456789-")
	var names []string
	for _, h := range hooks {
		if h.Name == base || h.Name == plain {
			return h, args[1:], nil
		}
		names = append(names, h.Name)
	}
	for _, h := range hooks {
		if len(args) > 1 && args[1] == h.Name {
			return h, args[2:], nil
		}
	}
	return Hook{}, nil, fmt.Errorf("%s is no hook of this binary: link it under one of the names %s, or give the name as the first argument",
		base, strings.Join(names, ", "))
}

// Execute does what an executable hook does: with --config as the only argument it
// prints the configuration to stdout, without any it does one run with the files
// that the environment names (C-101). Lines for the log go to stdout too. Main calls
// it; call it in tests, and where main has more to do.
func Execute(ctx context.Context, h Hook, args []string, getenv func(string) string, stdout io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "--config":
		text, err := h.Config()
		if err == nil {
			_, err = stdout.Write(text)
		}
		return err
	case len(args) > 0:
		return fmt.Errorf("unexpected arguments %q: a hook knows --config, and none for a run", args)
	}
	raw, err := readInput(getenv)
	if err != nil {
		return err
	}
	// The operator has its own level; it gets all lines.
	log := slog.New(slog.NewJSONHandler(stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	out, err := record(ctx, h, raw, log)
	if err != nil {
		return err
	}
	return writeOutput(out, getenv)
}

// readInput reads the input files; without modules there are no values.
func readInput(getenv func(string) string) (hook.Input, error) {
	var in hook.Input
	for _, f := range []struct {
		env  string
		need bool
		into *[]byte
	}{
		{"BINDING_CONTEXT_PATH", true, &in.Contexts},
		{"VALUES_PATH", false, &in.Values},
		{"CONFIG_VALUES_PATH", false, &in.ConfigValues},
	} {
		path := getenv(f.env)
		if path == "" && !f.need {
			continue
		}
		if path == "" {
			return in, errors.New(f.env + " is not set: the operator sets it; --config shows the bindings")
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return in, fmt.Errorf("%s: %w", f.env, err)
		}
		*f.into = text
	}
	return in, nil
}

// writeOutput appends what the run recorded to the files of the environment.
func writeOutput(out *output, getenv func(string) string) error {
	files, err := out.files()
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := f.write(getenv); err != nil {
			return fmt.Errorf("%s: %w", f.env[0], err)
		}
	}
	return nil
}

func (f file) write(getenv func(string) string) error {
	path := ""
	for _, env := range f.env {
		if path == "" {
			path = getenv(env)
		}
	}
	if path == "" {
		return errors.New("is not set: a hook of this kind has no such output")
	}
	to, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = to.Write(f.text)
	return errors.Join(err, to.Close())
}
