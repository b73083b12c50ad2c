//go:build soak

package operator_test

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// TestSoakKills kills the operator N times (default 200).
func TestSoakKills(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("N"))
	if err != nil {
		n = 200
	}
	killed(t, n)
}

// TestSoakOutage takes the API server away for half a minute in the middle of an upgrade.
func TestSoakOutage(t *testing.T) { outage(t, 30*time.Second) }

// TestSoakEdits has a user and a hook edit the ConfigMap at once, 500 times.
func TestSoakEdits(t *testing.T) { edited(t, 500) }
