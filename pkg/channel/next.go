package channel

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// Next is the one step that the module's releases take: first what is in force, then what follows it. It always
// answers, and never changes what it is given: a situation that cannot be is taken for the nearest one that can.
func Next(s Situation) Step {
	m := machine{Situation: s}
	m.Track = clone(s.Track)
	m.normalise()
	m.adopt()
	m.force()
	m.follow()
	m.prepare()
	reason, message := m.why()
	if reason != ReasonYanked {
		message = joined(message, m.Target.Yanked)
	}
	return Step{Track: m.Track, Action: m.action, Prepare: m.prepared, Wake: m.wake, Events: m.events, Reason: reason, Message: message}
}

// machine is one call of Next: the situation, whose Track it owns, and the outcome so far.
type machine struct {
	Situation
	action, prepared Action
	wake             time.Time
	events           []Transition
	// rejected is why the target is not tried.
	rejected string
}

// move changes a release's phase, if that may be.
func (m *machine) move(r *source.Release, to source.Phase, reason, message string) {
	from, changes := r.Phase, r.Phase != to && allowed(r.Phase, to)
	if changes {
		r.Phase, r.Since, r.NotBefore = to, m.Now, time.Time{}
	}
	r.Reason, r.Message = reason, message
	if changes {
		m.events = append(m.events, Transition{Release: *r, From: from})
	}
}

// until asks for a look at t at the latest.
func (m *machine) until(t time.Time) {
	if t.After(m.Now) && (m.wake.IsZero() || t.Before(m.wake)) {
		m.wake = t
	}
}

// normalise makes phases that cannot be where they are found into the nearest that can.
func (m *machine) normalise() {
	if c := m.Track.Current; c != nil && !inForce(c.Phase) {
		c.Phase = source.Applying
	}
	if n := m.Track.Next; n != nil && !before(n.Phase) {
		n.Phase = source.Pending
	}
	if p := m.Track.Previous; p != nil && p.Phase != source.Superseded {
		p.Phase = source.Deployed
	}
	if u := m.Track.Undone; u != nil {
		u.Phase = source.RollingBack
	}
	if m.Track.Current == nil {
		m.Track.Previous, m.Track.Undone = nil, nil
	}
	if m.Track.Held != m.Values {
		m.Track.Held = ""
	}
}

// adopt makes what is installed without a track, because it lies on disk, the one to go back to.
func (m *machine) adopt() {
	t := m.Target
	if m.Track.Current == nil && !m.First && t.Reason == "" && !t.Embedded {
		m.Track.Current = &source.Release{Module: m.Module, Version: m.Installed, Phase: source.Deployed, Since: m.Now}
	}
}

// follow makes Track.Next what the target is.
func (m *machine) follow() {
	t := m.Target
	n := m.Track.Next
	switch {
	case t.Reason == ReasonDowngrade:
		m.drop("the channel does not offer it any more")
	case t.Reason != "":
		return
	case m.runs(m.Track.Current), t.Embedded && m.Track.Current == nil:
		m.refresh(m.Track.Current)
		m.drop("what runs is wanted")
	case m.refused():
		m.drop("another version is wanted")
	case n != nil && m.is(n):
		m.refresh(n)
	default:
		m.replace()
	}
}

// replace begins a new release. One that was only fetched to learn the way to it comes back later.
func (m *machine) replace() {
	t := m.Target
	if n := m.Track.Next; n != nil && n.Digest == t.Goal.Digest && t.Ref != t.Goal && n.Phase == source.Pending {
		m.Track.Next = nil
	}
	m.drop("overtaken by version " + cmp.Or(t.Ref.Version, t.Ref.Digest))
	m.Fetched, m.FetchError, m.Checked, m.PreflightError = false, "", false, "" // they were the other's
	n := &source.Release{Module: m.Module, Digest: t.Ref.Digest}
	m.Track.Next = n
	m.refresh(n)
	n.Retried = m.order(n).Retry
	m.move(n, source.Pending, "", "")
}

// is says that a release has the target's bytes.
func (m *machine) is(r *source.Release) bool {
	t := m.Target
	return r.Embedded() == t.Embedded && r.Digest == t.Ref.Digest && (!t.Embedded || r.Version == t.Ref.Version)
}

// runs is like is for what is in force: an embedded module is always the one on disk.
func (m *machine) runs(r *source.Release) bool {
	return r != nil && r.Embedded() == m.Target.Embedded && r.Digest == m.Target.Ref.Digest
}

