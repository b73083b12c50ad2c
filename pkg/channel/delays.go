package channel

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// Delays are all things that stand against a target now, empty when it may begin. Those with an Until end by
// themselves at that time or later; the others need a change. A target with a Reason, and one that runs
// already, has none.
func Delays(s Subject, t Target, a Around) []Delay {
	if t.Reason != "" || s.same(t) {
		return nil
	}
	c := check{Subject: s, Target: t, Around: a}
	if o := s.offer(t.Source); o != nil {
		c.from = o.Source
		c.document = o.Documents[t.Channel]
	}
	c.meta, c.known = s.Metas[t.Ref.Digest]
	c.running, c.runs = s.running()
	return slices.Concat(c.suspended(), c.stale(), c.fetched(), c.requirements(), c.wave(), c.window(), c.freeze(), c.approval())
}

// check is what the single checks look at.
type check struct {
	Subject
	Target Target
	Around
	from     source.Source
	document catalog.Document
	meta     artifact.Meta
	known    bool
	running  string
	runs     bool
}

func (c check) suspended() []Delay {
	if c.Target.Embedded || !c.from.Suspend {
		return nil
	}
	return because(ReasonSuspended, "ModuleSource %s is suspended: set spec.suspend to false", c.from.Name)
}

// stale: a document past its time justifies nothing new, so that nobody can hold a cluster back with an old one
// and then move it.
func (c check) stale() []Delay {
	expires := c.document.ExpiresAt
	if c.Target.Embedded || expires.IsZero() || expires.After(c.Now) {
		return nil
	}
	return because(ReasonSourceStale, "the document of channel %s of ModuleSource %s expired at %s: it needs a new one", c.Target.Channel, c.from.Name, stamp(expires))
}

// fetched: what a version requires is known only when it is here.
func (c check) fetched() []Delay {
	if c.Target.Embedded || c.known {
		return nil
	}
	return because(ReasonFetching, "version %s is being fetched", cmp.Or(c.Target.Ref.Version, c.Target.Ref.Digest))
}

func (c check) requirements() []Delay {
	r := c.meta.Requires
	out := slices.Concat(
		needs("Kubernetes", r.Kubernetes, c.Kubernetes),
		needs("addon-operator", r.Operator, c.Operator),
	)
	for _, m := range r.Modules {
		out = append(out, c.peer(m.Module, m.Version)...)
	}
	for _, f := range r.Facts {
		if c.Fact == nil || !c.Fact(f) {
			out = append(out, because(ReasonBlocked, "requires the fact %s, which no hook has found", f)...)
		}
	}
	return out
}

// needs compares a version of the cluster or the operator with a range. What is no semver, such as a development
// build, satisfies it; a suffix such as -gke.100 does not make a version lower here.
func needs(what, constraint, version string) []Delay {
	v, err := semver.NewVersion(version)
	if constraint == "" || err != nil {
		return nil
	}
	core := fmt.Sprintf("%d.%d.%d", v.Major(), v.Minor(), v.Patch())
	if fits(constraint, version) || fits(constraint, core) {
		return nil
	}
	return because(ReasonBlocked, "requires %s %s, and this is %s", what, constraint, version)
}

func (c check) peer(name, constraint string) []Delay {
	var p Peer
	if c.Peer != nil {
		p = c.Peer(name)
	}
	switch {
	case !p.Exists:
		return because(ReasonBlocked, "requires module %s, which neither a directory nor a source brings", name)
	case !p.On:
		return because(ReasonBlocked, "requires module %s, which is off: enable it", name)
	case constraint != "" && !fits(constraint, p.Version):
		return because(ReasonBlocked, "requires module %s %s, and version %s runs here", name, constraint, p.Version)
	case !p.Ready:
		return because(ReasonBlocked, "waits for module %s to be Ready: %s", name, cmp.Or(p.Why, "its first attempt has not ended"))
	}
	return nil
}

// urgent: it closes a hole.
func (c check) urgent() bool { return c.Target.Entry.Urgency == catalog.Security }

// leaves: what runs was yanked, and policy wants away from it.
func (c check) leaves() bool { return c.Target.Yanked != "" && c.from.Update.LeaveYanked }

