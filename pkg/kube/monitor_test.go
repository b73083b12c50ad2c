package kube

import (
	"fmt"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// C-153: events that wait for Unlock are merged by object.
func TestBufferedEventsAreMergedByObject(t *testing.T) {
	const add, mod, del = hook.Added, hook.Modified, hook.Deleted
	for name, c := range map[string]struct {
		events []hook.WatchEvent
		want   string
	}{
		"the newest state of an added object is Added":     {[]hook.WatchEvent{add, mod, mod}, "Added3"},
		"the newest of several changes stays":              {[]hook.WatchEvent{mod, mod}, "Modified2"},
		"a deletion replaces what came before":             {[]hook.WatchEvent{mod, del}, "Deleted2"},
		"a deletion stays before an object made anew":      {[]hook.WatchEvent{mod, del, add, mod}, "Deleted2 Added4"},
		"made anew and deleted again is one deletion":      {[]hook.WatchEvent{del, add, del}, "Deleted3"},
		"an added object that is deleted is not swallowed": {[]hook.WatchEvent{add, del}, "Deleted2"},
	} {
		t.Run(name, func(t *testing.T) {
			var buffer pending
			buffer.add(notice{event: add, id: id{"other", "b"}}, true)
			for n, e := range c.events {
				buffer.add(notice{event: e, id: id{"ns", "a"}, item: hook.Item{FilterResult: []byte{byte('1' + n)}}}, true)
			}
			first, _ := buffer.take()
			if s := drain(&buffer); s != c.want || first.id.name != "b" {
				t.Errorf("%s, expected %s", s, c.want)
			}
			if buffer.n != 0 || buffer.newest != nil {
				t.Errorf("%d are left in an empty queue", buffer.n)
			}
		})
	}
}

// drain takes all events out of a queue.
func drain(q *pending) string {
	var got []string
	for n, ok := q.take(); ok; n, ok = q.take() {
		got = append(got, string(n.event)+string(n.item.FilterResult))
	}
	return strings.Join(got, " ")
}

// What waits for a handler is merged only when it is much, and then in constant time.
func TestQueueOfAHandlerIsBoundedByTheNumberOfObjects(t *testing.T) {
	const objects, rounds = 2000, 50
	m := newMonitor(hook.ID{}, hook.Kubernetes{Events: allEvents}, hook.WatchHandler{}, &Observer{}, quiet)
	m.unlock()
	name := func(i int) id { return id{"ns", fmt.Sprint(i % objects)} }
	m.mu.Lock()
	for i := range objects * rounds {
		m.emit(notice{event: hook.Modified, id: name(i), item: hook.Item{FilterResult: fmt.Append(nil, i/objects)}})
	}
	m.emit(notice{failed: true})
	m.push(notice{failed: true})
	m.push(notice{failed: true})
	m.mu.Unlock()
	if m.queue.n > objects+crowded {
		t.Errorf("%d events wait of %d objects", m.queue.n, objects)
	}
	newest := map[id]string{}
	for n, ok := m.next(); ok; n, ok = m.next() {
		if n.event != "" {
			newest[n.id] = string(n.item.FilterResult)
		}
	}
	if len(newest) != objects {
		t.Errorf("events of %d objects came, expected %d", len(newest), objects)
	}
	for i, got := range newest {
		if got != fmt.Sprint(rounds-1) {
			t.Fatalf("the last event of %s is that of round %s", i, got)
		}
	}
}

// Few events that wait all stay as they are (C-166).
func TestQueueOfAHandlerKeepsFewEvents(t *testing.T) {
	const add, mod, del = hook.Added, hook.Modified, hook.Deleted
	var q pending
	for n, e := range []hook.WatchEvent{add, mod, mod, del, add} {
		q.add(notice{event: e, id: id{"ns", "a"}, item: hook.Item{FilterResult: []byte{byte('1' + n)}}}, false)
	}
	q.add(notice{event: mod, id: id{"ns", "a"}, item: hook.Item{FilterResult: []byte("6")}}, true)
	if got := drain(&q); got != "Added1 Modified2 Modified3 Deleted4 Added6" {
		t.Error(got)
	}
}

// C-134: by namespace and name with full objects, by the string namespace/kind/name without.
func TestSnapshotOrder(t *testing.T) {
	for name, c := range map[string]struct {
		full bool
		want string
	}{
		"with full objects the namespace decides": {true, "a/x a-b/x"},
		"without them the id string does":         {false, "a-b/x a/x"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMonitor(hook.ID{}, hook.Kubernetes{Kind: "Pod", KeepFullObjects: c.full}, hook.WatchHandler{}, &Observer{}, quiet)
			p := newPart(m, partKey{}, false)
			m.parts[p.key] = p
			for _, i := range []id{{"a-b", "x"}, {"a", "x"}} {
				p.entries[i] = &entry{id: i, item: hook.Item{FilterResult: []byte(i.String())}}
			}
			if got := results(m.snapshot()); got != c.want {
				t.Errorf("%s, expected %s", got, c.want)
			}
		})
	}
}
