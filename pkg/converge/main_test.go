package converge_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// advance lets virtual time pass; it is called inside synctest bubbles only.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // virtual time
}
