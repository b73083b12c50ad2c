//go:build soak

package operator_test

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// TestSoakPausedLeader stops the leader for a minute and lets it go on, N/40 times (default 5).
func TestSoakPausedLeader(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("N"))
	if err != nil {
		n = 200
	}
	tr := newTroupe(t)
	lead := tr.join("r0")
	tr.leads(lead)
	tr.ready("play")
	revisions := tr.revisions("play")
	all := []*replica{lead}
	for i := range max(1, n/40) {
		next := tr.join("r" + strconv.Itoa(i+1))
		tr.waits(next)
		tr.paused(lead, next, time.Minute)
		tr.sameRevisions(revisions)
		lead, all = next, append(all, next)
	}
	lead.stop()
	tr.termsAreApart(all)
}
