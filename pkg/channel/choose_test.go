package channel

import (
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func ref(version, c string) catalog.Ref { return catalog.Ref{Version: version, Digest: digest(c)} }

// offer is a source whose channel stable has these entries of module m.
func offer(name string, modules []string, entries ...catalog.Entry) Offer {
	d := catalog.Document{Channel: "stable", Seq: 7, Modules: map[string]catalog.Entry{}}
	for _, e := range entries {
		d.Modules["m"] = e
	}
	return Offer{Source: source.Source{Name: name, Channel: "stable", Modules: modules}, Documents: map[string]catalog.Document{"stable": d}}
}

func unread(name string, modules ...string) Offer {
	return Offer{Source: source.Source{Name: name, Channel: "stable", Modules: modules}}
}

func running(version, c string) source.Track {
	return source.Track{Current: &source.Release{Module: "m", Version: version, Digest: digest(c), Source: "corp", Phase: source.Deployed}}
}

func TestWhereAModuleComesFrom(t *testing.T) {
	e := catalog.Entry{Ref: ref("1.0.0", "a")}
	corp, other := offer("corp", nil, e), offer("other", nil, e)
	all, both := offer("corp", []string{"*"}, e), offer("other", []string{"m"}, e)
	for name, c := range map[string]struct {
		subject        Subject
		embedded       bool
		source, reason string
	}{
		"the user's source wins over the disk":                  {Subject{Choice: source.Choice{Source: "corp"}, OnDisk: true, Offers: []Offer{corp, other}}, false, "corp", ""},
		"embedded wins over a source that brings it":            {Subject{Choice: source.Choice{Source: "embedded"}, OnDisk: true, Offers: []Offer{all}}, true, "", ""},
		"embedded, and no directory holds it":                   {Subject{Choice: source.Choice{Source: "embedded"}, Offers: []Offer{all}}, true, "", ReasonSourceMissing},
		"a source that does not exist":                          {Subject{Choice: source.Choice{Source: "gone"}, OnDisk: true, Offers: []Offer{corp}}, false, "gone", ReasonSourceMissing},
		"a channel: the one source that lists it":               {Subject{Choice: source.Choice{Channel: "stable"}, OnDisk: true, Offers: []Offer{corp, offer("other", nil)}}, false, "corp", ""},
		"a version: the one source that lists it":               {Subject{Choice: source.Choice{Version: "~1"}, OnDisk: true, Offers: []Offer{corp}}, false, "corp", ""},
		"a channel that two sources list it in":                 {Subject{Choice: source.Choice{Channel: "stable"}, OnDisk: true, Offers: []Offer{corp, other}}, false, "", ReasonAmbiguousSource},
		"a channel that nobody lists it in, on disk":            {Subject{Choice: source.Choice{Channel: "ea"}, OnDisk: true, Offers: []Offer{corp}}, true, "", ""},
		"it left its source's document, and lies on disk":       {Subject{Choice: source.Choice{Channel: "stable"}, OnDisk: true, Track: running("1.0.0", "a"), Offers: []Offer{offer("corp", nil)}}, false, "corp", ""},
		"its source cannot be read, and another lists it":       {Subject{Choice: source.Choice{Channel: "stable"}, Track: running("1.0.0", "a"), Offers: []Offer{unread("corp"), other}}, false, "", ReasonAmbiguousSource},
		"nothing is said and it lies on disk":                   {Subject{OnDisk: true, Offers: []Offer{all, both}}, true, "", ""},
		"nothing is said and one source brings it by pattern":   {Subject{Offers: []Offer{all, other}}, false, "corp", ""},
		"nothing is said and two sources bring it":              {Subject{Offers: []Offer{all, both}}, false, "", ReasonAmbiguousSource},
		"nothing is said and of two that name it one lists it":  {Subject{Offers: []Offer{all, unread("other", "m")}}, false, "corp", ""},
		"nothing is said and no source that names it was read":  {Subject{Offers: []Offer{unread("corp", "m")}}, false, "corp", ""},
		"nothing is said and none of two that name it lists it": {Subject{Offers: []Offer{offer("corp", []string{"*"}), unread("other", "m")}}, false, "", ReasonSourceMissing},
		"nothing is said and nobody brings it":                  {Subject{Offers: []Offer{corp}}, false, "", ReasonSourceMissing},
		"its source was deleted":                                {Subject{Track: running("1.0.0", "a")}, false, "corp", ReasonSourceMissing},
		"its source no longer names it and no other does":       {Subject{Track: running("1.0.0", "a"), Offers: []Offer{corp}}, false, "corp", ""},
		"another source that brings it is added to the present": {Subject{Track: running("1.0.0", "a"), Offers: []Offer{all, both}}, false, "", ReasonAmbiguousSource},
	} {
		t.Run(name, func(t *testing.T) {
			c.subject.Module = "m"
			got := Origin(c.subject)
			if got.Embedded != c.embedded || got.Source != c.source || got.Reason != c.reason || (got.Message == "") != (c.reason == "") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestWhichVersionIsWanted(t *testing.T) {
	e := catalog.Entry{Ref: ref("2.0.0", "e"), Path: []catalog.Ref{ref("1.5.0", "5"), ref("1.2.0", "2")},
		Available: []catalog.Ref{ref("1.9.0", "9"), ref("1.9.1", "8")}, Yanked: []catalog.Yanked{{Version: "1.9.1", Digest: digest("8"), Reason: "loses data"}}}
	back := catalog.Entry{Ref: ref("1.9.0", "9"), Rollback: true, Available: []catalog.Ref{ref("2.0.0", "e")}}
	yanked := catalog.Entry{Ref: ref("2.0.0", "e"), Yanked: []catalog.Yanked{{Version: "2.0.0", Reason: "bad"}}}
	embedded := source.Track{Current: &source.Release{Module: "m", Version: "3.0.0", Phase: source.Deployed}}
	from := func(version, c, upgradeFrom string) map[string]artifact.Meta {
		return map[string]artifact.Meta{digest(c): {Version: version, UpgradeFrom: upgradeFrom}}
	}
	open := offer("corp", nil, e)
	open.Source.AllowUnlistedDigests = true
	pinned := func(version string) source.Choice { return source.Choice{Source: "corp", Version: version} }
	for name, c := range map[string]struct {
		subject Subject
		entry   catalog.Entry
		wants   string
		reason  string
	}{
		"the entry":                                      {Subject{First: true}, e, "2.0.0", ""},
		"an exact version that is available":             {Subject{First: true, Choice: pinned("1.9.0")}, e, "1.9.0", ""},
		"an exact version with a v":                      {Subject{First: true, Choice: pinned("v1.9.0")}, e, "1.9.0", ""},
		"an exact version of the path":                   {Subject{First: true, Choice: pinned("1.5.0")}, e, "1.5.0", ""},
		"the highest of a range, without yanked ones":    {Subject{First: true, Choice: pinned("~1")}, e, "1.9.0", ""},
		"a digest that is listed":                        {Subject{First: true, Choice: pinned(digest("2"))}, e, "1.2.0", ""},
		"a digest that is not listed":                    {Subject{First: true, Choice: pinned(digest("f"))}, e, "", ReasonVersionNotOffered},
		"a digest that need not be listed":               {Subject{First: true, Choice: pinned(digest("f")), Offers: []Offer{open}, Metas: from("0.1.0", "f", "")}, e, "0.1.0", ""},
		"a yanked digest, also if it need not be listed": {Subject{First: true, Choice: pinned(digest("8")), Offers: []Offer{open}}, e, "", ReasonYanked},
		"a range that nothing satisfies":                 {Subject{First: true, Choice: pinned("~7")}, e, "", ReasonVersionNotOffered},
		"a version that was yanked":                      {Subject{First: true, Choice: pinned("1.9.1")}, e, "", ReasonYanked},
		"no version at all":                              {Subject{First: true, Choice: pinned("newest")}, e, "", ReasonVersionInvalid},
		"the entry itself was yanked":                    {Subject{First: true}, yanked, "", ReasonYanked},
		"a module that is not listed":                    {Subject{Track: running("1.0.0", "a"), Offers: []Offer{offer("corp", nil)}}, e, "", ReasonNotInChannel},
		"a channel that was never read":                  {Subject{First: true, Offers: []Offer{unread("corp")}}, e, "", ReasonNoDocument},
		"a source without a channel":                     {Subject{First: true, Offers: []Offer{{Source: source.Source{Name: "corp"}}}}, e, "", ReasonNoDocument},
		"a lower version":                                {Subject{Track: running("2.1.0", "a")}, e, "", ReasonDowngrade},
		"a lower version that the user names exactly":    {Subject{Track: running("2.1.0", "a"), Choice: pinned("2.0.0")}, e, "2.0.0", ""},
		"a lower version by a range":                     {Subject{Track: running("2.1.0", "a"), Choice: pinned("<2")}, e, "", ReasonDowngrade},
		"a lower version that the user names by digest":  {Subject{Track: running("2.1.0", "a"), Choice: pinned(digest("e"))}, e, "2.0.0", ""},
		"a rollback of the channel":                      {Subject{Track: running("2.0.0", "e")}, back, "1.9.0", ""},
		"a rollback of the channel and a range":          {Subject{Track: running("2.0.0", "e"), Choice: pinned(">=1")}, back, "1.9.0", ""},
		"a rollback does not allow lower than itself":    {Subject{Track: running("2.0.0", "e"), Choice: pinned("<1.9")}, catalog.Entry{Ref: ref("1.9.0", "9"), Rollback: true, Available: []catalog.Ref{ref("1.8.0", "b")}}, "", ReasonDowngrade},
		"from embedded down to a source":                 {Subject{Track: embedded}, e, "", ReasonDowngrade},
		"from an unmanaged embedded down to a source":    {Subject{OnDisk: true, Embedded: "2.5.0"}, e, "", ReasonDowngrade},
		"from an unmanaged embedded up to a source":      {Subject{OnDisk: true, Embedded: "1.0.0"}, e, "2.0.0", ""},
		"from a source down to embedded":                 {Subject{OnDisk: true, Embedded: "1.0.0", Track: running("2.0.0", "e"), Choice: source.Choice{Source: "embedded"}}, e, "", ReasonDowngrade},
		"a key that was lost, and disk holds less":       {Subject{OnDisk: true, Embedded: "1.0.0", Track: running("2.0.0", "e"), Choice: source.Choice{Update: source.Manual}}, e, "", ReasonDowngrade},
		"embedded in another version than asked":         {Subject{OnDisk: true, Embedded: "1.0.0", Choice: source.Choice{Source: "embedded", Version: "~2"}}, e, "", ReasonVersionNotOffered},
		"the goal is fetched before its path is known":   {Subject{Track: running("1.0.0", "a")}, e, "2.0.0", ""},
		"the goal accepts what runs":                     {Subject{Track: running("1.0.0", "a"), Metas: from("2.0.0", "e", ">=1.0")}, e, "2.0.0", ""},
		"the first step of the path":                     {Subject{Track: running("1.0.0", "a"), Metas: from("2.0.0", "e", ">=1.5")}, e, "1.2.0", ""},
		"the second step of the path":                    {Subject{Track: running("1.2.0", "2"), Metas: from("2.0.0", "e", ">=1.5")}, e, "1.5.0", ""},
		"the end of the path":                            {Subject{Track: running("1.5.0", "5"), Metas: from("2.0.0", "e", ">=1.5")}, e, "2.0.0", ""},
		"a path without the step that is needed":         {Subject{Track: running("1.6.0", "6"), Metas: from("2.0.0", "e", ">=1.9")}, e, "", ReasonUpgradePath},
		"a step that does not accept what runs":          {Subject{Track: running("1.0.0", "a"), Metas: map[string]artifact.Meta{digest("e"): {UpgradeFrom: ">=1.5"}, digest("2"): {UpgradeFrom: ">=1.1"}}}, e, "", ReasonUpgradePath},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.subject
			s.Module = "m"
			if s.Choice == (source.Choice{}) {
				s.Choice.Source = "corp"
			}
			if s.Choice.Update != "" {
				s.Choice = source.Choice{} // nothing of origin is said
			}
			if s.Offers == nil {
				s.Offers = []Offer{offer("corp", nil, c.entry)}
			}
			got := Choose(s)
			if got.Reason != c.reason || (got.Message == "") != (c.reason == "") || c.reason == "" && got.Ref.Version != c.wants {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestGlobalIsChosenLikeAModule(t *testing.T) {
	o := offer("corp", nil)
	up, down := catalog.Entry{Ref: ref("1.9.0", "a")}, catalog.Entry{Ref: ref("1.8.0", "b"), Rollback: true}
	d := o.Documents["stable"]
	choose := func(e *catalog.Entry, track source.Track) Target {
		d.Global = e
		o.Documents["stable"] = d
		return Choose(Subject{Module: "global", Choice: source.Choice{Source: "corp"}, Track: track, Offers: []Offer{o}})
	}
	if got := choose(&up, running("1.8.0", "b")); got.Ref != up.Ref || got.Reason != "" {
		t.Errorf("promoted: %+v", got)
	}
	if got := choose(&down, running("1.9.0", "a")); got.Ref != down.Ref || got.Reason != "" {
		t.Errorf("rolled back: %+v", got)
	}
	if got := choose(nil, running("1.9.0", "a")); got.Reason != ReasonNotInChannel {
		t.Errorf("left: %+v", got)
	}
}

func TestAYankedVersionThatRunsIsTold(t *testing.T) {
	e := catalog.Entry{Ref: ref("2.0.0", "e"), Yanked: []catalog.Yanked{{Version: "1.0.0", Reason: "loses data"}}}
	got := Choose(Subject{Module: "m", Choice: source.Choice{Source: "corp"}, Track: running("1.0.0", "a"), Offers: []Offer{offer("corp", nil, e)}})
	if !strings.Contains(got.Yanked, "loses data") || got.Ref != e.Ref {
		t.Errorf("got %+v", got)
	}
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"1.2.3", "~1.14", ">=1 <2", digest("a"), "v1.0.0-rc.1+b", "latest", "=>"} {
		f.Add(s, "1.2.3")
	}
	f.Fuzz(func(t *testing.T, text, version string) {
		p, err := parsePick(text)
		if err != nil && source.CheckVersion(text) == nil {
			t.Fatalf("the settings accept %q, which is then not read: %v", text, err)
		}
		e := catalog.Entry{Ref: catalog.Ref{Version: version, Digest: digest("a")}}
		got := Choose(Subject{Module: "m", Choice: source.Choice{Source: "corp", Version: text}, Track: running("1.0.0", "b"), Offers: []Offer{offer("corp", nil, e)}})
		if got.Reason == "" && !p.exact() && lenient(got.Ref.Version).LessThan(lenient("1.0.0")) {
			t.Fatalf("%q went down to %q", text, version)
		}
	})
}
