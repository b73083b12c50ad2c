// Package order says whether a module may start now, and if not, whom it waits for.
//
// Weight is an order over attempts, not over readiness: a dirty module (its
// wanted inputs differ from those of its last attempt) starts when no enabled
// module of lower weight is dirty. An attempt that outlives the patience no
// longer holds others up. Requirements are a hard edge and gate installs and
// upgrades only.
package order

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/addon-operator/addon-operator/pkg/module"
)

// Peer is one module as others see it.
type Peer struct {
	Name   string
	Weight int
	// Dirty: an attempt with the wanted inputs has not ended.
	Dirty bool
	// Since is when the running attempt began; zero when none runs.
	Since time.Time
}

// Blockers are the peers that a module of this weight waits for.
func Blockers(weight int, peers []Peer, now time.Time, patience time.Duration) []Peer {
	var out []Peer
	for _, p := range peers {
		if p.Weight < weight && p.Dirty && !overdue(p, now, patience) {
			out = append(out, p)
		}
	}
	return out
}

func overdue(p Peer, now time.Time, patience time.Duration) bool {
	return !p.Since.IsZero() && now.Sub(p.Since) >= patience
}

// Describe names blockers in a sentence.
func Describe(blockers []Peer) string {
	names := make([]string, 0, 3)
	for i, b := range blockers {
		if i == 3 {
			names = append(names, fmt.Sprintf("and %d more", len(blockers)-3))
			break
		}
		names = append(names, b.Name)
	}
	return "waiting for the attempt of lower weight: " + strings.Join(names, ", ")
}

// Other is what a requirement looks at.
type Other struct {
	Exists  bool
	On      bool
	Ready   bool
	Version string
	Why     string // why it is not ready
}

// Unmet says why an install or upgrade must wait, or "" when it need not.
// Missing is true when waiting alone will not help: the module is absent, off or too old.
func Unmet(requires []module.Requirement, find func(name string) Other) (message string, missing bool) {
	for _, r := range requires {
		o := find(r.Module)
		switch {
		case !o.Exists:
			return fmt.Sprintf("requires module %s, which is in no modules directory", r.Module), true
		case !o.On:
			return fmt.Sprintf("requires module %s, which is off: enable it", r.Module), true
		case !versionFits(r.Version, o.Version):
			return fmt.Sprintf("requires module %s %s, but version %s is installed here", r.Module, r.Version, o.Version), true
		}
	}
	for _, r := range requires {
		if o := find(r.Module); !o.Ready {
			return fmt.Sprintf("waiting for module %s to be Ready: %s", r.Module, cmp.Or(o.Why, "its first attempt has not begun")), false
		}
	}
	return "", false
}

func versionFits(constraint, version string) bool {
	if constraint == "" {
		return true
	}
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return false
	}
	v, err := semver.NewVersion(version)
	return err == nil && c.Check(v)
}

// Leaving is a module that is being uninstalled.
type Leaving struct {
	Name     string
	Weight   int
	Requires []string
	Since    time.Time
}

// HeldBy names the modules that must leave before the given one: those that
// require it, then those of higher weight, each for the patience at most.
func HeldBy(me Leaving, others []Leaving, now time.Time, patience time.Duration) []string {
	var out []string
	for _, o := range others {
		if o.Name == me.Name || !o.Since.IsZero() && now.Sub(o.Since) >= patience {
			continue
		}
		if slices.Contains(o.Requires, me.Name) || o.Weight > me.Weight && !slices.Contains(me.Requires, o.Name) {
			out = append(out, o.Name)
		}
	}
	return out
}
