//go:build soak

package operator_test

import (
	"os"
	"strconv"
	"testing"
)

// TestSoakKills kills the operator N times (default 200).
func TestSoakKills(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("N"))
	if err != nil {
		n = 200
	}
	killed(t, n)
}
