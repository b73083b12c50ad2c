package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Run does one run of a hook in this process: input as an executable gets it in
// files, output as the operator reads it from them. Nothing bounds the run but
// ctx. It is what tests of hooks call; the operator calls Registry.Bind.
func Run(ctx context.Context, h Hook, in hook.Input, log *slog.Logger) (hook.Output, error) {
	out, err := record(ctx, h, in, log)
	if err != nil {
		return hook.Output{}, err
	}
	return out.parsed(log)
}

// record runs the hook and returns what it asked for, unparsed.
func record(ctx context.Context, h Hook, raw hook.Input, log *slog.Logger) (*output, error) {
	if h.Run == nil {
		return nil, fmt.Errorf("hook %s has no Run", h.Name)
	}
	in, err := newInput(raw, log)
	if err != nil {
		return nil, err
	}
	if err := call(ctx, h, in); err != nil {
		return nil, err
	}
	if in.out.err != nil {
		return nil, in.out.err
	}
	return in.out, nil
}

// panicError is a panic of a hook, with the first lines of its stack.
type panicError struct {
	cause string
	stack string
}

func (e *panicError) Error() string { return e.cause + "\n" + e.stack }

func call(ctx context.Context, h Hook, in *Input) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicError{cause: strings.Join(strings.Fields(fmt.Sprintf("panic: %v", r)), " "), stack: firstLines(debug.Stack())}
		}
	}()
	return h.Run(ctx, in)
}

// stackLines is how much of a stack people are shown: two lines a call.
const stackLines = 12

// firstLines are the calls that led to a panic, the last one first, without those of the panic itself.
func firstLines(stack []byte) string {
	lines := strings.Split(strings.TrimSpace(string(stack)), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "panic(") && i+2 < len(lines) {
			lines = lines[i+2:]
			break
		}
	}
	return strings.Join(lines[:min(len(lines), stackLines)], "\n")
}
