package operator_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// filterResults of the contexts of each run.
func filterResults(runs [][]map[string]any) (all [][]string) {
	for _, r := range runs {
		var names []string
		for _, x := range r {
			names = append(names, fmt.Sprint(x["filterResult"]))
		}
		all = append(all, names)
	}
	return all
}

// Hooks that wait for the test hold a slot of the runner, so the parts of this area come one after another.
func conformQueues(t *testing.T, c *conformance) {
	for _, part := range []struct {
		name string
		do   func(*conformance)
	}{
		{"C-187: a module waits for its Synchronizations, and for those alone that it has to wait for", conformWaiting},
		{"C-165, C-166: adjacent contexts of a hook share a run", conformCombination},
		{"C-165: those of a v0 hook do not", func(c *conformance) {
			c.put("conf-queues", "v0-1", "queue-v0")
			c.hasContexts("queue-v0", 1)
			c.put("conf-queues", "v0-2", "queue-v0")
			c.put("conf-queues", "v0-3", "queue-v0")
			c.hasQueued("main/conf-queues", 3)
			c.touch("queue-v0-go")
			c.hasContexts("queue-v0", 3)
			if runs := c.runs("queue-v0"); len(runs) != 3 {
				c.t.Errorf("got %v, want three runs", runs)
			}
		}},
		{"C-167: Synchronizations combine when both or neither are waited for", func(c *conformance) {
			want := `[[` + synchronization("one") + `, ` + synchronization("two") + `], [` + synchronization("three") + `, ` + synchronization("four") + `]]`
			c.hasContexts("synchronizations", 4)
			c.same("runs", c.runs("synchronizations"), want)
		}},
		{"C-168, C-183: the first of combined contexts decides whether failure is allowed", conformAllowFailure},
		{"C-169: a long queue is compacted", conformCompaction},
		{"C-180: one at a time, first in, first out", conformOrder},
		{"C-181, C-182: what fails is tried again, and holds up its queue alone", func(c *conformance) {
			c.put("conf-queues", "retry-1", "retry")
			c.hasContexts("retry", 2) // it was tried again
			c.put("conf-queues", "bystander", "bystander")
			c.hasContexts("bystander", 1)
			c.touch("retry-ok")
			c.eventually(func() bool { return c.queued("retry") == 0 }, "the hook succeeds in the end")
			for _, r := range filterResults(c.runs("retry")) {
				if r[0] != "retry-1" {
					c.t.Errorf("got %v", r)
				}
			}
		}},
		{"C-184, C-186: named queues are shared by all, main is not", conformSharing},
		{"C-035, C-188: the rate of a hook", func(c *conformance) {
			for n := range 6 {
				c.put("conf-queues", fmt.Sprint("rate-", n), "rate")
			}
			type run struct{ Names []string }
			var runs []run
			c.eventually(func() bool {
				runs = nil
				n := 0
				for _, line := range c.lines("rate") {
					var r run
					if err := json.Unmarshal([]byte(line), &r); err != nil {
						c.t.Fatal(err)
					}
					runs = append(runs, r)
					n += len(r.Names)
				}
				return n == 6
			}, "all events are seen")
			if len(runs) >= 6 {
				c.t.Errorf("waiting combines: got %d runs for 6 events: %v", len(runs), runs)
			}
		}},
		{"C-189: equal crontabs tick together", func(c *conformance) {
			ticks := map[string][]string{}
			c.eventually(func() bool {
				ticks = map[string][]string{}
				for _, line := range c.lines("ticks") {
					var x struct{ At, Binding string }
					if err := json.Unmarshal([]byte(line), &x); err != nil {
						c.t.Fatal(err)
					}
					ticks[x.Binding] = append(ticks[x.Binding], x.At)
				}
				return len(ticks["left"]) > 1 && len(ticks["right"]) > 1
			}, "both bindings tick")
		}},
		{"C-190: no tick before the first convergence", func(c *conformance) {
			lines := c.hasLines("first-ticks", 2)
			if slices.Index(lines, "afterAll") != 0 || !slices.Contains(lines, "tick") {
				c.t.Errorf("got %q", lines)
			}
		}},
		{"C-191: modules of equal weight run in parallel", func(c *conformance) {
			c.ready("conf-parallel-a", "conf-parallel-b") // each has waited for the other
		}},
		{"C-192: a module takes its own tasks along, and nobody else's", conformDraining},
	} {
		t.Run(part.name, func(t *testing.T) { part.do(c.on(t)) })
	}
}

