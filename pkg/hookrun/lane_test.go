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
	return &task{unit: NewUnit(h.Owner, ""), hook: h, context: hook.Context{Binding: name, Group: group}, queue: "q"}
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

// A burst is bounded by the objects it is about, not by its events, and no deletion is swallowed.
func TestAVeryLongLaneKeepsTheNewestEventOfAnObject(t *testing.T) {
	h := hookOf("a", "h")
	push := func(ln *lane, e hook.WatchEvent, object, filter string) {
		x := &task{unit: NewUnit(h.Owner, ""), hook: h, context: hook.Context{Binding: "b", Type: hook.TypeEvent, WatchEvent: e,
			Item: hook.Item{Key: object, FilterResult: []byte(filter)}}}
		if !ln.merge(x) {
			ln.tasks = append(ln.tasks, x)
		}
	}
	ln := &lane{busy: 1}
	for i := range 10 * manyTasks {
		push(ln, hook.Modified, fmt.Sprint(i%manyTasks), fmt.Sprint(i))
	}
	if len(ln.tasks) != manyTasks+1 { // the first runs, so that its object waits once more
		t.Fatal(len(ln.tasks))
	}
	if c := ln.tasks[manyTasks].context; c.Item.Key != "0" || string(c.Item.FilterResult) != fmt.Sprint(9*manyTasks) {
		t.Errorf("got %s %s", c.Item.Key, c.Item.FilterResult)
	}
	if c := ln.tasks[0].context; string(c.Item.FilterResult) != "0" {
		t.Errorf("the running event became %s", c.Item.FilterResult)
	}
	for _, e := range []hook.WatchEvent{hook.Deleted, hook.Added, hook.Modified} {
		push(ln, e, "7", string(e))
	}
	var seen []string
	for _, x := range ln.tasks {
		if x.context.Item.Key == "7" {
			seen = append(seen, string(x.context.WatchEvent)+" "+string(x.context.Item.FilterResult))
		}
	}
	if want := []string{"Deleted Deleted", "Added Modified"}; !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestAGroupWaitsOnce(t *testing.T) { // C-166
	h := hookOf("a", "h")
	ln := &lane{}
	for range 5 {
		x := &task{unit: NewUnit(h.Owner, ""), hook: h, context: hook.Context{Binding: "b", Type: hook.TypeGroup, Group: "g"}}
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
