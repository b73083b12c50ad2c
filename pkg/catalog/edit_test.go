package catalog

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ea and stable are two channels: ea has prometheus 2.7.1 for two days, stable has 2.6.4.
func ea() Document {
	return Document{Channel: "ea", Seq: 9, CreatedAt: noon.Add(-48 * time.Hour), Modules: map[string]Entry{
		"prometheus": {Ref: ref("2.7.1", "a"), PromotedAt: noon.Add(-48 * time.Hour), Available: []Ref{ref("2.6.9", "8"), ref("2.6.4", "c")},
			Yanked: []Yanked{{Version: "2.7.0", Digest: digest("d"), Reason: "loses data"}}},
	}, Global: &Entry{Ref: ref("1.9.0", "9"), PromotedAt: noon.Add(-48 * time.Hour)}}
}

func stable() Document {
	return Document{Channel: "stable", Seq: 4, CreatedAt: noon.Add(-240 * time.Hour), Modules: map[string]Entry{
		"prometheus": {Ref: ref("2.6.4", "c"), PromotedAt: noon.Add(-240 * time.Hour), From: "ea",
			Path: []Ref{ref("2.5.0", "b")}, Available: []Ref{ref("2.6.3", "3"), ref("2.6.2", "2")}},
	}}
}

func next(t *testing.T, d Document, edits ...Edit) (Document, error) {
	t.Helper()
	return Next(encode(t, d), noon, edits...)
}

func mustNext(t *testing.T, d Document, edits ...Edit) Document {
	t.Helper()
	out, err := next(t, d, edits...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryEditMakesTheNextDocument(t *testing.T) {
	before := encode(t, stable())
	for name, edit := range map[string]Edit{
		"promote":  Promote("prometheus", "2.7.1", ea(), Promotion{}),
		"put":      Put("loki", ref("1.0.0", "1"), Promotion{}),
		"yank":     Yank("prometheus", "2.6.3", "broken"),
		"rollback": Rollback("prometheus", "2.6.3", Return{}),
		"rollout":  SetRollout(Rollout{Waves: 2, Interval: Duration(time.Hour)}),
		"lifetime": SetLifetime(time.Hour),
		"remove":   Remove("prometheus"),
		"global":   Promote(Global, "1.9.0", ea(), Promotion{}),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Next(before, noon, edit)
			if err != nil {
				t.Fatal(err)
			}
			if d.Seq != 5 || d.Previous != Digest(before) || !d.CreatedAt.Equal(noon) {
				t.Errorf("seq %d, previous %s, created %s", d.Seq, d.Previous, d.CreatedAt)
			}
			after := encode(t, d)
			if err := CheckChain([][]byte{before, after}); err != nil {
				t.Error(err)
			}
			if len(Diff(stable(), d)) == 0 {
				t.Error("no difference is told")
			}
		})
	}
	if got := encode(t, stable()); string(got) != string(before) {
		t.Error("an edit changed the document it started from")
	}
}

func TestADocumentThatExpiresLivesAsLongAsTheOneBefore(t *testing.T) {
	d := stable()
	d.ExpiresAt = d.CreatedAt.Add(72 * time.Hour) // expired by now
	if got := mustNext(t, d); !got.ExpiresAt.Equal(noon.Add(72 * time.Hour)) {
		t.Error(got.ExpiresAt)
	}
	if got := mustNext(t, d, SetLifetime(time.Hour)); !got.ExpiresAt.Equal(noon.Add(time.Hour)) {
		t.Error(got.ExpiresAt)
	}
	if got := mustNext(t, d, SetLifetime(0)); !got.ExpiresAt.IsZero() {
		t.Error(got.ExpiresAt)
	}
	if got := mustNext(t, stable()); !got.ExpiresAt.IsZero() {
		t.Error("a document that never expires does now", got.ExpiresAt)
	}
}

func TestTimeInAChainNeverRunsBack(t *testing.T) {
	d := stable()
	got, err := Next(encode(t, d), d.CreatedAt.Add(-time.Minute))
	if err != nil || !got.CreatedAt.Equal(d.CreatedAt) {
		t.Error(got.CreatedAt, err)
	}
}

