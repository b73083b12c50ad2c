package hookrun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

func taskOf(h *boundHook, name, group string) *task {
	return &task{unit: NewUnit(h.Owner, hook.Place{}), hook: h, context: hook.Context{Binding: name, Group: group}, queue: "q"}
}

func hookOf(module, name string) *boundHook {
	return newBoundHook(hook.Hook{ID: hook.ID{Owner: hook.Owner{Module: module}, Name: name}, Spec: hook.Spec{Version: "v1"}}, nil)
}

// C-169: a lane that grew long by one hook brings its tasks together, groups last.
func TestALongLaneIsCompacted(t *testing.T) {
	a, b := hookOf("a", "h"), hookOf("b", "h") // B-03: the same name in two modules
	ln := &lane{}
	for i := range 60 {
		ln.tasks = append(ln.tasks, taskOf(a, fmt.Sprint("e", i), ""), taskOf(b, "other", ""), taskOf(a, fmt.Sprint("g", i), "group"))
	}
	ln.busy = 1
	ln.compact(a)
	var order []string
	for _, x := range ln.tasks {
		order = append(order, x.hook.Owner.Module+"/"+x.context.Binding)
	}
	want := []string{"a/e0", "b/other"}
	for i := 1; i < 60; i++ {
		want = append(want, fmt.Sprintf("a/e%d", i))
	}
	want = append(want, "a/g59")
	for range 59 {
		want = append(want, "b/other")
	}
	if !slices.Equal(order, want) {
		t.Errorf("got %v", order)
	}
}

// C-165 … C-168 in one lane, and a removal that takes one owner's tasks only (B-22).
func TestALaneKeepsOrderCombinesAndBlocksItselfOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var runs []string
		fail := map[string]bool{"bad": true}
		l := newLanes(func(_ context.Context, batch []*task) error {
			text := batch[0].hook.Owner.Module
			for _, x := range batch {
				text += " " + x.context.Binding
			}
			runs = append(runs, text)
			advance(time.Second)
			if fail[batch[0].context.Binding] {
				return errors.New("bad")
			}
			return nil
		})
		l.begin(ctx, ctx)
		a, b := hookOf("a", "h"), hookOf("b", "h")
		l.push(taskOf(a, "1", ""))
		synctest.Wait()
		for _, x := range []*task{taskOf(a, "2", ""), taskOf(a, "3", ""), taskOf(b, "4", ""), taskOf(a, "5", ""), taskOf(a, "6", "")} {
			l.push(x)
		}
		advance(4500 * time.Millisecond)
		synctest.Wait()
		if want := []string{"a 1", "a 2 3", "b 4", "a 5 6"}; !slices.Equal(runs, want) {
			t.Errorf("got %q", runs)
		}
		l.push(taskOf(a, "bad", ""))
		l.push(taskOf(b, "7", ""))
		advance(10 * time.Second)
		synctest.Wait()
		if n := len(runs); n < 6 || runs[n-1] != "a bad" || slices.Contains(runs, "b 7") {
			t.Errorf("a failing head must be tried again and hold up its lane: %q", runs)
		}
		l.remove(hook.Owner{Module: "a"})
		advance(10 * time.Second)
		synctest.Wait()
		if runs[len(runs)-1] != "b 7" || len(l.list()) != 0 {
			t.Errorf("got %q, %v", runs, l.list())
		}
		stop()
		l.wait()
	})
}

func TestAHookRateIsATokenBucket(t *testing.T) { // C-188
	k := bucket{every: time.Second, burst: 2}
	now := time.Unix(100, 0)
	var waits []time.Duration
	for range 4 {
		waits = append(waits, k.next(now))
	}
	if want := []time.Duration{0, 0, time.Second, 2 * time.Second}; !slices.Equal(waits, want) {
		t.Error(waits)
	}
	if d := k.next(now.Add(time.Minute)); d != 0 {
		t.Error(d)
	}
}

// advance lets virtual time pass; it is called inside synctest bubbles only.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // virtual time
}

// A lane that is full says so, and when it has room again: memory in a burst is bounded.
func TestAFullLaneHasNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		release := make(chan struct{})
		runs := 0
		l := newLanes(func(context.Context, []*task) error { runs++; <-release; return nil })
		l.begin(ctx, ctx)
		h := hookOf("a", "h")
		for i := range fullLane {
			if l.room("q") != nil {
				t.Fatalf("no room for event %d", i)
			}
			l.push(taskOf(h, "b", ""))
		}
		full := l.room("q")
		if full == nil {
			t.Fatal("the lane is full and says that it has room")
		}
		close(release)
		<-full
		synctest.Wait()
		if l.room("q") != nil || runs > 2 {
			t.Errorf("%d runs, and the lane says that it is full", runs)
		}
		l.push(taskOf(h, "b", ""))
		l.remove(h.Owner)
		stop()
		l.wait()
	})
}

func TestAGroupWaitsOnce(t *testing.T) { // C-166
	h := hookOf("a", "h")
	ln := &lane{}
	for range 5 {
		x := &task{unit: NewUnit(h.Owner, hook.Place{}), hook: h, context: hook.Context{Binding: "b", Type: hook.TypeGroup, Group: "g"}}
		if !ln.merge(x) {
			ln.tasks = append(ln.tasks, x)
		}
	}
	if len(ln.tasks) != 1 {
		t.Error(len(ln.tasks))
	}
	ln.busy = 1 // it runs: what comes now needs a run of its own
	if x := ln.tasks[0]; ln.merge(x) {
		t.Error("an event was merged into a run that began before it")
	}
}
