package leader

import (
	"time"

	"golang.org/x/sys/unix"
)

// instant is a moment on three clocks. Each of them may stand still while the
// machine is stopped: the monotonic one during suspend, that of the boot too when
// a virtual machine is frozen, and the wall clock until somebody sets it right.
type instant struct {
	wall time.Time     // with its monotonic reading
	boot time.Duration // CLOCK_BOOTTIME
}

func now() instant {
	var ts unix.Timespec
	i := instant{wall: time.Now()}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err == nil {
		i.boot = time.Duration(ts.Nano())
	}
	return i
}

// since is the longest time that any clock counted from then to i.
func (i instant) since(then instant) time.Duration {
	return max(
		i.wall.Sub(then.wall),
		i.wall.Round(0).Sub(then.wall.Round(0)), // Round(0) takes the monotonic reading off
		i.boot-then.boot,
	)
}