func TestInit(t *testing.T) {
	d, err := Init(Beginning{Channel: "ea", Lifetime: 720 * time.Hour, Rollout: Rollout{Waves: 4, Interval: Duration(6 * time.Hour)}}, noon)
	if err != nil || d.Seq != 1 || d.Previous != "" || !d.ExpiresAt.Equal(noon.Add(720*time.Hour)) || d.Modules == nil {
		t.Error(d, err)
	}
	if d, err = Init(Beginning{Channel: "ea", Seq: 185}, noon); err != nil || d.Seq != 185 {
		t.Error("a channel cannot begin again above what clusters have seen:", d.Seq, err)
	}
	for name, b := range map[string]Beginning{
		"a name that is none":    {Channel: "E A"},
		"a lifetime below zero":  {Channel: "ea", Lifetime: -time.Hour},
		"waves without interval": {Channel: "ea", Rollout: Rollout{Waves: 3}},
		"a seq below one":        {Channel: "ea", Seq: -1},
	} {
		if _, err := Init(b, noon); err == nil {
			t.Error(name, "is taken")
		}
	}
}

func TestPromoteMovesTheOldVersionToThoseAvailable(t *testing.T) {
	got := mustNext(t, stable(), Promote("prometheus", "2.7.1", ea(), Promotion{MinSoak: 48 * time.Hour})).Modules["prometheus"]
	want := Entry{Ref: ref("2.7.1", "a"), PromotedAt: noon, From: "ea", Path: []Ref{ref("2.5.0", "b")},
		Available: []Ref{ref("2.6.4", "c"), ref("2.6.3", "3"), ref("2.6.2", "2")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPromoteAsAsked(t *testing.T) {
	for name, test := range map[string]struct {
		p     Promotion
		check func(e Entry) bool
	}{
		"with the old version added to the path": {Promotion{ExtendPath: true}, func(e Entry) bool {
			return slices.Equal(e.Path, []Ref{ref("2.5.0", "b"), ref("2.6.4", "c")})
		}},
		"with another path":               {Promotion{Path: []Ref{ref("2.6.3", "3")}}, func(e Entry) bool { return slices.Equal(e.Path, []Ref{ref("2.6.3", "3")}) }},
		"with a path in any order":        {Promotion{Path: []Ref{ref("2.6.4", "c"), ref("2.6.3", "3")}}, func(e Entry) bool { return e.Path[0].Version == "2.6.3" }},
		"with no path":                    {Promotion{Path: []Ref{}}, func(e Entry) bool { return len(e.Path) == 0 }},
		"as a fix of security":            {Promotion{Urgency: Security}, func(e Entry) bool { return e.Urgency == Security }},
		"as normal, which is not written": {Promotion{Urgency: Normal}, func(e Entry) bool { return e.Urgency == "" }},
		"keeping one older version":       {Promotion{Keep: 1}, func(e Entry) bool { return slices.Equal(e.Available, []Ref{ref("2.6.4", "c")}) }},
		"keeping none":                    {Promotion{Keep: -1}, func(e Entry) bool { return len(e.Available) == 0 }},
		"with a ticket":                   {Promotion{Annotations: map[string]string{"ticket": "1"}}, func(e Entry) bool { return e.Annotations["ticket"] == "1" }},
	} {
		t.Run(name, func(t *testing.T) {
			if e := mustNext(t, stable(), Promote("prometheus", "2.7.1", ea(), test.p)).Modules["prometheus"]; !test.check(e) {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestPromoteTakesAVersionThatTheOtherChannelHasReplaced(t *testing.T) {
	since := noon.Add(-100 * time.Hour)
	got := mustNext(t, stable(), Promote("prometheus", "2.6.9", ea(), Promotion{MinSoak: 72 * time.Hour, Since: since})).Modules["prometheus"]
	if got.Ref != ref("2.6.9", "8") {
		t.Error(got.Ref)
	}
}

func TestPromoteRefuses(t *testing.T) {
	expired := ea()
	expired.ExpiresAt = noon.Add(-time.Hour)
	other := ea()
	e := other.Modules["prometheus"]
	e.Available = nil
	e.Ref = ref("2.6.3", "7")
	other.Modules["prometheus"] = e
	yanked := stable()
	y := yanked.Modules["prometheus"]
	y.Yanked = []Yanked{{Version: "2.8.0", Digest: digest("a"), Reason: "eats disks"}}
	yanked.Modules["prometheus"] = y
	for name, test := range map[string]struct {
		to   Document
		edit Edit
		want []string
	}{
		"what has not been there long enough": {stable(), Promote("prometheus", "2.7.1", ea(), Promotion{MinSoak: 72 * time.Hour}),
			[]string{"2.7.1 is in channel ea since 2026-02-27T12:00:00Z, which is 48h0m0s", "at least 72h0m0s", "try again in 24h0m0s, at 2026-03-02T12:00:00Z"}},
		"a replaced version whose time is not known": {stable(), Promote("prometheus", "2.6.9", ea(), Promotion{MinSoak: time.Hour}), []string{"not known since when"}},
		"a channel to itself":                        {ea(), Promote("prometheus", "2.7.1", ea(), Promotion{}), []string{"another channel"}},
		"from a channel that has expired":            {stable(), Promote("prometheus", "2.7.1", expired, Promotion{}), []string{"expired at 2026-03-01T11:00:00Z", "renew"}},
		"a module that is not there":                 {stable(), Promote("loki", "1.0.0", ea(), Promotion{}), []string{"has no module loki", "prometheus, global"}},
		"a version that is not there":                {stable(), Promote("prometheus", "3.0.0", ea(), Promotion{}), []string{"does not offer prometheus 3.0.0", "2.7.1, 2.6.9, 2.6.4"}},
		"a version that was yanked there":            {stable(), Promote("prometheus", "2.7.0", ea(), Promotion{}), []string{"yanked from channel ea: loses data"}},
		"bytes that were yanked here":                {yanked, Promote("prometheus", "2.7.1", ea(), Promotion{}), []string{"was yanked: eats disks", "--undo"}},
		"other bytes under a version known here":     {stable(), Promote("prometheus", "2.6.3", other, Promotion{Downgrade: true}), []string{"a version never changes"}},
		"a lower version":                            {stable(), Put("prometheus", ref("2.6.3", "3"), Promotion{}), []string{"is at 2.6.4, and 2.6.3 is lower", "roll the channel back"}},
		"a version that is none":                     {stable(), Put("prometheus", ref("v3", "3"), Promotion{}), []string{"module prometheus: version"}},
		"a digest that is none":                      {stable(), Put("prometheus", Ref{Version: "3.0.0", Digest: "x"}, Promotion{}), []string{"module prometheus: digest"}},
		"a name that is none":                        {stable(), Put("a-version", ref("3.0.0", "3"), Promotion{}), []string{"a-version"}},
		"a path that does not lead there":            {stable(), Put("prometheus", ref("3.0.0", "3"), Promotion{Path: []Ref{ref("3.0.1", "1")}}), []string{"path[0]"}},
		"an urgency that is not known":               {stable(), Put("prometheus", ref("3.0.0", "3"), Promotion{Urgency: "now"}), []string{"urgency"}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, test.to, test.edit, test.want...) })
	}
}

func refused(t *testing.T, d Document, edit Edit, want ...string) {
	t.Helper()
	_, err := next(t, d, edit)
	if err == nil {
		t.Fatal("taken")
	}
	for _, w := range append(want, "channel "+d.Channel) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
}

func TestPromoteOfWhatIsInForceAlready(t *testing.T) {
	d := mustNext(t, stable(), Promote("prometheus", "2.7.1", ea(), Promotion{}))
	if _, err := Next(encode(t, d), noon.Add(time.Hour), Promote("prometheus", "2.7.1", ea(), Promotion{})); !errors.Is(err, ErrNoChange) {
		t.Error(err)
	}
	later, err := Next(encode(t, d), noon.Add(time.Hour), Promote("prometheus", "2.7.1", ea(), Promotion{Urgency: Security}))
	if err != nil {
		t.Fatal(err)
	}
	e := later.Modules["prometheus"]
	if e.Urgency != Security || !e.PromotedAt.Equal(noon) {
		t.Errorf("waves begin anew with an urgency: %+v", e)
	}
}

func TestADowngradeThatIsAskedForSaysRollback(t *testing.T) {
	e := mustNext(t, stable(), Put("prometheus", ref("2.6.3", "3"), Promotion{Downgrade: true})).Modules["prometheus"]
	if !e.Rollback || e.Version != "2.6.3" || !slices.Equal(versions(e.Available), []string{"2.6.4", "2.6.2"}) {
		t.Errorf("%+v", e)
	}
}

func TestRollbackGoesToAnOlderVersionThatIsOffered(t *testing.T) {
	d := mustNext(t, stable(), Promote("prometheus", "2.7.1", ea(), Promotion{ExtendPath: true, Urgency: Security}))
	for name, test := range map[string]struct {
		version string
		r       Return
		want    Entry
	}{
		"and offers the bad one no longer": {"2.6.4", Return{}, Entry{Ref: ref("2.6.4", "c"), PromotedAt: noon, Rollback: true, Path: []Ref{ref("2.5.0", "b")},
			Available: []Ref{ref("2.6.3", "3"), ref("2.6.2", "2")}}},
		"and yanks the bad one": {"2.6.4", Return{Yank: "eats disks"}, Entry{Ref: ref("2.6.4", "c"), PromotedAt: noon, Rollback: true, Path: []Ref{ref("2.5.0", "b")},
			Available: []Ref{ref("2.6.3", "3"), ref("2.6.2", "2")}, Yanked: []Yanked{{Version: "2.7.1", Digest: digest("a"), Reason: "eats disks"}}}},
		"and still offers the one it leaves": {"2.6.4", Return{Offer: true}, Entry{Ref: ref("2.6.4", "c"), PromotedAt: noon, Rollback: true, Path: []Ref{ref("2.5.0", "b")},
			Available: []Ref{ref("2.7.1", "a"), ref("2.6.3", "3"), ref("2.6.2", "2")}}},
		"of the path, in a hurry": {"2.5.0", Return{Urgency: Security}, Entry{Ref: ref("2.5.0", "b"), PromotedAt: noon, Rollback: true, Urgency: Security,
			Available: []Ref{ref("2.6.4", "c"), ref("2.6.3", "3"), ref("2.6.2", "2")}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustNext(t, d, Rollback("prometheus", test.version, test.r))
			want := test.want
			if want.Path == nil {
				want.Path = []Ref{}
			}
			e := got.Modules["prometheus"]
			if e.Path == nil {
				e.Path = []Ref{}
			}
			if diff := cmp.Diff(want, e); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRollbackRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		edit Edit
		want []string
	}{
		"a version that is not offered": {Rollback("prometheus", "2.0.0", Return{}), []string{"not offered", "2.6.4, 2.6.3, 2.6.2, 2.5.0"}},
		"the version in force":          {Rollback("prometheus", "2.6.4", Return{}), []string{"lower version"}},
		"a module that is not there":    {Rollback("loki", "1.0.0", Return{}), []string{"no module loki"}},
		"global where there is none":    {Rollback(Global, "1.0.0", Return{}), []string{"no module global"}},
		"an urgency that is not known":  {Rollback("prometheus", "2.6.3", Return{Urgency: "now"}), []string{"urgency"}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, stable(), test.edit, test.want...) })
	}
}

func TestARolledBackModuleGoesUpAgain(t *testing.T) {
	d := mustNext(t, stable(), Promote("prometheus", "2.7.1", ea(), Promotion{}))
	d = mustNext(t, d, Rollback("prometheus", "2.6.4", Return{Yank: "eats disks"}))
	d = mustNext(t, d, Put("prometheus", ref("2.7.2", "5"), Promotion{}))
	e := d.Modules["prometheus"]
	if e.Rollback || e.Version != "2.7.2" || e.Available[0].Version != "2.6.4" || len(e.Yanked) != 1 {
		t.Errorf("%+v", e)
	}
}

func TestYankTakesAVersionOutOfWhatIsOffered(t *testing.T) {
	e := mustNext(t, stable(), Yank("prometheus", "2.6.3", "broken")).Modules["prometheus"]
	if !slices.Equal(e.Yanked, []Yanked{{Version: "2.6.3", Digest: digest("3"), Reason: "broken"}}) || !slices.Equal(versions(e.Available), []string{"2.6.2"}) {
		t.Errorf("%+v", e)
	}
	e = mustNext(t, stable(), Yank("prometheus", "2.5.0", "broken")).Modules["prometheus"]
	if len(e.Path) != 0 || len(e.Yanked) != 1 {
		t.Errorf("a yanked version is still on the path: %+v", e)
	}
	e = mustNext(t, stable(), Yank("prometheus", "1.0.0", "ran once")).Modules["prometheus"]
	if !slices.Equal(e.Yanked, []Yanked{{Version: "1.0.0", Reason: "ran once"}}) {
		t.Errorf("%+v", e)
	}
}

func TestYankAgainAndBack(t *testing.T) {
	d := mustNext(t, stable(), Yank("prometheus", "2.6.3", "broken"))
	if _, err := next(t, d, Yank("prometheus", "2.6.3", "broken")); !errors.Is(err, ErrNoChange) {
		t.Error(err)
	}
	d = mustNext(t, d, Yank("prometheus", "2.6.3", "loses data"))
	if y := d.Modules["prometheus"].Yanked; len(y) != 1 || y[0].Reason != "loses data" || y[0].Digest != digest("3") {
		t.Errorf("another reason: %+v", y)
	}
	d = mustNext(t, d, Unyank("prometheus", "2.6.3"))
	if len(d.Modules["prometheus"].Yanked) != 0 {
		t.Error("still yanked")
	}
	if _, err := next(t, d, Unyank("prometheus", "2.6.3")); !errors.Is(err, ErrNoChange) {
		t.Error(err)
	}
}

func TestYankRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		edit Edit
		want []string
	}{
		"the version in force":       {Yank("prometheus", "2.6.4", "broken"), []string{"version in force", "channel rollback prometheus OLDER --yank", "2.6.3, 2.6.2, 2.5.0"}},
		"without a reason":           {Yank("prometheus", "2.6.3", ""), []string{"reason"}},
		"a version that is none":     {Yank("prometheus", "latest", "x"), []string{`"latest"`}},
		"a module that is not there": {Yank("loki", "1.0.0", "x"), []string{"no module loki"}},
		"back, where none is there":  {Unyank("loki", "1.0.0"), []string{"no module loki"}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, stable(), test.edit, test.want...) })
	}
}

func TestGlobalIsEditedLikeAModule(t *testing.T) {
	d := mustNext(t, stable(), Promote(Global, "1.9.0", ea(), Promotion{}))
	d = mustNext(t, d, Put(Global, ref("1.10.0", "7"), Promotion{}))
	if d.Global.Version != "1.10.0" || !slices.Equal(versions(d.Global.Available), []string{"1.9.0"}) {
		t.Errorf("%+v", d.Global)
	}
	d = mustNext(t, d, Rollback(Global, "1.9.0", Return{Yank: "wrong zones"}))
	if !d.Global.Rollback || d.Global.Ref != ref("1.9.0", "9") || len(d.Global.Yanked) != 1 {
		t.Errorf("%+v", d.Global)
	}
	if d = mustNext(t, d, Remove(Global)); d.Global != nil || d.Modules["prometheus"].Version != "2.6.4" {
		t.Errorf("%+v", d)
	}
	refused(t, d, Remove(Global), "no module global")
}

func TestSeveralEditsMakeOneDocument(t *testing.T) {
	d := mustNext(t, stable(), Promote("prometheus", "2.7.1", ea(), Promotion{}), Promote(Global, "1.9.0", ea(), Promotion{}))
	if d.Seq != 5 || d.Global == nil || d.Modules["prometheus"].Version != "2.7.1" {
		t.Errorf("%+v", d)
	}
}

func TestTheListsOfAnEntryDoNotGrowWithoutEnd(t *testing.T) {
	d := stable()
	for i := range MaxYanked + 10 {
		v := "0." + strings.Repeat("1", i/10+1) + string(rune('0'+i%10)) + ".0"
		d = mustNext(t, d, Yank("prometheus", v, "old"))
	}
	if n := len(d.Modules["prometheus"].Yanked); n != MaxYanked {
		t.Error(n)
	}
}

func TestCheckChain(t *testing.T) {
	one := encode(t, stable())
	d := mustNext(t, stable(), Yank("prometheus", "2.6.3", "x"))
	two := encode(t, d)
	three := encode(t, mustNext(t, d))
	if err := CheckChain([][]byte{one, two, three}); err != nil {
		t.Error(err)
	}
	fork := encode(t, mustNext(t, stable(), Yank("prometheus", "2.6.2", "y")))
	other := stable()
	other.Channel = "ea"
	for name, test := range map[string]struct {
		chain [][]byte
		want  string
	}{
		"one left out":         {[][]byte{one, three}, "was replaced"},
		"one replaced":         {[][]byte{one, fork, three}, "seq 6 names " + Digest(two)},
		"the wrong way round":  {[][]byte{two, one}, "seq 4 does not come after 5"},
		"the same one twice":   {[][]byte{one, one}, "does not come after"},
		"another channel":      {[][]byte{encode(t, other), two}, "of channel stable, the one before of ea"},
		"a text that is none":  {[][]byte{one, []byte("x")}, "JSON object"},
		"nothing as the first": {[][]byte{nil, one}, "the document before"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckChain(test.chain); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected %q, got %v", test.want, err)
			}
		})
	}
}

