package cron

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// started runs body with a Cron that is running, on a clock that begins at
// midnight UTC of 2000-01-01 and moves when all is still.
func started(t *testing.T, body func(t *testing.T, c *Cron)) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		synctest.Wait()
		body(t, c)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// pass lets d go by and everything settle.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func add(t *testing.T, c *Cron, crontab string, fn func()) func() {
	t.Helper()
	remove, err := c.Add(crontab, fn)
	if err != nil {
		t.Fatal(err)
	}
	return remove
}

// C-041.
func TestFunctionsAreCalledAtTheirTimes(t *testing.T) {
	for crontab, want := range map[string][]string{
		"*/20 * * * *":              {"00:20:00", "00:40:00", "01:00:00", "01:20:00"},
		"30 59 * * * *":             {"00:59:30"},
		"@every 25m":                {"00:25:00", "00:50:00", "01:15:00"},
		"@hourly":                   {"01:00:00"},
		"TZ=Asia/Kolkata 0 * * * *": {"00:30:00", "01:30:00"},
		"0 0 30 2 *":                nil,
	} {
		t.Run(crontab, func(t *testing.T) {
			started(t, func(t *testing.T, c *Cron) {
				var got []string
				add(t, c, crontab, func() { got = append(got, time.Now().UTC().Format(time.TimeOnly)) })
				pass(91 * time.Minute)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		})
	}
}

// C-189.
func TestEqualCrontabsShareOneEntry(t *testing.T) {
	started(t, func(t *testing.T, c *Cron) {
		var got []string
		record := func(name string) func() {
			return func() { got = append(got, fmt.Sprintf("%s %s", time.Now().UTC().Format("04:05"), name)) }
		}
		removeA := add(t, c, "@every 10s", record("a"))
		pass(4 * time.Second)
		removeB := add(t, c, "@every 10s", record("b"))
		if len(c.entries) != 1 {
			t.Errorf("%d entries", len(c.entries))
		}
		pass(7 * time.Second)
		removeA()
		removeA()
		pass(10 * time.Second)
		removeB()
		if len(c.entries) != 0 {
			t.Errorf("%d entries are left", len(c.entries))
		}
		pass(time.Minute)
		if want := []string{"00:10 a", "00:10 b", "00:20 b"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestAnEarlierScheduleWakesTheLoop(t *testing.T) {
	started(t, func(t *testing.T, c *Cron) {
		var got []string
		add(t, c, "@every 50s", func() { got = append(got, "slow") })
		pass(time.Second)
		add(t, c, "@every 1s", func() { got = append(got, "fast") })
		pass(2500 * time.Millisecond)
		if want := []string{"fast", "fast"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestAFunctionRemovedInATickIsNotCalledInIt(t *testing.T) {
	started(t, func(t *testing.T, c *Cron) {
		removeB := make(chan func(), 1)
		calls := 0
		add(t, c, "@every 1s", func() {
			select {
			case remove := <-removeB:
				remove()
			default:
			}
		})
		removeB <- add(t, c, "@every 1s", func() { calls++ })
		pass(3500 * time.Millisecond)
		if calls != 0 {
			t.Errorf("called %d times", calls)
		}
	})
}

func TestMissedTicksAreNotMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		calls := 0
		add(t, c, "@every 1m", func() { calls++ })
		pass(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		synctest.Wait()
		if calls != 0 {
			t.Errorf("called %d times for the past", calls)
		}
		if err := c.Run(ctx); err == nil {
			t.Error("a second Run was let in")
		}
		pass(90 * time.Second)
		cancel()
		if err := <-done; err != nil || calls != 1 {
			t.Errorf("got %d calls, %v", calls, err)
		}
	})
}

func TestAClockThatIsSetForwardIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		c := New(Config{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
		calls := 0
		add(t, c, "@daily", func() { calls++ })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		synctest.Wait()
		ahead.Store(int64(72 * time.Hour))
		pass(2 * time.Minute)
		cancel()
		if err := <-done; err != nil || calls != 1 {
			t.Errorf("got %d calls, %v", calls, err)
		}
	})
}

func TestAddRefusesABadCrontab(t *testing.T) {
	if _, err := New(Config{}).Add("* * *", func() {}); err == nil || !strings.Contains(err.Error(), "crontab is invalid") {
		t.Errorf("got %v", err)
	}
}
