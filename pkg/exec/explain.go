package exec

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// errResources are failures of a start that the hook has no part in.
var errResources = []error{unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.ENOSPC}

// isOurs tells whether a start failed for want of something that the operator lacks.
func isOurs(err error) bool {
	for _, e := range errResources {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// explainStart says in one line why a program cannot be started, and the way out.
func (c command) explainStart(err error) string {
	path := c.argv[0]
	var reason string
	switch {
	case errors.Is(err, unix.ENOEXEC):
		reason = explainFormat(path)
	case errors.Is(err, unix.ENOENT):
		reason = explainMissing(path)
	case errors.Is(err, unix.EACCES):
		reason = c.explainDenied(path)
	case errors.Is(err, unix.ELOOP):
		reason = "its interpreter is itself a script of a script: name a program in its first line"
	case errors.Is(err, unix.E2BIG):
		reason = "the operator's environment is too large for a program"
	case errors.Is(err, errLimits) && c.credential != nil:
		reason = "to limit processes of another user the operator needs CAP_SYS_RESOURCE"
	case errors.Is(err, unix.EPERM) && c.credential != nil:
		reason = fmt.Sprintf("the operator may not run programs as uid %d: it needs CAP_SETUID and CAP_SETGID", c.credential.UID)
	case errors.Is(err, unix.EPERM) && !c.limits.none():
		reason = "the operator may not trace it (ptrace), which limits need: allow that in the container's seccomp profile, or set no limits"
	}
	text := "cannot be started: "
	if reason != "" {
		text += reason + ": "
	}
	return text + oneLine(err.Error())
}

// head is the first bytes of a file.
func head(path string) []byte {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	text := make([]byte, 256) // as much as the kernel looks at
	n, _ := io.ReadFull(f, text)
	return text[:n]
}

// interpreter is the program that a script's first line names.
func interpreter(path string) (string, bool) { return interpreterIn(head(path)) }

func interpreterIn(text []byte) (string, bool) {
	line, ok := bytes.CutPrefix(text, []byte("#!"))
	if !ok {
		return "", false
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	line = bytes.Trim(line, " \t")
	if end := bytes.IndexAny(line, " \t\x00"); end >= 0 {
		line = line[:end]
	}
	return string(line), true
}

const shebang = "begin it with #!/usr/bin/env bash"

func explainFormat(path string) string {
	text := head(path)
	switch {
	case len(text) == 0:
		return "the file is empty: " + shebang
	case bytes.HasPrefix(text, []byte("\x7fELF")):
		return "it is built for another processor than this one"
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf#!")):
		return "a byte order mark comes before its #!: save it as UTF-8 without one"
	case bytes.HasPrefix(text, []byte("#!")):
		return "its first line names no interpreter: " + shebang
	}
	return "it is neither a program nor a script with an interpreter: " + shebang
}

func explainMissing(path string) string {
	if _, err := os.Stat(path); err != nil {
		return "the file is gone"
	}
	if name, ok := interpreter(path); ok {
		if plain, crlf := strings.CutSuffix(name, "\r"); crlf {
			return fmt.Sprintf("its lines end as on Windows, so that its interpreter would be %q: convert them (sed -i 's/\\r$//')", plain+"\r")
		}
		return fmt.Sprintf("its interpreter %s does not exist here: install it in the image, or name another in the first line", printable([]byte(name)))
	}
	if loader := elfLoader(path); loader != "" {
		return fmt.Sprintf("its loader %s does not exist here: link it statically, or build it for the C library of the image", loader)
	}
	return ""
}

// elfLoader is the dynamic loader that a program asks for.
func elfLoader(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			name, _ := io.ReadAll(io.LimitReader(p.Open(), 256))
			return strings.TrimRight(string(name), "\x00")
		}
	}
	return ""
}

func (c command) explainDenied(path string) string {
	if reason := deniedFile("it", path); reason != "" {
		return reason
	}
	if name, ok := interpreter(path); ok {
		if reason := deniedFile("its interpreter "+name, name); reason != "" {
			return reason
		}
	}
	if c.credential != nil {
		return fmt.Sprintf("uid %d may not reach or execute it: open it and the directories above it to that user", c.credential.UID)
	}
	return ""
}

func deniedFile(what, path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	var mount unix.Statfs_t
	switch {
	case info.IsDir():
		return what + " is a directory"
	case info.Mode()&0o111 == 0:
		return what + " is not executable: chmod +x it"
	case unix.Statfs(path, &mount) == nil && mount.Flags&unix.ST_NOEXEC != 0:
		return what + " lies on a volume that is mounted noexec: put it on another, or mount that without noexec"
	}
	return ""
}

// explainEnd says in one line how a process ended; nothing after status 0.
func (c command) explainEnd(state *os.ProcessState, usage hook.Usage) (string, hook.Reason) {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || state.Success() {
		return "", ""
	}
	text := state.String()
	own := status.Signaled()
	signal := status.Signal()
	if !own && status.ExitStatus() > 128 { // how shells report a child
		signal = syscall.Signal(status.ExitStatus() - 128)
	}
	reason := c.explainSignal(signal, own, usage)
	switch {
	case reason == "" && c.limits.Memory > 0 && usage.MaxRSS > c.limits.Memory/4*3:
		return fmt.Sprintf("%s; its largest process held %s of at most %s", text, size(usage.MaxRSS), size(c.limits.Memory)), hook.ReasonLimit
	case reason == "":
		return text, hook.ReasonExit
	case own && (signal != syscall.SIGKILL || c.beyondCPU(usage)):
		return "killed: it " + reason, hook.ReasonLimit
	case own:
		return text + ", " + reason, hook.ReasonExit
	}
	return text + ": a program that it ran " + reason, hook.ReasonLimit
}

func (c command) explainSignal(signal syscall.Signal, own bool, usage hook.Usage) string {
	switch {
	case signal == syscall.SIGXCPU && c.limits.CPU > 0, signal == syscall.SIGKILL && own && c.beyondCPU(usage):
		return fmt.Sprintf("used more than %s of CPU", c.limits.CPU)
	case signal == syscall.SIGXFSZ && c.limits.FileSize > 0:
		return "wrote a file of more than " + size(c.limits.FileSize)
	case signal == syscall.SIGKILL && own:
		return "and not by the operator: out of memory?"
	}
	return ""
}

func (c command) beyondCPU(u hook.Usage) bool {
	return c.limits.CPU > 0 && u.User+u.System >= c.limits.CPU
}

// pathless drops the path of a temporary file, which says nothing to the reader.
func pathless(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Op, pe.Err)
	}
	return err
}