func TestDiffSaysWhatChangedInWords(t *testing.T) {
	before := stable()
	before.Modules["old"] = Entry{Ref: ref("1.0.0", "1"), PromotedAt: noon}
	before.Modules["steady"] = Entry{Ref: ref("1.0.0", "1"), PromotedAt: noon}
	before.ExpiresAt = before.CreatedAt.Add(72 * time.Hour)
	after := mustNext(t, before,
		Promote("prometheus", "2.7.1", ea(), Promotion{Urgency: Security, Keep: 2}), Remove("old"), Put("loki", ref("1.0.0", "1"), Promotion{}),
		Put("steady", ref("1.0.0", "1"), Promotion{Annotations: map[string]string{"ticket": "1", "by": "me"}}),
		Promote(Global, "1.9.0", ea(), Promotion{}), Yank("prometheus", "2.6.2", "broken"),
		SetRollout(Rollout{Waves: 4, Interval: Duration(6 * time.Hour)}), SetLifetime(0))
	var got []string
	for _, c := range Diff(before, after) {
		got = append(got, string(c.Kind)+": "+c.Text)
	}
	want := []string{
		"altered: rollout: all at once > 4 waves, 6h0m0s apart",
		"altered: expires: after 72h0m0s > never",
		"added: loki 1.0.0 (sha256:111111111111) is new",
		"removed: old 1.0.0 is no longer listed",
		"upgraded: prometheus 2.6.4 > 2.7.1 (sha256:aaaaaaaaaaaa), from ea, security",
		"yanked: prometheus 2.6.2 is yanked: broken",
		"altered: prometheus offers beside it: 2.6.3, 2.6.2 > 2.6.4, 2.6.3",
		"altered: steady annotations: none > by=me, ticket=1",
		"added: global 1.9.0 (sha256:999999999999) is new, from ea",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c := Diff(after, before); len(c) != len(want) {
		t.Errorf("the way back: %+v", c)
	}
	if c := Diff(before, mustNext(t, before)); len(c) != 0 {
		t.Errorf("a renewal: %+v", c)
	}
}
