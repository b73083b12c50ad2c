package channel

import (
	"slices"
	"time"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// Times between two tries to fetch: the one grows into the other.
const (
	firstFetch = 15 * time.Second
	lastFetch  = 10 * time.Minute
)

// prepare leads Track.Next from Pending to Applying.
func (m *machine) prepare() {
	n := m.Track.Next
	if n == nil || m.settled(n) || m.stopped(n) {
		return
	}
	if m.missing(n) {
		m.fetch(n)
		return
	}
	delays := m.delays()
	switch {
	case m.busy():
		m.pend(n, ReasonVerifyingFirst, "version "+m.Track.Current.Version+" is being verified, and ends first")
	case len(delays) > 0:
		m.wait(n, delays)
	default:
		m.try(n)
	}
}

// settled: it failed its preflight, and nothing is different since.
func (m *machine) settled(n *source.Release) bool {
	if n.Phase != source.Failed {
		return false
	}
	if n.Values == m.Values && !m.asked(n, n.Retried) {
		return true
	}
	n.Retried = m.order(n).Retry
	m.move(n, source.Pending, "", "")
	m.Checked = false // what is known is the outcome of the try before
	return false
}

// stopped: whatever its delays are, it must not go on now.
func (m *machine) stopped(n *source.Release) bool {
	i := slices.IndexFunc(m.Delays, func(d Delay) bool { return d.Reason == ReasonSuspended })
	switch {
	case m.Target.Reason == ReasonYanked:
		m.suspend(n, m.Target.Reason, m.Target.Message)
	case m.Target.Reason != "":
		m.pend(n, m.Target.Reason, m.Target.Message)
	case i >= 0:
		m.suspend(n, ReasonSuspended, m.Delays[i].Message)
	case !m.On:
		m.pend(n, ReasonOff, "module "+m.Module+" is off: nothing is applied")
	default:
		if n.Phase == source.Suspended {
			m.move(n, source.Pending, "", "")
		}
		return false
	}
	return true
}

func (m *machine) suspend(n *source.Release, reason, message string) {
	m.move(n, source.Suspended, reason, message)
	n.NotBefore = time.Time{}
}

func (m *machine) pend(n *source.Release, reason, message string) {
	m.move(n, source.Pending, reason, message)
	n.NotBefore = time.Time{}
}

// missing: its artifact, or what its artifact says of itself, is not here.
func (m *machine) missing(n *source.Release) bool {
	_, known := m.Metas[n.Digest]
	return !n.Embedded() && (!m.Fetched || !known)
}

// fetch asks for the artifact, after a failure at growing distances.
func (m *machine) fetch(n *source.Release) {
	if m.FetchError == "" {
		m.prepared = Fetch
		if n.Phase == source.Pending {
			m.pend(n, ReasonFetching, "version "+n.Version+" is being fetched")
		}
		return
	}
	due := n.Reason == ReasonFetchFailed && !n.NotBefore.After(m.Now)
	next := n.NotBefore
	switch {
	case n.Reason != ReasonFetchFailed:
		next = m.Now.Add(firstFetch)
	case due:
		next = m.Now.Add(min(max(m.Now.Sub(n.Since), firstFetch), lastFetch))
		m.prepared = Fetch
	}
	m.pend(n, ReasonFetchFailed, m.FetchError)
	n.NotBefore = next
	m.until(next)
}

// delays are those of the target, without that of a fetch that has ended.
func (m *machine) delays() []Delay {
	return slices.DeleteFunc(slices.Clone(m.Delays), func(d Delay) bool { return d.Reason == ReasonFetching })
}

// busy: what is in force has not shown yet what becomes of it.
func (m *machine) busy() bool {
	c := m.Track.Current
	return m.Track.Undone != nil || c != nil && (c.Phase == source.Applying || c.Phase == source.Verifying)
}

// wait: Scheduled if time alone ends all delays, else Pending.
func (m *machine) wait(n *source.Release, delays []Delay) {
	phase, notBefore := source.Scheduled, time.Time{}
	for _, d := range delays {
		m.until(d.Until)
		if d.Until.After(notBefore) {
			notBefore = d.Until
		}
		if !d.Until.After(m.Now) {
			phase = source.Pending
		}
	}
	if phase == source.Pending {
		notBefore = time.Time{}
	}
	m.move(n, phase, delays[0].Reason, sentence(delays))
	n.NotBefore = notBefore
}

// try runs the preflight, and puts in force what has passed.
func (m *machine) try(n *source.Release) {
	m.move(n, source.Preflight, "", m.PreflightError) // of a preflight that could not be held
	switch {
	case !m.Checked:
		m.prepared = TryOut
	case m.PreflightError != "":
		n.Values, n.Retried = m.Values, m.order(n).Retry
		m.move(n, source.Failed, ReasonPreflight, m.PreflightError)
	default:
		m.promote(n)
	}
}

// promote makes Track.Next the one in force, and what was there the one to go back to, if it was well.
func (m *machine) promote(n *source.Release) {
	old, before := m.Track.Current, m.Track.Previous
	m.Track.Current, m.Track.Next, m.Track.Previous = n, nil, nil
	m.begin(n)
	m.move(n, source.Applying, "", "")
	m.action = PutInForce
	m.until(m.deadline())
	if before != nil && before.Name() != n.Name() {
		m.supersede(before)
		m.archive(before)
	}
	switch {
	case old == nil:
	case old.Phase == source.Deployed:
		m.Track.Previous = old
	default:
		m.archive(old)
	}
}

// supersede ends what was Deployed before.
func (m *machine) supersede(r *source.Release) {
	if r.Phase == source.Deployed {
		m.move(r, source.Superseded, "", "")
	}
}
