package leader

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrStandby refuses a write of a replica that does not hold the Lease.
var ErrStandby = errors.New("this replica is a standby and must not write: another one leads")

// ErrLost refuses a write of a process that held the Lease and does not any more.
var ErrLost = errors.New("leadership lost")

// A Fence says whether this process may act. It is up for a deadline after each
// renewal was sent. Once it was found down it stays down: somebody else may have
// acted since. It is safe for concurrent use; the zero value is that of a standby.
type Fence struct {
	deadline time.Duration
	clock    func() instant

	mu      sync.Mutex
	held    bool
	renewed instant
	lost    error
}

func newFence(deadline time.Duration, clock func() instant) *Fence {
	return &Fence{deadline: deadline, clock: clock}
}

// Write is nil while this process may change something in the cluster. Otherwise
// it is ErrStandby, or ErrLost with how long ago the Lease was renewed.
func (f *Fence) Write() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.held && f.lost == nil {
		return ErrStandby
	}
	return f.look()
}

// Send is nil unless the leadership was lost: a standby may read, but nothing must
// leave a process that was stopped between asking Write and sending.
func (f *Fence) Send() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.held {
		return f.lost
	}
	return f.look()
}

func (f *Fence) look() error {
	if f.lost != nil {
		return f.lost
	}
	if ago := f.clock().since(f.renewed); ago >= f.deadline {
		f.lost = fmt.Errorf("%w: the Lease was last renewed %s ago, and holds for %s", ErrLost, ago.Round(time.Millisecond), f.deadline)
	}
	return f.lost
}

// left is how long the fence stays up without a renewal; 0 when it is down.
func (f *Fence) left() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.held || f.look() != nil {
		return 0
	}
	return max(0, f.deadline-f.clock().since(f.renewed))
}

// renew notes that a renewal which was sent at that moment has succeeded. One that
// comes back too late does not raise the fence; a standby may try again then.
func (f *Fence) renew(sent instant) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held || f.lost != nil {
		if err := f.look(); err != nil {
			return err
		}
	}
	if took := f.clock().since(sent); took > f.deadline {
		return fmt.Errorf("the Lease was taken, but the answer took %s, more than %s", took.Round(time.Millisecond), f.deadline)
	}
	f.held, f.renewed = true, sent
	return nil
}

// drop takes the fence down for good, for a reason.
func (f *Fence) drop(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost == nil {
		f.lost = why
	}
}
