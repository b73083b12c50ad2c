package exec

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// envRun marks every process of a run, and what it starts, with the run's directory.
const envRun = "ADDON_OPERATOR_HOOK_RUN"

// sweep kills what carries the mark of a run's directory or of one below it.
type sweep struct {
	dir        string
	credential *Credential
	// after is a process id: when it is set, only processes started later are looked at.
	after int
}

const (
	// sweepRounds bounds the race with processes that fork faster than they are found.
	sweepRounds = 100
	// unsureRounds is how often a process without an environment is looked at again. In
	// the middle of execve a process has none; some have none for good.
	unsureRounds = 10
)

// run looks until there is nothing left to kill, and waits for what it killed.
func (s sweep) run() {
	unsure := 0
	for range sweepRounds {
		newest, known := latestPID()
		killed, doubt := s.kill(newest)
		for _, fd := range killed {
			awaitEnd(fd, time.Second)
		}
		for _, fd := range killed {
			// A child of ours, as orphans are of process 1, has to be reaped by us.
			_ = unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG, nil)
			_ = unix.Close(fd)
		}
		again := len(killed) > 0
		if doubt >= 0 {
			if unsure++; unsure <= unsureRounds {
				again = true
				awaitEnd(doubt, time.Millisecond)
			}
			_ = unix.Close(doubt)
		}
		if again {
			continue
		}
		// What forked and ended before it was looked at has left a newer process.
		now, _ := latestPID()
		if !known || now == newest {
			return
		}
		s.after = newest
	}
}

// awaitEnd waits for the process of a handle to end, but not for ever: one that is
// killed in the middle of I/O may take its time.
func awaitEnd(fd int, atMost time.Duration) {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(atMost.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// kill returns handles of the processes that it killed, and of one that it could
// not tell about, or -1.
func (s sweep) kill(newest int) (killed []int, doubt int) {
	doubt = -1
	for _, pid := range s.candidates(newest) {
		fd, err := unix.PidfdOpen(pid, 0) // taken before the look, it keeps a reused number safe
		if err != nil {
			continue
		}
		switch s.look(pid) {
		case itsOwn:
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			killed = append(killed, fd)
			continue
		case unclear:
			if doubt < 0 {
				doubt = fd
				continue
			}
		}
		_ = unix.Close(fd)
	}
	return killed, doubt
}

type finding int

const (
	another finding = iota
	itsOwn
	unclear
)

func (s sweep) look(pid int) finding {
	environ, err := s.environ(pid)
	switch {
	case err != nil:
		return another
	case isMarked(environ, s.dir):
		return itsOwn
	case len(environ) > 0:
		return another
	}
	if p, ok := readStat("/proc/" + strconv.Itoa(pid) + "/stat"); ok && !p.ended && !p.kernel {
		return unclear
	}
	return another
}

// environ reads the environment of a process, as the hooks' user where they have
// one: without CAP_SYS_PTRACE even root may not read that of other users' processes.
func (s sweep) environ(pid int) ([]byte, error) {
	restore := s.credential.borrow()
	defer restore()
	return os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
}

func isMarked(environ []byte, dir string) bool {
	mark := []byte(envRun + "=" + dir)
	for variable := range bytes.SplitSeq(environ, []byte{0}) {
		if rest, ok := bytes.CutPrefix(variable, mark); ok && (len(rest) == 0 || rest[0] == '/') {
			return true
		}
	}
	return false
}

// candidates are the processes to look at. Numbers are given out in turn, so that
// what a short run started lies between its own and the latest; looking at those
// alone costs a run microseconds, where all of /proc costs milliseconds.
func (s sweep) candidates(newest int) []int {
	self := os.Getpid()
	var out []int
	if s.after > 0 && newest >= s.after && newest-s.after < 4096 {
		for pid := s.after + 1; pid <= newest; pid++ {
			if pid != self {
				out = append(out, pid)
			}
		}
		return out
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != self {
			out = append(out, pid)
		}
	}
	return out
}

// latestPID is the last number that the kernel gave out (proc_loadavg(5)).
func latestPID() (int, bool) {
	text, err := os.ReadFile("/proc/loadavg")
	fields := bytes.Fields(text)
	if err != nil || len(fields) != 5 {
		return 0, false
	}
	pid, err := strconv.Atoi(string(fields[4]))
	return pid, err == nil
}

// sweepAfter kills what a finished run left behind. In a long run the numbers of
// processes may have begun anew.
func (c command) sweepAfter(leader int, wall time.Duration) {
	s := sweep{dir: c.dir, credential: c.credential}
	if wall < time.Second {
		s.after = leader
	}
	s.run()
}

// borrow makes the calling thread look at files as that user.
func (c *Credential) borrow() (restore func()) {
	if c == nil {
		return func() {}
	}
	runtime.LockOSThread()
	gid, _ := unix.SetfsgidRetGid(int(c.GID))
	uid, _ := unix.SetfsuidRetUid(int(c.UID))
	return func() {
		_ = unix.Setfsuid(uid)
		_ = unix.Setfsgid(gid)
		now, _ := unix.SetfsuidRetUid(-1) // changes nothing and tells the present one
		if now == uid {
			runtime.UnlockOSThread()
		} // else the thread ends with its goroutine
	}
}

// guardScript waits for its input to end, which it does when the operator dies,
// and kills the groups of the runs that are noted in directory $1, then all whose
// environment holds the mark $2, until two looks have found none: a process in the
// middle of execve has no environment. The word "done" on its input ends it in peace. It
// uses nothing but what every shell has built in.
const guardScript = `trap '' HUP INT QUIT TERM
while read -r word; do [ "$word" = done ] && exit 0; done
for f in "$1"/*.group; do
  [ -f "$f" ] && read -r group <"$f" && [ -n "$group" ] && kill -KILL "-$group" 2>/dev/null
done
round=0 quiet=0
while [ "$round" -lt 20 ] && [ "$quiet" -lt 2 ]; do
  quiet=$((quiet + 1))
  for f in /proc/[0-9]*/environ; do
    [ -r "$f" ] || continue
    line= marked=
    while IFS= read -r line || [ -n "$line" ]; do
      case $line in *"$2"*) marked=1; break ;; esac
      line=
    done 2>/dev/null <"$f"
    [ -n "$marked" ] || continue
    pid=${f#/proc/}
    kill -KILL "${pid%/environ}" 2>/dev/null && quiet=0
  done
  round=$((round + 1))
done
exit 0`

// guard is the shell that outlives a killed operator by a moment.
type guard struct {
	cmd  *exec.Cmd
	hold *os.File
}

// startGuard starts it as the operator's user, or as that of the hooks, whose
// environment the operator's user may not be able to read.
func startGuard(dir string, as *Credential) (*guard, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", guardScript, "hook-guard", dir, envRun+"="+dir+"/")
	cmd.Stdin = read
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	// A session of its own, so that neither Ctrl-C nor a signal to the operator's group ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: as.forProcess()}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return &guard{cmd: cmd, hold: write}, nil
}

func (c *Credential) forProcess() *syscall.Credential {
	if c == nil {
		return nil
	}
	return &syscall.Credential{Uid: c.UID, Gid: c.GID}
}

// stop ends the guard without a look around: the operator has done that itself.
func (g *guard) stop() error {
	// One that somebody killed needs no word, and its status tells nothing.
	_, _ = g.hold.WriteString("done\n")
	err := g.hold.Close()
	var status *exec.ExitError
	if waitErr := g.cmd.Wait(); !errors.As(waitErr, &status) {
		err = errors.Join(err, waitErr)
	}
	return err
}
