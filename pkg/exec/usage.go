package exec

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// usageOf is what the kernel counted for a reaped process and the children that
// it had waited for (C-110). A killed process did not wait for those killed with
// it: what they had used was sampled before, and the larger number is nearer.
//
// Of the largest resident set the kernel counts what the operator itself had when
// it forked (inherited). Above that its number is the hook's; below, only samples
// of the hook's own process tell, and a run too short for one has none.
func usageOf(s *os.ProcessState, wall time.Duration, inherited int64, sampled hook.Usage) hook.Usage {
	u := hook.Usage{Wall: wall}
	if s != nil {
		u.User, u.System = s.UserTime(), s.SystemTime()
		if ru, ok := s.SysUsage().(*syscall.Rusage); ok && ru.Maxrss<<10 > inherited+inherited/8 { // Linux counts in KiB
			u.MaxRSS = ru.Maxrss << 10
		}
	}
	u.User, u.System, u.MaxRSS = max(u.User, sampled.User), max(u.System, sampled.System), max(u.MaxRSS, sampled.MaxRSS)
	return u
}

// sampleGroup adds up what the processes of a group have used so far.
func sampleGroup(pgid int) hook.Usage {
	var sum hook.Usage
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		p, ok := readStat(path)
		if !ok || p.group != pgid {
			continue
		}
		sum.User += p.user
		sum.System += p.system
		sum.MaxRSS = max(sum.MaxRSS, peakOf(filepath.Dir(path)))
	}
	return sum
}

// procStat is what /proc/<pid>/stat says (proc_pid_stat(5)), times with those of
// children that were waited for.
type procStat struct {
	ended, kernel bool
	group         int
	user, system  time.Duration
}

// tick is the unit of times in /proc: USER_HZ is 100 wherever Go runs on Linux.
const tick = time.Second / 100

func readStat(path string) (procStat, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return procStat{}, false
	}
	return parseStat(text)
}

func parseStat(text []byte) (procStat, bool) {
	// The name in parentheses may hold anything, parentheses too.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return procStat{}, false
	}
	number := func(field int) int64 { // fields count from 1, and state is the third
		n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64)
		return n
	}
	const ofKernel = 0x00200000 // PF_KTHREAD of the kernel's flags
	state := string(fields[0])
	return procStat{
		ended:  state == "Z" || state == "X",
		kernel: number(9)&ofKernel != 0,
		group:  int(number(5)),
		user:   time.Duration(number(14)+number(16)) * tick,
		system: time.Duration(number(15)+number(17)) * tick,
	}, true
}

// ownPeak is the largest resident size of the operator so far.
func ownPeak() int64 {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return ru.Maxrss << 10
}

// samplePeak looks at the largest resident size of a process now and then, more
// often in its first moments, and answers the last it saw when the process has ended.
func samplePeak(pid int) (ended func() int64) {
	const first, most = 2 * time.Millisecond, 250 * time.Millisecond
	proc := "/proc/" + strconv.Itoa(pid)
	seen := make(chan int64)
	go func() {
		var peak int64
		pause := first
		next := time.NewTimer(pause)
		defer next.Stop()
		for {
			select {
			case <-next.C:
				peak = max(peak, peakOf(proc))
				pause = min(2*pause, most)
				next.Reset(pause)
			case seen <- peak:
				return
			}
		}
	}()
	return func() int64 { return <-seen }
}

// peakOf is the largest resident size of a process in bytes.
func peakOf(proc string) int64 {
	text, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(text, []byte("\nVmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(after[:min(len(after), 40)]), &kib); err != nil {
		return 0
	}
	return kib << 10
}
