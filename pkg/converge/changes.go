package converge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// changes remembers what hooks changed last in each section, so that a fuse that blows
// can say who fights about what.
type changes struct {
	mu sync.Mutex
	of map[hook.Owner][]change
}

// change is one value that one run of a hook moved, for people to read.
type change struct {
	at    time.Time
	by    hook.ID
	path  string
	value string
}

const (
	// changesKept is how many are remembered of a section, changesOfRun how many of one run.
	changesKept  = 64
	changesOfRun = 8
	// valueShown is how much of a value is quoted.
	valueShown = 40
)

// note remembers how ops of a hook moved its section. Secret values are masked.
func (c *changes) note(by hook.ID, before, after *store.Section, ops []values.Op, now time.Time) {
	var moved []change
	for _, op := range ops {
		path := values.Pointer(op.Path)
		if len(path) < 2 {
			continue
		}
		old, _ := before.Values.Get(path[1:]...)
		value, _ := after.Values.Get(path[1:]...)
		moved = appendMoved(moved, path, old, value)
	}
	for i := range moved {
		moved[i].at, moved[i].by = now, by
		if _, pointer, _ := strings.Cut(moved[i].path, "/"); after.Secret("/" + pointer) {
			moved[i].value = schema.Masked
		}
		moved[i].path = strings.ReplaceAll(moved[i].path, "/", ".")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[hook.Owner][]change{}
	}
	all := append(c.of[by.Owner], moved...)
	c.of[by.Owner] = slices.Clone(all[max(0, len(all)-changesKept):])
}

// appendMoved adds the leaves in which two values differ, paths joined by slashes.
func appendMoved(out []change, path []string, old, value any) []change {
	if len(out) >= changesOfRun {
		return out
	}
	before, ok := old.(values.Map)
	after, also := value.(values.Map)
	if !(ok || old == nil) || !(also || value == nil) || !ok && !also {
		if was, is := shortly(old), shortly(value); was != is {
			out = append(out, change{path: strings.Join(path, "/"), value: is})
		}
		return out
	}
	keys := maps.Clone(after)
	maps.Copy(keys, before)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		out = appendMoved(out, append(slices.Clip(path), key), before[key], after[key])
	}
	return out
}

// shortly is a value as a message quotes it.
func shortly(v any) string {
	if v == nil {
		return "nothing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%T", v)
	}
	if len(text) > valueShown {
		return strings.ToValidUTF8(string(text[:valueShown]), "") + "…"
	}
	return string(text)
}

// contest is a value that was moved again and again.
type contest struct {
	path  string
	moves int
	by    []string            // hooks in the order of their first move
	last  map[string][]string // their last distinct values
}

// contests says which values hooks of the owners have moved more than once since a
// time, to what, the most contested first; "" when there are none.
func (c *changes) contests(since time.Time, owners ...hook.Owner) string {
	const shown = 3
	all := c.collect(since, owners)
	slices.SortStableFunc(all, func(x, y *contest) int { return cmp.Or(cmp.Compare(y.moves, x.moves), cmp.Compare(x.path, y.path)) })
	var lines []string
	for _, one := range all {
		if one.moves > 1 {
			lines = append(lines, one.String())
		}
	}
	if n := len(lines) - shown; n > 0 {
		lines = append(lines[:shown], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(lines, "; ")
}

func (c *changes) collect(since time.Time, owners []hook.Owner) (all []*contest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range owners {
		byPath := map[string]*contest{}
		for _, ch := range c.of[o] {
			if ch.at.Before(since) {
				continue
			}
			one := byPath[ch.path]
			if one == nil {
				one = &contest{path: ch.path, last: map[string][]string{}}
				byPath[ch.path] = one
				all = append(all, one)
			}
			one.add(ch)
		}
	}
	return all
}

func (c *contest) add(ch change) {
	const shown = 3
	c.moves++
	name := ch.by.String()
	last, known := c.last[name]
	if !known {
		c.by = append(c.by, name)
	}
	last = append(slices.DeleteFunc(last, func(v string) bool { return v == ch.value }), ch.value)
	c.last[name] = last[max(0, len(last)-shown):]
}

// String is such as `a.mode became "on" by a/hooks/x.sh, "off" by a/hooks/y.sh`.
func (c *contest) String() string {
	parts := make([]string, len(c.by))
	for i, name := range c.by {
		parts[i] = strings.Join(c.last[name], ", ") + " by " + name
	}
	return c.path + " became " + strings.Join(parts, " and ")
}

// forget drops what is remembered of an owner.
func (c *changes) forget(o hook.Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, o)
}
