package converge

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/addon-operator/addon-operator/pkg/settings"
)

type savings struct {
	mu    sync.Mutex
	fail  error
	saves []time.Time
}

func (s *savings) SaveFacts(context.Context, settings.Facts) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves = append(s.saves, time.Now())
	return s.fail
}

func (s *savings) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *savings) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.saves)
}

// Facts are written at most every 500 ms, and before an action that depends on them.
func TestFactsAreWrittenSeldomAndWhenSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &savings{}
		f := newFactsKeeper(s, func() settings.Facts { return settings.Facts{} }, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { f.run(ctx); close(ended) }()
		if err := f.flush(ctx); err != nil || s.count() != 0 {
			t.Error("a flush without a change wrote", err)
		}
		for range 100 { // one second of changes
			f.touch()
			advance(10 * time.Millisecond)
		}
		advance(time.Second)
		synctest.Wait()
		if n := s.count(); n < 2 || n > 4 {
			t.Errorf("%d writes in a second", n)
		}
		f.touch()
		synctest.Wait()
		before, began := s.count(), time.Now()
		f.touch()
		var waiters sync.WaitGroup
		for range 10 {
			waiters.Go(func() {
				if err := f.flush(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		waiters.Wait()
		if time.Since(began) != 0 || s.count() != before+1 {
			t.Errorf("10 waiters took %s and %d writes", time.Since(began), s.count()-before)
		}

		s.set(errors.New("no API server"))
		f.touch()
		synctest.Wait()
		if err := f.flush(ctx); err == nil || err.Error() != "no API server" {
			t.Error("the waiter was not told:", err)
		}
		s.set(nil)
		if err := f.flush(ctx); err != nil {
			t.Error("the next write succeeds:", err)
		}
		f.touch()
		f.flushAtEnd(ctx)
		stop()
		<-ended
	})
}