// C-186, C-187.
func conformWaiting(c *conformance) {
	c.hasContexts("own-queue", 1) // fails, and conf-queues is ready all the same
	c.hasContexts("waited", 1)
	if got := c.lines("waited-order"); len(got) > 0 {
		c.t.Errorf("before the Synchronization succeeded: %q", got)
	}
	if strings.HasPrefix(c.condition("conf-waiting", "Reconciled"), "True") {
		c.t.Error("the module has gone on before its Synchronization")
	}
	c.touch("waited-ok")
	c.wants("conf-waiting", "Reconciled", "True")
	if got := c.lines("waited-order"); !slices.Equal(got[:2], []string{"synchronized", "beforeHelm"}) {
		c.t.Errorf("got %q", got)
	}
	if n := c.queued("own"); n != 1 {
		c.t.Errorf("queue own holds %d tasks, want the Synchronization that fails", n)
	}
	c.touch("own-queue-ok")
	c.eventually(func() bool { return c.queued("own") == 0 }, "the Synchronization has succeeded")
}

// C-165, C-166.
func conformCombination(c *conformance) {
	c.put("conf-queues", "c-1", "combine")
	c.eventually(func() bool { return len(c.contexts("combine")) > 0 }, "the hook runs")
	size := c.queued("combine")
	grow := func(name, label string) {
		c.t.Helper()
		c.put("conf-queues", name, label)
		c.eventually(func() bool { return c.queued("combine") > size }, "%s is queued", name)
		size = c.queued("combine")
	}
	grow("c-2", "combine")
	grow("g-1", "combine-group")
	grow("g-2", "combine-group")
	grow("c-3", "combine")
	c.eventually(func() bool { return c.queued("combine") > size }, "a tick is queued")
	size = c.queued("combine")
	grow("g-3", "combine-group")
	before := len(c.runs("combine"))
	c.touch("combine-go")
	c.eventually(func() bool { return len(c.runs("combine")) > before }, "the hook runs again")
	var order []string
	for _, x := range c.runs("combine")[before] {
		switch x["type"] {
		case "Event":
			order = append(order, fmt.Sprint(x["filterResult"]))
		case "Group":
			c.same("the group", x, `{"binding": "grouped", "type": "Group", "groupName": "g", "snapshots": {"grouped": [{"filterResult": "g-1"}, {"filterResult": "g-2"}, {"filterResult": "g-3"}]}}`)
			order = append(order, "group")
		default:
			order = append(order, fmt.Sprint(x["type"]))
		}
	}
	order = slices.DeleteFunc(order, func(s string) bool { return s == "c-1" }) // the first run may have been that of a tick
	// Ticks fall between the others as time has it; only that one came is sure. Where one parts two of a group, both stay.
	if !slices.Contains(order, "Schedule") {
		c.t.Errorf("no tick in %v", order)
	}
	ticked := order
	order = slices.DeleteFunc(slices.Clone(order), func(s string) bool { return s == "Schedule" })
	for i := range len(ticked) - 1 {
		if ticked[i] == "group" && ticked[i+1] == "group" {
			c.t.Errorf("two of a group are adjacent in %v", ticked)
		}
	}
	if got := slices.Compact(order); !slices.Equal(got, []string{"c-2", "group", "c-3", "group"}) {
		c.t.Errorf("got %v", ticked)
	}
}

// C-168, C-183.
func conformAllowFailure(c *conformance) {
	const queue, ns = "allow", "conf-queues"
	c.put(ns, "allow-1", "allow-yes")
	c.hasContexts("allow", 1)
	c.put(ns, "allow-2", "allow-yes")
	c.hasQueued(queue, 2)
	c.put(ns, "allow-3", "allow-no")
	c.hasQueued(queue, 3)
	c.touch("allow-go")
	c.eventually(func() bool { return c.queued(queue) == 0 }, "the run that failed counts as done")
	c.put(ns, "allow-4", "allow-no")
	c.hasContexts("allow", 5)
	c.eventually(func() bool { return c.queued(queue) == 0 }, "the other is tried again until it succeeds")
	want := [][]string{{"allow-1"}, {"allow-2", "allow-3"}, {"allow-4"}, {"allow-4"}}
	if got := filterResults(c.runs("allow")); fmt.Sprint(got) != fmt.Sprint(want) {
		c.t.Errorf("got %v, want %v", got, want)
	}
	for _, series := range []string{"allowed_errors_total", "errors_total"} {
		metric := `addon_operator_module_hook_` + series + `{activation="Kubernetes",binding="` +
			map[string]string{"allowed_errors_total": "allowed", "errors_total": "not-allowed"}[series] + `",hook="hooks/allow.sh",module="conf-queues",queue="allow"} 1`
		c.eventually(func() bool { return strings.Contains(c.get("/metrics"), metric) }, "/metrics has %s", metric)
	}
}

