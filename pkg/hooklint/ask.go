package hooklint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/addon-operator/addon-operator/pkg/hooktest"
)

// answer is what a hook printed for --config, or why there is nothing.
type answer struct {
	text       []byte
	cause, fix string
}

// configLimit bounds what is read of an answer, as the operator does.
const configLimit = 1 << 20

// ask runs the hook with --config alone (C-020, C-021). The operator keeps of the
// output only what it means; here its lines are needed as well.
func ask(ctx context.Context, place hooktest.Place, path string, opts Options) answer {
	timeout := opts.Timeout
	if timeout <= 0 {
		timeout = time.Minute
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	argv := []string{path, "--config"}
	if python := filepath.Join(place.Dir, "venv", "bin", "python3"); place.Owner.Module != "" && filepath.Ext(path) == ".py" {
		if _, err := os.Stat(python); err == nil {
			argv = append([]string{python}, argv...)
		}
	}
	cmd := exec.CommandContext(limited, argv[0], argv[1:]...)
	cmd.Env = withoutFiles(opts.Env)
	if place.Owner.IsStandalone() {
		cmd.Dir = place.Dir
	}
	stdout, stderr := capped{limit: configLimit + 1}, capped{limit: 4 << 10}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // what it leaves in the background holds its output open
	err := cmd.Run()
	if cmd.Process != nil {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	said := strings.Join(strings.Fields(stderr.String()), " ")
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return answer{cause: "--config was not asked: " + ctx.Err().Error()}
	case limited.Err() != nil:
		return answer{cause: fmt.Sprintf("--config gave no answer within %s", timeout), fix: "answer --config before doing anything else"}
	case errors.Is(err, unix.ENOEXEC):
		return answer{cause: "cannot be started: it is neither a script with a #! line nor a binary of this machine", fix: "begin it with #!/usr/bin/env bash"}
	case errors.Is(err, fs.ErrNotExist):
		return answer{cause: "cannot be started: the interpreter of its #! line is not installed here", fix: "use #!/usr/bin/env NAME, and have NAME in the image"}
	case errors.As(err, &exit):
		cause := fmt.Sprintf("--config ended with %s", exit.ProcessState)
		if said != "" {
			cause += ": " + said
		}
		return answer{cause: cause, fix: "exit 0 after printing the configuration, whatever the environment"}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return answer{cause: "cannot be started: " + err.Error()}
	case stdout.Len() > configLimit:
		return answer{cause: fmt.Sprintf("--config printed more than %d bytes", configLimit), fix: "print the configuration and nothing else"}
	}
	return answer{text: stdout.Bytes()}
}

// withoutFiles leaves out the variables that name files of a run (C-021).
func withoutFiles(env []string) []string {
	if env == nil {
		env = os.Environ()
	}
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains([]string{"BINDING_CONTEXT_PATH", "VALUES_PATH", "CONFIG_VALUES_PATH", "VALUES_JSON_PATCH_PATH",
			"CONFIG_VALUES_JSON_PATCH_PATH", "KUBERNETES_PATCH_PATH", "METRICS_PATH", "ADMISSION_RESPONSE_PATH",
			"VALIDATING_RESPONSE_PATH", "CONVERSION_RESPONSE_PATH"}, name)
	})
}

// capped keeps the first bytes written to it.
type capped struct {
	bytes.Buffer
	limit int
}

func (c *capped) Write(p []byte) (int, error) {
	c.Buffer.Write(p[:max(0, min(len(p), c.limit-c.Len()))])
	return len(p), nil
}
