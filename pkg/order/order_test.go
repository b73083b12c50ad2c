package order

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/module"
)

func TestBlockersAreDirtyPeersOfLowerWeightWithinThePatience(t *testing.T) {
	now := time.Unix(1000, 0)
	peers := []Peer{
		{Name: "settled", Weight: 1},
		{Name: "unbegun", Weight: 1, Dirty: true},
		{Name: "running", Weight: 2, Dirty: true, Since: now.Add(-14 * time.Second)},
		{Name: "overdue", Weight: 2, Dirty: true, Since: now.Add(-15 * time.Second)},
		{Name: "equal", Weight: 3, Dirty: true},
		{Name: "higher", Weight: 4, Dirty: true},
	}
	var names []string
	for _, b := range Blockers(3, peers, now, 15*time.Second) {
		names = append(names, b.Name)
	}
	if !slices.Equal(names, []string{"unbegun", "running"}) {
		t.Error(names)
	}
	if got := Describe(make([]Peer, 5)); !strings.HasSuffix(got, "and 2 more") {
		t.Error(got)
	}
}

func TestUnmet(t *testing.T) {
	others := map[string]Other{
		"ready": {Exists: true, On: true, Ready: true, Version: "1.2.0"},
		"slow":  {Exists: true, On: true, Version: "1.2.0", Why: "WaitingForObjects: x"},
		"fresh": {Exists: true, On: true, Version: "1.0.0"},
		"off":   {Exists: true, Version: "1.2.0"},
	}
	for name, c := range map[string]struct {
		requires []module.Requirement
		message  string
		missing  bool
	}{
		"nothing":                        {nil, "", false},
		"ready":                          {[]module.Requirement{{Module: "ready", Version: ">=1"}}, "", false},
		"absent":                         {[]module.Requirement{{Module: "x"}}, "in no modules directory", true},
		"off":                            {[]module.Requirement{{Module: "off"}}, "enable it", true},
		"too old":                        {[]module.Requirement{{Module: "ready", Version: ">=2"}}, "version 1.2.0", true},
		"a range nobody can read":        {[]module.Requirement{{Module: "ready", Version: "nonsense"}}, "nonsense", true},
		"not ready":                      {[]module.Requirement{{Module: "slow"}}, "WaitingForObjects: x", false},
		"not begun":                      {[]module.Requirement{{Module: "fresh"}}, "has not begun", false},
		"missing comes before not ready": {[]module.Requirement{{Module: "slow"}, {Module: "off"}}, "enable it", true},
	} {
		t.Run(name, func(t *testing.T) {
			message, missing := Unmet(c.requires, func(n string) Other { return others[n] })
			if (message == "") != (c.message == "") || !strings.Contains(message, c.message) || missing != c.missing {
				t.Errorf("got %q, %v", message, missing)
			}
		})
	}
}

func TestLeavingIsTheReverseOfComing(t *testing.T) {
	now := time.Unix(1000, 0)
	me := Leaving{Name: "me", Weight: 5, Requires: []string{"base"}}
	others := []Leaving{
		me,
		{Name: "needsMe", Weight: 1, Requires: []string{"me"}, Since: now},
		{Name: "above", Weight: 6, Since: now},
		{Name: "base", Weight: 9, Since: now}, // I require it: it waits for me
		{Name: "below", Weight: 4, Since: now},
		{Name: "tooLong", Weight: 7, Since: now.Add(-time.Minute)},
	}
	if got := HeldBy(me, others, now, 15*time.Second); !slices.Equal(got, []string{"needsMe", "above"}) {
		t.Error(got)
	}
}
