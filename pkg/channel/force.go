package channel

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// defaultTimeout is that of a policy that says none.
const defaultTimeout = 15 * time.Minute

// force looks after Track.Current: is it in force, does it get healthy, and if not, what follows.
func (m *machine) force() {
	c := m.Track.Current
	if c == nil {
		return
	}
	if m.Run.Digest != c.Digest {
		m.putInForce() // also while it is off: its files may say that it is on
	}
	if !m.On {
		m.pause(c)
		return
	}
	switch {
	case c.Phase == source.Deployed:
		m.deployed()
		return
	case c.Phase == source.Failed && !m.recovers(c):
		return
	case c.Reason == ReasonOff || c.Values != m.Values:
		m.begin(c)
	}
	m.verify(c)
}

// pause: what is off cannot be verified; it begins anew when it is on again.
func (m *machine) pause(c *source.Release) {
	if c.Phase == source.Applying || c.Phase == source.Verifying {
		m.move(c, source.Applying, ReasonOff, "module "+m.Module+" is off: its verification begins when it is on")
		c.ReadySince, c.BrokenSince, c.NotBefore = time.Time{}, time.Time{}, time.Time{}
	}
}

// putInForce asks for Track.Current's artifact.
func (m *machine) putInForce() {
	m.action = PutInForce
	if m.Track.Undone != nil {
		m.action = Restore
	}
}

// begin starts the clock of a release that is applied, or tried once more.
func (m *machine) begin(c *source.Release) {
	c.Begun, c.Values, c.Retried = m.Now, m.Values, cmp.Or(m.order(c).Retry, c.Retried)
	c.ReadySince, c.BrokenSince, c.Restarts = time.Time{}, time.Time{}, 0
	c.Reason, c.Message = "", ""
}

// deployed: health is no longer this package's business, but the values that it had while it was well are.
func (m *machine) deployed() {
	if m.healthy() && m.Track.Held == "" && m.Run.Values == m.Values {
		m.Track.Good = m.Values
	}
}

// healthy: what is observed is of the release in force, and well.
func (m *machine) healthy() bool {
	return m.Run.Digest == m.Track.Current.Digest && m.Run.Applied && m.Run.Ready
}

// recovers: a failed release goes on when it became well by itself, its user changed something, or the way
// back opened.
func (m *machine) recovers(c *source.Release) bool {
	switch {
	case c.Values != m.Values || m.asked(c, c.Retried):
		m.begin(c)
		m.move(c, source.Applying, "", "")
		m.putInForce()
	case m.healthy():
		m.begin(c)
		m.move(c, source.Verifying, "", "")
	case c.Reason == ReasonNoFallback && m.returns(c):
		m.fail(ReasonNotReady, strings.TrimSuffix(c.Message, m.lost()))
		return false
	default:
		return false
	}
	return true
}

// verify takes a release that is being applied or verified one step further.
func (m *machine) verify(c *source.Release) {
	m.observe(c)
	if m.Run.Digest == c.Digest && m.Run.Applied {
		m.move(c, source.Verifying, c.Reason, c.Message)
	}
	soaked := c.ReadySince.Add(m.Policy.Soak)
	switch {
	case c.Phase == source.Verifying && m.healthy() && (m.Track.Undone != nil || !soaked.After(m.Now)):
		m.deploy(c)
	case !c.BrokenSince.IsZero() && !c.BrokenSince.Add(m.Policy.Soak).After(m.Now):
		m.fail(m.broken())
	case c.ReadySince.IsZero() && c.BrokenSince.IsZero() && !m.deadline().After(m.Now):
		m.fail(ReasonNotReady, fmt.Sprintf("version %s was not Ready within %v%s", c.Version, m.timeout(), m.because()))
	case !m.end().After(m.Now):
		m.fail(ReasonHealthLost, fmt.Sprintf("version %s did not stay Ready for %v%s", c.Version, m.Policy.Soak, m.because()))
	default:
		m.goOn(c, soaked)
	}
}

// observe keeps since when the release has been Ready, or not any more. What was before this process is not
// known to have lasted.
func (m *machine) observe(c *source.Release) {
	if c.ReadySince.Before(m.Up) {
		c.ReadySince = time.Time{}
	}
	if c.BrokenSince.Before(m.Up) {
		c.BrokenSince = time.Time{}
	}
	ours := m.Run.Digest == c.Digest
	wasReady := !c.ReadySince.IsZero()
	switch {
	case m.healthy():
		if !wasReady || m.Run.Restarts > c.Restarts {
			c.ReadySince = m.Now
		}
		c.BrokenSince, c.Restarts = time.Time{}, m.Run.Restarts
	case wasReady || ours && m.Run.Failed && c.BrokenSince.IsZero():
		c.ReadySince, c.BrokenSince = time.Time{}, m.Now
	case c.Reason == ReasonApplyFailed && !m.Run.Failed:
		c.BrokenSince = time.Time{} // the next attempt went well
	}
}

// deadline is when the release must have been Ready, end when it must have been so for the soak: two
// breaks at most.
func (m *machine) deadline() time.Time {
	begun := m.Track.Current.Begun
	if begun.Before(m.Up) {
		begun = m.Up
	}
	return begun.Add(m.timeout())
}

