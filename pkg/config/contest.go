package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/values"
)

const (
	// contestLimit is how often a write may be undone within contestWindow.
	contestLimit  = 3
	contestWindow = 10 * time.Minute
)

// contests remembers what was written at which path, to notice that somebody
// undid it. It is used with the Store's turn.
type contests struct {
	now    func() time.Time
	claims map[string]claim
}

// claim is the digest of the value last written at a path, and when it was found undone.
type claim struct {
	digest string
	undone []time.Time
}

// check compares what is with what shall be written. It returns the claims to
// make once it was, or ErrContested if a value would be written again that was
// undone too often.
func (c *contests) check(section string, have, want values.Map) (map[string]claim, error) {
	out := map[string]claim{}
	for path, v := range differences(section, have, want) {
		next := claim{digest: digest(v)}
		if old, ok := c.claims[path]; ok && old.digest == next.digest {
			now := c.now()
			next.undone = slices.DeleteFunc(slices.Clone(old.undone), func(t time.Time) bool { return now.Sub(t) >= contestWindow })
			next.undone = append(next.undone, now)
		}
		out[path] = next
	}
	for _, path := range slices.Sorted(maps.Keys(out)) {
		if len(out[path].undone) >= contestLimit {
			return nil, fmt.Errorf("%w: what hooks write at %s was undone %d times within %s; it is not written again for now: "+
				"leave it to the hooks, or set it for good in the source that the ConfigMap is applied from",
				ErrContested, path, contestLimit, contestWindow)
		}
	}
	return out, nil
}

func (c *contests) claim(claims map[string]claim) {
	if c.claims == nil {
		c.claims = map[string]claim{}
	}
	for path, next := range claims {
		// A value above or below stands no more.
		maps.DeleteFunc(c.claims, func(old string, _ claim) bool {
			return strings.HasPrefix(old, path+".") || strings.HasPrefix(path, old+".")
		})
		c.claims[path] = next
	}
}

func digest(v any) string {
	text, err := json.Marshal(v)
	if err != nil || v == absent {
		return "absent"
	}
	return values.Digest(text)
}

// gone is the type of absent, what is wanted at a path that shall not be.
type gone struct{}

var absent any = gone{}

// differences are the dotted paths at which b differs from a, with b's values.
func differences(at string, a, b values.Map) map[string]any {
	out := map[string]any{}
	for key, v := range b {
		old, had := a[key]
		left, okL := old.(values.Map)
		right, okR := v.(values.Map)
		switch {
		case okL && okR:
			maps.Copy(out, differences(at+"."+key, left, right))
		case !had || !reflect.DeepEqual(old, v):
			out[at+"."+key] = v
		}
	}
	for key := range a {
		if _, ok := b[key]; !ok {
			out[at+"."+key] = absent
		}
	}
	return out
}
