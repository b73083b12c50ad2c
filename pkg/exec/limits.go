package exec

import (
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound each process of a run by resource limits (setrlimit(2)), which
// children inherit. 0 means no limit. They are in force before the hook's first
// instruction; for that the operator traces the start of the process (ptrace(2)),
// which the default seccomp profiles allow.
type Limits struct {
	// CPU is the processor time of one process, in whole seconds, rounded up.
	CPU time.Duration
	// Memory is the private writable memory of one process in bytes (RLIMIT_DATA):
	// what a program asked for, not the address space that it only reserved.
	Memory int64
	// FileSize is the size in bytes up to which a process may write any file.
	FileSize int64
	// OpenFiles is the number of descriptors of one process.
	OpenFiles int64
	// Processes counts all processes of the user; it does not bind root.
	Processes int64
}

// Credential is the user that hooks run as. The operator needs CAP_SETUID,
// CAP_SETGID, CAP_CHOWN, CAP_KILL and CAP_DAC_OVERRIDE for it, and with Limits also
// CAP_SYS_RESOURCE. Supplementary groups are dropped.
type Credential struct{ UID, GID uint32 }

func (l Limits) none() bool { return l == Limits{} }

// resources are the limits as the kernel takes them.
func (l Limits) resources() map[int]uint64 {
	out := map[int]uint64{}
	for resource, value := range map[int]int64{
		unix.RLIMIT_CPU:    int64(math.Ceil(l.CPU.Seconds())),
		unix.RLIMIT_DATA:   l.Memory,
		unix.RLIMIT_FSIZE:  l.FileSize,
		unix.RLIMIT_NOFILE: l.OpenFiles,
		unix.RLIMIT_NPROC:  l.Processes,
	} {
		if value > 0 {
			out[resource] = uint64(value)
		}
	}
	return out
}

// cpuGrace is what lies between SIGXCPU and SIGKILL, in seconds of CPU.
const cpuGrace = 1

// apply sets the limits of a process that has done nothing yet.
func (l Limits) apply(pid int) error {
	for resource, soft := range l.resources() {
		hard := soft
		if resource == unix.RLIMIT_CPU {
			hard += cpuGrace
		}
		var old unix.Rlimit
		if err := unix.Prlimit(pid, resource, nil, &old); err != nil {
			return fmt.Errorf("read limit: %w", err)
		}
		// Where the operator itself is held tighter, that stays.
		limit := unix.Rlimit{Cur: min(soft, old.Max), Max: min(hard, old.Max)}
		if err := unix.Prlimit(pid, resource, &limit, nil); err != nil {
			return fmt.Errorf("set limit: %w", err)
		}
	}
	return nil
}

// release sets the limits of a child that was started traced, and lets it go. The
// calling thread must be the one that started it.
func (l Limits) release(pid int) error {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for its start: %w", err)
		case !status.Stopped():
			return fmt.Errorf("it ended before its start: status %#x", uint32(status))
		}
		if status.StopSignal() == unix.SIGTRAP { // its execve succeeded
			break
		}
		if err := unix.PtraceCont(pid, int(status.StopSignal())); err != nil {
			return fmt.Errorf("continue: %w", err)
		}
	}
	if err := l.apply(pid); err != nil {
		return err
	}
	return unix.PtraceDetach(pid)
}

// size is a number of bytes for people.
func size(n int64) string {
	for _, u := range []struct {
		name string
		of   int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.of {
			return fmt.Sprintf("%.4g %s", float64(n)/float64(u.of), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