func (m *machine) end() time.Time { return m.deadline().Add(2 * m.Policy.Soak) }

func (m *machine) timeout() time.Duration {
	if m.Policy.Timeout <= 0 {
		return defaultTimeout
	}
	return m.Policy.Timeout
}

// broken is why a release that has been broken for as long as a soak fails.
func (m *machine) broken() (reason, message string) {
	c := m.Track.Current
	if m.Run.Failed {
		return ReasonApplyFailed, fmt.Sprintf("version %s could not be applied%s", c.Version, m.because())
	}
	return ReasonHealthLost, fmt.Sprintf("version %s was Ready, and then not for %v%s", c.Version, m.Policy.Soak, m.because())
}

// because is what is observed, as the end of a sentence.
func (m *machine) because() string {
	if text := cmp.Or(m.Run.Message, m.Run.Reason); text != "" && !m.Run.Ready { // Ready is what was seen of the version before
		return ": " + text
	}
	return ""
}

// goOn says what the release waits for, and until when.
func (m *machine) goOn(c *source.Release, soaked time.Time) {
	switch {
	case !c.ReadySince.IsZero():
		c.Reason, c.Message, c.NotBefore = ReasonSoaking, fmt.Sprintf("Ready since %s, for %v", stamp(c.ReadySince), m.Policy.Soak), soaked
	case !c.BrokenSince.IsZero():
		c.Reason, c.Message, c.NotBefore = ReasonHealthLost, fmt.Sprintf("not well since %s%s", stamp(c.BrokenSince), m.because()), c.BrokenSince.Add(m.Policy.Soak)
		if m.Run.Failed {
			c.Reason = ReasonApplyFailed
		}
	default:
		c.Reason, c.Message, c.NotBefore = ReasonWaitingForReady, fmt.Sprintf("must be Ready at %s%s", stamp(m.deadline()), m.because()), m.deadline()
	}
	m.until(c.NotBefore)
	m.until(m.end())
}

// deploy ends a verification well.
func (m *machine) deploy(c *source.Release) {
	reason := ""
	if u := m.Track.Undone; u != nil {
		reason = ReasonRestored
		m.endUndone(u)
	}
	if p := m.Track.Previous; p != nil {
		m.supersede(p)
	}
	m.move(c, source.Deployed, reason, "")
	c.NotBefore, c.BrokenSince, c.Restarts = time.Time{}, time.Time{}, 0
	m.forget(c)
	m.deployed()
}

func (m *machine) endUndone(u *source.Release) {
	m.move(u, source.RolledBack, u.Reason, u.Message)
	m.Track.Undone = nil
	m.archive(u)
}

// returns says that a release that fails can be taken back.
func (m *machine) returns(c *source.Release) bool {
	return m.Track.Undone == nil && m.Track.Previous != nil && m.Fallback && !c.Unsafe
}

// fail ends a verification badly: back to the version before, or, where there is no way back, stop.
func (m *machine) fail(reason, message string) {
	c := m.Track.Current
	c.Values, c.NotBefore = m.Values, time.Time{}
	switch {
	case m.Track.Undone != nil:
		m.endUndone(m.Track.Undone)
		m.move(c, source.Failed, ReasonRestoreFailed, message)
	case m.returns(c):
		m.rollBack(c, reason, message)
	case m.Track.Previous == nil:
		m.move(c, source.Failed, reason, message)
	case c.Unsafe:
		m.move(c, source.Failed, ReasonUnsafe, message+"; it says that it must not be rolled back: set spec.retry of ModuleRelease "+c.Name()+", change its values, or choose another version")
	default:
		m.move(c, source.Failed, ReasonNoFallback, message+m.lost())
	}
}

// lost ends the message of a release that could be taken back if the one before could be had.
func (m *machine) lost() string {
	if m.Track.Previous == nil {
		return ""
	}
	return "; version " + m.Track.Previous.Version + ", which ran before, cannot be had"
}

// rollBack makes the version before the current one again, with the values it last ran well with.
func (m *machine) rollBack(c *source.Release, reason, message string) {
	m.reject(c, cmp.Or(message, reason))
	m.move(c, source.RollingBack, reason, message)
	p := m.Track.Previous
	m.Track.Undone, m.Track.Current, m.Track.Previous = c, p, nil
	m.begin(p)
	m.move(p, source.Applying, "", "")
	if m.Track.Good != "" && m.Track.Good != m.Values {
		m.Track.Held = m.Values
	}
	m.action = Restore
	m.until(m.deadline())
}

// reject remembers that a digest failed here.
func (m *machine) reject(c *source.Release, reason string) {
	x := source.Rejected{Version: c.Version, Digest: c.Digest, Reason: reason, Values: m.Values, Retried: m.order(c).Retry, Time: m.Now}
	m.forget(c)
	m.Track.Rejected = append(m.Track.Rejected, x)
	m.Track.Rejected = m.Track.Rejected[max(0, len(m.Track.Rejected)-source.RejectedLimit):]
}

// forget takes a release out of what was rejected.
func (m *machine) forget(r *source.Release) {
	if i := m.rejection(r); i >= 0 {
		m.Track.Rejected = slices.Delete(m.Track.Rejected, i, i+1)
	}
}
