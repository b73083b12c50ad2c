package kube

import (
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
			buffer := []notice{{event: add, id: id{"other", "b"}}}
			for n, e := range c.events {
				buffer = coalesce(buffer, notice{event: e, id: id{"ns", "a"}, item: hook.Item{FilterResult: []byte{byte('1' + n)}}})
			}
			var got []string
			for _, n := range buffer[1:] {
				got = append(got, string(n.event)+string(n.item.FilterResult))
			}
			if s := strings.Join(got, " "); s != c.want || buffer[0].id.name != "b" {
				t.Errorf("%s, expected %s", s, c.want)
			}
		})
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
			m := newMonitor(hook.Kubernetes{Kind: "Pod", KeepFullObjects: c.full}, hook.WatchHandler{}, quiet)
			p := newPart(m, partKey{}, false)
			m.parts[p.key] = p
			for _, i := range []id{{"a-b", "x"}, {"a", "x"}} {
				p.entries[i] = entry{item: hook.Item{FilterResult: []byte(i.String())}}
			}
			if got := results(m.snapshot()); got != c.want {
				t.Errorf("%s, expected %s", got, c.want)
			}
		})
	}
}