// refresh takes over who asks for a release now.
func (m *machine) refresh(r *source.Release) {
	if r == nil {
		return
	}
	t := m.Target
	meta := m.Metas[r.Digest]
	r.Version = cmp.Or(t.Ref.Version, meta.Version, r.Version)
	r.Source, r.Channel, r.Doc, r.PromotedAt = t.Source, t.Channel, t.Seq, t.Entry.PromotedAt
	r.Unsafe = r.Unsafe || meta.Unsafe()
	r.Approved = m.order(r).Approved
}

// drop ends Track.Next before it was applied.
func (m *machine) drop(why string) {
	n := m.Track.Next
	if n == nil {
		return
	}
	m.Track.Next = nil
	reason, yanked := yank(m.Target.Entry, n.Ref())
	switch {
	case n.Phase == source.Failed:
	case yanked:
		m.move(n, source.Suspended, ReasonYanked, reason)
	default:
		m.move(n, source.Skipped, ReasonOvertaken, why)
	}
	m.archive(n)
}

// refused says that the target failed here with the same values, and nobody asks for one more try.
func (m *machine) refused() bool {
	t := m.Target
	r := source.Release{Module: m.Module, Version: t.Ref.Version, Digest: t.Ref.Digest, Source: t.Source}
	i := m.rejection(&r)
	if i < 0 || m.Track.Rejected[i].Values != m.Values || m.asked(&r, m.Track.Rejected[i].Retried) {
		return false
	}
	m.rejected = "version " + cmp.Or(t.Ref.Version, t.Ref.Digest) + " was rolled back here: " + m.Track.Rejected[i].Reason +
		"; it is tried again with another digest, other values, or spec.retry of ModuleRelease " + r.Name()
	return true
}

// rejection is the index of what is remembered of a release that was rolled back, or -1.
func (m *machine) rejection(r *source.Release) int {
	return slices.IndexFunc(m.Track.Rejected, func(x source.Rejected) bool {
		return x.Digest == r.Digest && (r.Digest != "" || x.Version == r.Version)
	})
}

// order is what the user wrote into the ModuleRelease.
func (m *machine) order(r *source.Release) source.Order { return m.Orders[r.Name()] }

// asked says that spec.retry is another than the one acted upon.
func (m *machine) asked(r *source.Release, retried string) bool {
	retry := m.order(r).Retry
	return retry != "" && retry != retried
}

// archive puts an ended release into the history.
func (m *machine) archive(r *source.Release) {
	name := r.Name()
	rest := slices.DeleteFunc(m.Track.History, func(h source.Release) bool { return h.Name() == name })
	kept := *r
	if len(kept.Message) > source.KeptMessage {
		kept.Message = strings.ToValidUTF8(kept.Message[:source.KeptMessage], "") + "…"
	}
	m.Track.History = slices.Insert(rest, 0, kept)
	m.Track.History = m.Track.History[:min(len(m.Track.History), source.HistoryLimit)]
}

// why says why the module does not run its target.
func (m *machine) why() (reason, message string) {
	c, n := m.Track.Current, m.Track.Next
	switch {
	case m.Target.Reason != "":
		return m.Target.Reason, m.Target.Message
	case m.Track.Undone != nil:
		return m.Track.Undone.Reason, m.Track.Undone.Message
	case m.rejected != "":
		return ReasonRejected, m.rejected
	case n != nil:
		return n.Reason, n.Message
	case c != nil && c.Phase != source.Deployed:
		return c.Reason, c.Message
	case m.Target.Yanked != "":
		return ReasonYanked, m.Target.Yanked
	}
	return "", ""
}

// joined are two sentences, either of which may be missing.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// clone shares nothing with the track.
func clone(t source.Track) source.Track {
	for _, r := range []**source.Release{&t.Current, &t.Previous, &t.Next, &t.Undone} {
		if *r != nil {
			own := **r
			*r = &own
		}
	}
	t.Rejected, t.History = slices.Clone(t.Rejected), slices.Clone(t.History)
	return t
}

// sentence joins what stands against a release.
func sentence(delays []Delay) string {
	parts := make([]string, 0, len(delays))
	for _, d := range delays {
		parts = append(parts, d.Message)
	}
	return strings.Join(parts, "; ")
}
