package leader

import (
	"errors"
	"testing"
	"time"
)

// fakeClock is set by tests; its three clocks may disagree.
type fakeClock struct{ at instant }

func newFakeClock() *fakeClock {
	return &fakeClock{instant{wall: time.Now(), boot: time.Hour}}
}

func (c *fakeClock) now() instant { return c.at }

func (c *fakeClock) pass(d time.Duration) {
	c.at.wall = c.at.wall.Add(d)
	c.at.boot += d
}

// setWall moves the wall clock alone, as a time server or an administrator does.
func (c *fakeClock) setWall(d time.Duration) {
	boot := c.at.boot
	c.at = instant{wall: c.at.wall.Round(0).Add(d), boot: boot}
}

func TestAFenceIsUpForItsDeadlineAfterARenewalWasSent(t *testing.T) {
	const deadline = 7 * time.Second
	for name, c := range map[string]struct {
		happens     func(*fakeClock, *Fence)
		write, send error
	}{
		"a standby may read and not write":               {func(*fakeClock, *Fence) {}, ErrStandby, nil},
		"a holder may write":                             {func(c *fakeClock, f *Fence) { _ = f.renew(c.at); c.pass(6 * time.Second) }, nil, nil},
		"a holder without renewal is refused everything": {func(c *fakeClock, f *Fence) { _ = f.renew(c.at); c.pass(deadline) }, ErrLost, ErrLost},
		"a renewal counts from when it was sent": {func(c *fakeClock, f *Fence) {
			_ = f.renew(c.at)
			sent := c.at
			c.pass(5 * time.Second)
			_ = f.renew(sent)
			c.pass(3 * time.Second)
		}, ErrLost, ErrLost},
		"a renewal that is answered too late raises nothing": {func(c *fakeClock, f *Fence) {
			_ = f.renew(c.at)
			c.pass(6 * time.Second)
			sent := c.at
			c.pass(2 * time.Second)
			_ = f.renew(sent)
		}, ErrLost, ErrLost},
		"a first renewal that is answered too late leaves a standby": {func(c *fakeClock, f *Fence) {
			sent := c.at
			c.pass(8 * time.Second)
			_ = f.renew(sent)
		}, ErrStandby, nil},
		"a fence that was down stays down": {func(c *fakeClock, f *Fence) {
			_ = f.renew(c.at)
			c.pass(time.Minute)
			_ = f.Write()
			c.pass(-time.Minute)
			_ = f.renew(c.at)
		}, ErrLost, ErrLost},
		"suspend counts, which the monotonic clock leaves out": {func(c *fakeClock, f *Fence) {
			_ = f.renew(c.at)
			c.at.boot += time.Minute
		}, ErrLost, ErrLost},
		"a frozen machine counts once its wall clock is set": {func(c *fakeClock, f *Fence) {
			_ = f.renew(c.at)
			c.setWall(time.Minute)
		}, ErrLost, ErrLost},
		"a wall clock that is set back lengthens nothing": {func(c *fakeClock, f *Fence) {
			_ = f.renew(c.at)
			c.pass(deadline)
			c.setWall(-time.Hour)
		}, ErrLost, ErrLost},
		"after the release nothing is written": {func(c *fakeClock, f *Fence) {
			_ = f.renew(c.at)
			f.drop(ErrLost)
		}, ErrLost, ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newFakeClock()
			f := newFence(deadline, clock.now)
			c.happens(clock, f)
			if err := f.Write(); !errors.Is(err, c.write) {
				t.Errorf("Write: %v, expected %v", err, c.write)
			}
			if err := f.Send(); !errors.Is(err, c.send) {
				t.Errorf("Send: %v, expected %v", err, c.send)
			}
		})
	}
}

// The system's clocks agree as long as nothing is stopped or set.
func TestTheSystemsClocksCount(t *testing.T) {
	a := now()
	b := now()
	if d := b.since(a); d < 0 || a.boot == 0 {
		t.Errorf("from %v to %v: %s", a, b, d)
	}
}

// C-450
func TestIdentity(t *testing.T) {
	for name, c := range map[string]struct{ pod, address, namespace, want string }{
		"IPv4":                                 {"op-5c9-x2", "10.1.2.3", "addons", "op-5c9-x2.10-1-2-3.addons.pod"},
		"IPv6":                                 {"op-5c9-x2", "fd00::1:2", "addons", "op-5c9-x2.fd00--1-2.addons.pod"},
		"no pod":                               {"", "10.1.2.3", "addons", ""},
		"no namespace":                         {"op", "10.1.2.3", "", ""},
		"an address that means every address":  {"op", "0.0.0.0", "addons", ""},
		"an address that is a name":            {"op", "localhost", "addons", ""},
		"the unspecified address of IPv6":      {"op", "::", "addons", ""},
		"the shortest forms of IPv6 addresses": {"op", "::1", "addons", "op.--1.addons.pod"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Identity(c.pod, c.address, c.namespace)
			if got != c.want || (err != nil) != (c.want == "") {
				t.Fatalf("%q, %v; expected %q", got, err, c.want)
			}
			if err != nil {
				return
			}
			if ip, ok := Address(got); !ok || ip.String() != c.address {
				t.Errorf("the address in %q is %v, expected %s", got, ip, c.address)
			}
		})
	}
}

func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"op.10-1-2-3.addons.pod", "op.fd00--1.addons.pod", "op.addons.pod", "", ".pod", "a.b.c.pod", "op_6c1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, identity string) {
		if ip, ok := Address(identity); ok && !ip.IsValid() {
			t.Errorf("%q: %v", identity, ip)
		}
	})
}