// C-169: two hooks take turns, so that nothing is adjacent; the queue is compacted when it is long.
func conformCompaction(c *conformance) {
	const n = 110
	for i := range n {
		c.put("conf-queues", fmt.Sprintf("compact-%03d", i), "compact")
	}
	c.touch("compact-a-go")
	c.touch("compact-b-go")
	for _, file := range []string{"compact-a", "compact-b"} {
		last := func() string { return fmt.Sprintf("compact-%03d", n-1) }
		events := func() (names []string) {
			for _, x := range c.contexts(file) {
				if x["binding"] == "compact" {
					names = append(names, fmt.Sprint(x["filterResult"]))
				}
			}
			return names
		}
		c.eventually(func() bool { return slices.Contains(events(), last()) && c.queued("compact") == 0 }, "%s has seen everything", file)
		if got := events(); len(got) != n || !slices.IsSorted(got) {
			c.t.Errorf("%s: %d events, want all %d in order: %v", file, len(got), n, got)
		}
		all := c.contexts(file)
		groups := slices.DeleteFunc(slices.Clone(all), func(x map[string]any) bool { return x["type"] != "Group" })
		if len(groups) == 0 || len(groups) >= n {
			c.t.Errorf("%s: %d contexts of the group for %d events", file, len(groups), n)
		}
		if snapshot := groups[len(groups)-1]["snapshots"].(map[string]any)["group"].([]any); len(snapshot) != n {
			c.t.Errorf("%s: the last snapshot has %d objects", file, len(snapshot))
		}
		if runs := c.runs(file); len(runs) >= n {
			c.t.Errorf("%s ran %d times for %d events", file, len(runs), n)
		}
	}
}

// C-180.
func conformOrder(c *conformance) {
	for i := range 4 {
		c.put("conf-queues", fmt.Sprint("fifo-", i), []string{"fifo-a", "fifo-b"}[i%2])
		c.eventually(func() bool {
			return strings.Contains(strings.Join(c.lines("fifo"), "\n"), fmt.Sprint("fifo-", i)) || c.queued("fifo") > 1
		}, "the event is queued")
	}
	lines := c.hasLines("fifo", 8)
	for i, line := range lines {
		want := "begin"
		if i%2 == 1 {
			want = "end"
		}
		if !strings.HasPrefix(line, want) {
			c.t.Fatalf("runs overlap: %q", lines)
		}
		if i%2 == 0 && !strings.HasSuffix(line, fmt.Sprint("fifo-", i/2)) {
			c.t.Fatalf("not in order: %q", lines)
		}
	}
}

// C-184, C-186: the named queue of two modules is held by one of them, main by each for itself.
func conformSharing(c *conformance) {
	const ns = "conf-queues"
	c.put(ns, "main-1", "main")
	c.hasContexts("main-queues", 1) // waits
	c.hasContexts("main-neighbour", 1)
	c.touch("main-queues-go")
	c.put(ns, "shared-1", "shared")
	c.eventually(func() bool { return c.queued("common") == 2 }, "both modules have a task in the queue")
	if a, b := len(c.runs("shared-queues")), len(c.runs("shared-neighbour")); a+b > 1 {
		c.t.Error("both run at the same time")
	}
}

// C-192 goes on where conformSharing ended: one of the modules holds the queue.
func conformDraining(c *conformance) {
	holder, other := "queues", "neighbour"
	if len(c.runs("shared-neighbour")) > 0 {
		holder, other = other, holder
	}
	if other == "queues" { // the module with all other hooks stays
		c.touch("shared-neighbour-go")
		c.hasContexts("shared-queues", 1)
		holder, other = "queues", "neighbour"
		c.put("conf-queues", "shared-1", "shared", "n", "2") // does not show in the filter
	}
	c.put("conf-queues", "shared-2", "shared")
	c.eventually(func() bool { return c.queued("common") >= 3 }, "both modules have tasks in the queue; %d", c.queued("common"))
	ran := len(c.runs("shared-" + other))
	c.edit("confNeighbourEnabled", "false")
	c.wants("conf-neighbour", "Enabled", "False")
	c.hasQueued("common", 2)
	c.touch("shared-" + holder + "-go")
	c.hasContexts("shared-"+holder, 2)
	c.eventually(func() bool { return c.queued("common") == 0 }, "the queue is empty")
	if now := len(c.runs("shared-" + other)); now != ran {
		c.t.Errorf("a hook of the module that was switched off ran %d times more", now-ran)
	}
}
