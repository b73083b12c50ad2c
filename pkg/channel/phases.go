package channel

import (
	"slices"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// The life of a release. What is chosen is Track.Next; at Applying it becomes Track.Current, and what was there
// Track.Previous. When it does not get healthy, it becomes Track.Undone, and Previous is Current again.
//
//	        ┌──────> Suspended ──────┐
//	        │            │           v
//	Next  Pending <─> Scheduled <─> Preflight ──> Failed ─┐     any of them: Skipped
//	        ^                            │                │
//	        └────────────────────────────│────────────────┘ values, retry
//	                                     v
//	Current ┌────────────────────── Applying <──> Verifying ──> Deployed ──> Superseded
//	        v                            │            │             │
//	      Failed <───────────────────────┴────────────┤             └─> Applying, when restored
//	                                                  v
//	Undone                                       RollingBack ──> RolledBack

// following are the phases that may come after another; "" is before the first.
func following(from source.Phase) []source.Phase {
	switch from {
	case "":
		return []source.Phase{source.Pending}
	case source.Pending:
		return []source.Phase{source.Scheduled, source.Preflight, source.Suspended, source.Skipped}
	case source.Scheduled:
		return []source.Phase{source.Pending, source.Preflight, source.Suspended, source.Skipped}
	case source.Preflight:
		return []source.Phase{source.Pending, source.Scheduled, source.Applying, source.Failed, source.Suspended, source.Skipped}
	case source.Suspended:
		return []source.Phase{source.Pending, source.Skipped}
	case source.Applying:
		return []source.Phase{source.Verifying, source.RollingBack, source.Failed}
	case source.Verifying:
		return []source.Phase{source.Applying, source.Deployed, source.RollingBack, source.Failed}
	case source.Deployed:
		return []source.Phase{source.Superseded, source.Applying}
	case source.RollingBack:
		return []source.Phase{source.RolledBack}
	case source.Failed:
		// Pending: before it was applied. The others: after.
		return []source.Phase{source.Pending, source.Applying, source.Verifying, source.RollingBack}
	}
	return nil // Superseded, RolledBack and Skipped are ends.
}

// allowed says that a release may go from one phase to another.
func allowed(from, to source.Phase) bool { return slices.Contains(following(from), to) }

// before says that the phase is one of a release that has touched nothing yet.
func before(p source.Phase) bool {
	return slices.Contains([]source.Phase{source.Pending, source.Scheduled, source.Preflight, source.Suspended, source.Failed}, p)
}

// inForce says that the phase is one of a release that runs, or has been made to.
func inForce(p source.Phase) bool {
	return slices.Contains([]source.Phase{source.Applying, source.Verifying, source.Deployed, source.Failed}, p)
}
