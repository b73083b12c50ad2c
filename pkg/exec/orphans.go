package exec

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// envRun marks every process of a run, and what it starts, with the run's directory.
const envRun = "ADDON_OPERATOR_HOOK_RUN"

// killMarked kills every process whose environment names dir or a directory below
// it as its run. A process handle taken before the look keeps a reused pid safe.
func killMarked(dir string) {
	mark := []byte(envRun + "=" + dir)
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, e := range entries {
		pid, err := strconv.Atoi(filepath.Base(e))
		if err != nil || pid == os.Getpid() {
			continue
		}
		killIfMarked(pid, mark)
	}
}

func killIfMarked(pid int, mark []byte) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return // ended, or another user's
	}
	for variable := range bytes.SplitSeq(environ, []byte{0}) {
		if rest, ok := bytes.CutPrefix(variable, mark); ok && (len(rest) == 0 || rest[0] == '/') {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			return
		}
	}
}

// guardScript waits for its input to end, which it does when the operator closes
// it or dies, and kills the groups of the runs that are still noted. Then the
// runs' own directories are gone, or their groups are orphans.
const guardScript = `trap '' HUP INT QUIT TERM
while read -r _; do :; done
for f in "$1"/*/group; do
  [ -f "$f" ] && read -r g <"$f" && [ -n "$g" ] && kill -KILL "-$g" 2>/dev/null
done
exit 0`

// guard is the shell that outlives a killed operator by a moment.
type guard struct {
	cmd  *exec.Cmd
	hold *os.File
}

func startGuard(dir string) (*guard, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", guardScript, "hook-guard", dir)
	cmd.Stdin = read
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	// A session of its own, so that neither Ctrl-C nor a signal to the operator's group ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return &guard{cmd: cmd, hold: write}, nil
}

func (g *guard) stop() error {
	if g == nil {
		return nil
	}
	return errors.Join(g.hold.Close(), g.cmd.Wait())
}