// wave spreads what a channel promotes. What the user pinned, an older version that is offered beside, and the way
// back of a channel are no news to be spread.
func (c check) wave() []Delay {
	r, e := c.document.Rollout, c.Target.Entry
	if !c.runs || c.Target.Pinned || c.urgent() || c.leaves() || e.Rollback || r.Waves < 2 || c.Target.Goal.Digest != e.Digest {
		return nil
	}
	n := Wave(c.UID, c.Module, e.Version, r.Waves)
	start := e.PromotedAt.Add(time.Duration(n) * time.Duration(r.Interval))
	if !start.After(c.Now) {
		return nil
	}
	return []Delay{{Reason: ReasonWave, Until: start, Message: fmt.Sprintf("wave %d of %d begins at %s", n+1, r.Waves, stamp(start))}}
}

// Wave is which of n waves a cluster is in for one version of a module, from 0: the first 8 bytes,
// big endian, of sha256(UID + "\n" + module + "\n" + version) mod n. UID is that of namespace kube-system.
func Wave(uid, module, version string, n int) int {
	if n < 2 {
		return 0
	}
	sum := sha256.Sum256([]byte(uid + "\n" + module + "\n" + version))
	return int(binary.BigEndian.Uint64(sum[:8]) % uint64(n))
}

// window: upgrades begin in one of the windows only, if there are any. A disruptive version waits
// for one even when it is urgent.
func (c check) window() []Delay {
	policy := c.from.Update
	skips := c.leaves() || c.urgent() && policy.UrgentIgnoresWindows && !c.meta.Disruptive
	if !c.runs || c.Target.Embedded || len(policy.Windows) == 0 || skips {
		return nil
	}
	var next time.Time
	for i, w := range policy.Windows {
		open, change, err := w.Open(c.Now)
		switch {
		case err != nil:
			return because(ReasonPolicy, "spec.update.windows[%d] of ModuleSource %s: %v", i, c.from.Name, err)
		case open:
			return nil
		case !change.IsZero() && (next.IsZero() || change.Before(next)):
			next = change
		}
	}
	return []Delay{{Reason: ReasonWindow, Until: next, Message: fmt.Sprintf("the next window of ModuleSource %s opens at %s", c.from.Name, stamp(next))}}
}

// freeze: nothing begins, be it urgent or not; freezes that meet are one.
func (c check) freeze() []Delay {
	if !c.runs || c.Target.Embedded {
		return nil
	}
	end := c.Now
	for range c.from.Update.Freezes {
		for _, f := range c.from.Update.Freezes {
			if !f.From.After(end) && f.To.After(end) {
				end = f.To
			}
		}
	}
	if !end.After(c.Now) {
		return nil
	}
	return []Delay{{Reason: ReasonFreeze, Until: end, Message: fmt.Sprintf("ModuleSource %s is frozen until %s", c.from.Name, stamp(end))}}
}

// approval: who decides, by the user's key …Update, else the source.
func (c check) approval() []Delay {
	name := c.release().Name()
	if c.Orders[name].Approved {
		return nil
	}
	way := fmt.Sprintf("approve it with spec.approved of ModuleRelease %s", name)
	switch cmp.Or(c.Choice.Update, c.from.Update.Mode, source.Auto) {
	case source.Manual:
		return because(ReasonApproval, "updates are Manual: %s", way)
	case source.AutoPatch:
		switch {
		case !c.runs:
		case !patch(c.running, c.Target.Ref.Version):
			return because(ReasonApproval, "updates are AutoPatch, and from %s to %s is more than a patch: %s", c.running, c.Target.Ref.Version, way)
		case c.meta.Disruptive:
			return because(ReasonApproval, "updates are AutoPatch, and version %s is disruptive: %s", c.Target.Ref.Version, way)
		}
	}
	return nil
}

// release is the target as a release.
func (c check) release() source.Release {
	return source.Release{Module: c.Module, Version: c.Target.Ref.Version, Digest: c.Target.Ref.Digest, Source: c.Target.Source}
}

// patch says that major and minor version stay.
func patch(from, to string) bool {
	a, b := lenient(from), lenient(to)
	return a.Major() == b.Major() && a.Minor() == b.Minor()
}

// because is one delay that only a change can end.
func because(reason, format string, args ...any) []Delay {
	return []Delay{{Reason: reason, Message: fmt.Sprintf(format, args...)}}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
