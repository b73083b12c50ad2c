package converge

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAnAppointmentForOneReasonDoesNotMoveAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeys()
		k.retry("a", becauseRetry, time.Now())
		k.after("a", time.Hour, becauseDrift)
		advance(2 * time.Second)
		if _, why, ok := k.take(); !ok || why != becauseRetry {
			t.Error(why)
		}
		k.done("a")
		k.retry("a", becauseRetry, time.Now())
		k.add("a", becauseInputs) // ends the backoff
		if _, why, _ := k.take(); why != becauseInputs {
			t.Error(why)
		}
		k.done("a")
		advance(30 * time.Minute)
		k.add("b", becauseInputs)
		if key, _, _ := k.take(); key != "b" {
			t.Error(key)
		}
		k.add("c", becauseInputs)
		k.stop()
		if _, _, ok := k.take(); ok {
			t.Error("a key was taken after the stop")
		}
	})
}

// advance lets virtual time go by; it is called inside synctest bubbles only.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // virtual time
}
