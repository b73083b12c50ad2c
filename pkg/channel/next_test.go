package channel

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// life is one module whose situation a test changes between steps.
type life struct {
	t *testing.T
	Situation
	step   Step
	phases []string
}

// target is version v of module m, whose digest is of the letter c.
func target(v, c string) Target {
	e := catalog.Entry{Ref: ref(v, c), PromotedAt: noon}
	return Target{Source: "corp", Channel: "stable", Entry: e, Ref: e.Ref, Goal: e.Ref, Seq: 1}
}

func born(t *testing.T, want Target) *life {
	return &life{t: t, Situation: Situation{Now: noon, Up: noon.Add(-time.Hour), Module: "m", First: true, On: true, Target: want, Values: "v1",
		Policy: source.Policy{Soak: 5 * time.Minute, Timeout: 15 * time.Minute}, Metas: map[string]artifact.Meta{want.Ref.Digest: {}}, Orders: map[string]source.Order{}, Fallback: true}}
}

// next takes one step and keeps what it says.
func (l *life) next() *life {
	l.step = Next(l.Situation)
	l.Track = l.step.Track
	for _, e := range l.step.Events {
		l.phases = append(l.phases, fmt.Sprintf("%s %s", e.Release.Version, e.Release.Phase))
	}
	return l
}

// with changes the situation and takes one step.
func (l *life) with(change func(*Situation)) *life {
	change(&l.Situation)
	return l.next()
}

// pass waits and takes one step.
func (l *life) pass(d time.Duration) *life {
	return l.with(func(s *Situation) { s.Now = s.Now.Add(d) })
}

// applied: fetched, tried and put in force; it runs and is Ready or not.
func (l *life) applied(ready bool) *life {
	l.with(func(s *Situation) { s.Fetched, s.Checked = true, false })
	l.with(func(s *Situation) { s.Checked = true })
	return l.with(func(s *Situation) {
		s.Fetched, s.Checked, s.First = false, false, false
		s.Run = Observed{Digest: l.Track.Current.Digest, Applied: true, Ready: ready, Values: s.Values}
	})
}

// deployed has a good version running.
func deployed(t *testing.T, v, c string) *life {
	l := born(t, target(v, c)).next().applied(true).pass(5 * time.Minute)
	if l.Track.Current == nil || l.Track.Current.Phase != source.Deployed {
		t.Fatalf("not deployed: %+v", l.Track)
	}
	l.phases = nil
	return l
}

// wants has another target.
func (l *life) wants(want Target) *life {
	return l.with(func(s *Situation) { s.Target, s.Metas[want.Ref.Digest] = want, artifact.Meta{} })
}

func (l *life) expect(phases ...string) {
	l.t.Helper()
	if d := cmp.Diff(phases, l.phases); d != "" {
		l.t.Errorf("phases (-expected +got):\n%s\n%+v", d, l.step)
	}
}

func (l *life) says(action, prepare Action, reason string) {
	l.t.Helper()
	if l.step.Action != action || l.step.Prepare != prepare || l.step.Reason != reason {
		l.t.Errorf("got action %q, prepare %q, reason %q (%s); expected %q, %q, %q", l.step.Action, l.step.Prepare, l.step.Reason, l.step.Message, action, prepare, reason)
	}
}

func (l *life) wakes(in time.Duration) {
	l.t.Helper()
	if in == 0 && l.step.Wake.IsZero() {
		return
	}
	if got := l.step.Wake.Sub(l.Now); got != in || in == 0 {
		l.t.Errorf("wakes in %v, expected %v", got, in)
	}
}

func TestAFirstInstallGoesFromPendingToDeployed(t *testing.T) {
	l := born(t, target("1.0.0", "a"))
	l.Metas = map[string]artifact.Meta{}
	l.next().says(Stay, Fetch, ReasonFetching)
	l.with(func(s *Situation) { s.Fetched = true; s.Metas[digest("a")] = artifact.Meta{} }).says(Stay, TryOut, "")
	l.with(func(s *Situation) { s.Checked = true }).says(PutInForce, Stay, "")
	l.wakes(15 * time.Minute)
	l.with(func(s *Situation) { s.First = false; s.Run = Observed{Digest: digest("a"), Applied: true} }).says(Stay, Stay, ReasonWaitingForReady)
	l.with(func(s *Situation) { s.Run.Ready = true }).says(Stay, Stay, ReasonSoaking)
	l.wakes(5 * time.Minute)
	l.pass(5*time.Minute).says(Stay, Stay, "")
	l.wakes(0)
	l.expect("1.0.0 Pending", "1.0.0 Preflight", "1.0.0 Applying", "1.0.0 Verifying", "1.0.0 Deployed")
}

func TestAnUpgradeSupersedesOnlyOnceItIsDeployed(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).applied(true)
	if l.Track.Previous.Phase != source.Deployed {
		t.Errorf("the version before is %s while the new one is %s", l.Track.Previous.Phase, l.Track.Current.Phase)
	}
	l.pass(5 * time.Minute)
	l.expect("1.1.0 Pending", "1.1.0 Preflight", "1.1.0 Applying", "1.1.0 Verifying", "1.0.0 Superseded", "1.1.0 Deployed")
}

func TestAVersionThatDoesNotGetWellIsTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		harm   func(*life)
		reason string
	}{
		"it never becomes Ready": {func(l *life) { l.applied(false).pass(15 * time.Minute) }, ReasonNotReady},
		"it cannot be applied": {func(l *life) {
			l.applied(false).with(func(s *Situation) { s.Run.Applied, s.Run.Failed, s.Run.Message = false, true, "no such kind" }).pass(5 * time.Minute)
		}, ReasonApplyFailed},
		"it was Ready and is so no more": {func(l *life) {
			l.applied(true).with(func(s *Situation) { s.Run.Ready = false; s.Now = s.Now.Add(time.Minute) }).pass(5 * time.Minute)
		}, ReasonHealthLost},
		"its containers restart again and again": {func(l *life) {
			l.applied(true)
			for range 6 {
				l.with(func(s *Situation) { s.Now = s.Now.Add(4 * time.Minute); s.Run.Restarts++ })
			}
			l.wakes(time.Minute) // the end of all patience comes before that of the soak
			l.pass(time.Minute)
		}, ReasonHealthLost},
	} {
		t.Run(name, func(t *testing.T) {
			l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b"))
			l.with(func(s *Situation) { s.Values = "v2" })
			c.harm(l)
			l.says(Restore, Stay, c.reason)
			if l.Track.Held != "v2" || l.Track.Good != "v1" || l.Track.Current.Version != "1.0.0" || l.Track.Undone.Version != "1.1.0" {
				t.Errorf("got %+v", l.Track)
			}
			l.with(func(s *Situation) { s.Run = Observed{Digest: digest("a"), Applied: true} })
			l.with(func(s *Situation) { s.Run.Ready = true }).says(Stay, Stay, ReasonRejected)
			l.expect("1.1.0 Pending", "1.1.0 Preflight", "1.1.0 Applying", "1.1.0 Verifying", "1.1.0 RollingBack", "1.0.0 Applying", "1.0.0 Verifying", "1.1.0 RolledBack", "1.0.0 Deployed")
			if x := l.Track.Rejected; len(x) != 1 || x[0].Digest != digest("b") || x[0].Values != "v2" || l.Track.Undone != nil || l.Track.History[0].Phase != source.RolledBack {
				t.Errorf("got %+v", l.Track)
			}
		})
	}
}

// rejected is a module that took 1.1.0 back.
func rejected(t *testing.T) *life {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).applied(false).pass(15 * time.Minute)
	l.with(func(s *Situation) {
		s.Run = Observed{Digest: digest("a"), Applied: true, Ready: true, Values: s.Values}
	})
	l.phases = nil
	return l
}

func TestARejectedDigestIsTriedAgainOnlyForAReason(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Situation)
		tried  []string
	}{
		"time passes":                   {func(s *Situation) { s.Now = s.Now.Add(1000 * time.Hour) }, nil},
		"a restart":                     {func(s *Situation) { s.Up = s.Now }, nil},
		"a new document lists it again": {func(s *Situation) { s.Target.Seq++ }, nil},
		"other values":                  {func(s *Situation) { s.Values = "v2" }, []string{"1.1.0 Pending"}},
		"a retry":                       {func(s *Situation) { s.Orders["m-1.1.0-bbbbbbbb"] = source.Order{Retry: "please"} }, []string{"1.1.0 Pending"}},
		"a retry of another release":    {func(s *Situation) { s.Orders["m-1.1.0-cccccccc"] = source.Order{Retry: "please"} }, nil},
		"another digest":                {func(s *Situation) { s.Target = target("1.1.1", "c") }, []string{"1.1.1 Pending"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := rejected(t)
			l.with(c.change).expect(c.tried...)
		})
	}
}

func TestARetryIsActedUponOnce(t *testing.T) {
	l := rejected(t)
	l.with(func(s *Situation) { s.Orders["m-1.1.0-bbbbbbbb"] = source.Order{Retry: "1"} }).applied(false).pass(15 * time.Minute)
	l.with(func(s *Situation) { s.Run = Observed{Digest: digest("a"), Applied: true, Ready: true} }).says(Stay, Stay, ReasonRejected)
	l.pass(time.Hour).says(Stay, Stay, ReasonRejected)
}

func TestTheStoredLayerIsHeldUntilTheUserChangesTheSection(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).with(func(s *Situation) { s.Values = "v2" }).applied(false).pass(15 * time.Minute)
	l.with(func(s *Situation) { s.Run = Observed{Digest: digest("a"), Applied: true, Ready: true, Values: "v2"} }).pass(time.Hour)
	if l.Track.Held != "v2" || l.Track.Good != "v1" {
		t.Fatalf("held %q, good %q", l.Track.Held, l.Track.Good)
	}
	if l.with(func(s *Situation) { s.Values = "v3" }); l.Track.Held != "" {
		t.Errorf("held %q after a change", l.Track.Held)
	}
}

func TestWithoutAWayBackItFailsAndStops(t *testing.T) {
	unsafe := func(l *life) { l.Metas[digest("b")] = artifact.Meta{Rollback: "unsafe"} }
	for name, c := range map[string]struct {
		before func(*life)
		reason string
	}{
		"it must not be rolled back":       {unsafe, ReasonUnsafe},
		"the version before cannot be had": {func(l *life) { l.Fallback = false }, ReasonNoFallback},
		"nobody knows the meta after start": {func(l *life) {
			unsafe(l)
			l.next()
			delete(l.Metas, digest("b"))
			l.Metas[digest("b")] = artifact.Meta{}
		}, ReasonUnsafe},
	} {
		t.Run(name, func(t *testing.T) {
			l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b"))
			c.before(l)
			l.applied(false).pass(15*time.Minute).says(Stay, Stay, c.reason)
			l.wakes(0)
			l.pass(1000 * time.Hour)
			l.expect("1.1.0 Pending", "1.1.0 Preflight", "1.1.0 Applying", "1.1.0 Verifying", "1.1.0 Failed")
		})
	}
}

func TestWaysOutOfFailed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Situation)
		want   []string
	}{
		"a retry":             {func(s *Situation) { s.Orders["m-1.0.0-aaaaaaaa"] = source.Order{Retry: "1"} }, []string{"1.0.0 Applying", "1.0.0 Verifying"}},
		"other values":        {func(s *Situation) { s.Values = "v2" }, []string{"1.0.0 Applying", "1.0.0 Verifying"}},
		"a new target":        {func(s *Situation) { s.Target = target("1.0.1", "c") }, []string{"1.0.1 Pending"}},
		"it gets well itself": {func(s *Situation) { s.Run.Ready = true }, []string{"1.0.0 Verifying"}},
		"time":                {func(s *Situation) { s.Now = s.Now.Add(time.Hour) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := born(t, target("1.0.0", "a")).next().applied(false).pass(15 * time.Minute)
			l.says(Stay, Stay, ReasonNotReady)
			l.phases = nil
			l.with(c.change).expect(c.want...)
		})
	}
}

func TestTheWayBackOpensLater(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b"))
	l.Fallback = false
	l.applied(false).pass(15*time.Minute).says(Stay, Stay, ReasonNoFallback)
	l.with(func(s *Situation) { s.Fallback = true }).says(Restore, Stay, ReasonNotReady)
	if reason := l.Track.Rejected[0].Reason; strings.Contains(reason, "cannot be had") {
		t.Errorf("rejected because %q", reason)
	}
}

func TestARestoredVersionThatDoesNotGetWellFailsAndMayRecover(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).applied(false).pass(15 * time.Minute)
	l.phases = nil
	l.pass(15*time.Minute).says(Restore, Stay, ReasonRejected)
	l.with(func(s *Situation) { s.Run = Observed{Digest: digest("a"), Applied: true, Ready: true} }).pass(5 * time.Minute)
	l.expect("1.1.0 RolledBack", "1.0.0 Failed", "1.0.0 Verifying", "1.0.0 Deployed")
}

func TestATargetThatChangesOnTheWay(t *testing.T) {
	next := target("1.2.0", "c")
	yanked := next
	yanked.Entry.Yanked = []catalog.Yanked{{Version: "1.1.0", Reason: "bad"}}
	old := target("1.0.0", "a")
	for name, c := range map[string]struct {
		change func(*Situation)
		want   []string
	}{
		"overtaken":                 {func(s *Situation) { s.Target = next }, []string{"1.1.0 Skipped", "1.2.0 Pending"}},
		"overtaken and yanked":      {func(s *Situation) { s.Target = yanked }, []string{"1.1.0 Suspended", "1.2.0 Pending"}},
		"what runs is wanted again": {func(s *Situation) { s.Target = old }, []string{"1.1.0 Skipped"}},
		"yanked, and nothing else is offered": {func(s *Situation) {
			s.Target.Reason, s.Target.Message = ReasonYanked, "yanked"
		}, []string{"1.1.0 Suspended"}},
		"its source is suspended":              {func(s *Situation) { s.Delays = []Delay{{Reason: ReasonSuspended}} }, []string{"1.1.0 Suspended"}},
		"two sources now list it":              {func(s *Situation) { s.Target = Target{Reason: ReasonAmbiguousSource} }, nil},
		"the channel goes down without a word": {func(s *Situation) { s.Target = Target{Reason: ReasonDowngrade} }, []string{"1.1.0 Skipped"}},
		"a step on the way to it":              {func(s *Situation) { s.Target.Ref = ref("1.0.5", "d") }, []string{"1.0.5 Pending"}},
		"off":                                  {func(s *Situation) { s.On = false }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b"))
			l.phases = nil
			l.with(c.change).expect(c.want...)
			if l.Track.Current.Phase != source.Deployed || l.step.Action != Stay {
				t.Errorf("what runs was touched: %+v", l.step)
			}
		})
	}
}

func TestSuspendedEndsWithTheSuspension(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b"))
	l.with(func(s *Situation) { s.Delays = []Delay{{Reason: ReasonSuspended, Message: "suspended"}} }).says(Stay, Stay, ReasonSuspended)
	l.wakes(0)
	l.with(func(s *Situation) { s.Delays = nil }).says(Stay, Fetch, ReasonFetching)
	l.expect("1.1.0 Pending", "1.1.0 Suspended", "1.1.0 Pending")
}

func TestANewTargetWaitsForTheVerificationThatRuns(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).applied(true)
	l.wants(target("1.2.0", "c")).with(func(s *Situation) { s.Fetched, s.Checked = true, true }).says(Stay, Stay, ReasonVerifyingFirst)
	l.pass(5*time.Minute).says(PutInForce, Stay, "")
	if l.Track.Previous.Version != "1.1.0" || l.Track.History[0].Version != "1.0.0" || l.Track.History[0].Phase != source.Superseded {
		t.Errorf("got %+v", l.Track)
	}
}

func TestDelaysMakeScheduledOrPending(t *testing.T) {
	wave := Delay{Reason: ReasonWave, Message: "a wave", Until: noon.Add(30 * time.Hour)}
	window := Delay{Reason: ReasonWindow, Message: "a window", Until: noon.Add(20 * time.Hour)}
	approval := Delay{Reason: ReasonApproval, Message: "approve"}
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b"))
	l.with(func(s *Situation) { s.Fetched, s.Delays = true, []Delay{wave, window} }).says(Stay, Stay, ReasonWave)
	if n := l.Track.Next; n.Phase != source.Scheduled || !n.NotBefore.Equal(wave.Until) || !l.step.Wake.Equal(window.Until) || n.Message != "a wave; a window" {
		t.Errorf("got %+v, wake %v", n, l.step.Wake)
	}
	l.with(func(s *Situation) { s.Delays = []Delay{approval, window} })
	if n := l.Track.Next; n.Phase != source.Pending || !n.NotBefore.IsZero() {
		t.Errorf("got %+v", n)
	}
	l.with(func(s *Situation) { s.Delays = nil }).says(Stay, TryOut, "")
	l.with(func(s *Situation) { s.Delays = []Delay{approval}; s.Checked = true }).says(Stay, Stay, ReasonApproval)
	l.expect("1.1.0 Pending", "1.1.0 Scheduled", "1.1.0 Pending", "1.1.0 Preflight", "1.1.0 Pending")
}

func TestAFailedPreflightLeavesWhatRuns(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).with(func(s *Situation) { s.Fetched = true })
	l.with(func(s *Situation) { s.Checked, s.PreflightError = true, "field removed" }).says(Stay, Stay, ReasonPreflight)
	l.wakes(0)
	l.pass(1000*time.Hour).says(Stay, Stay, ReasonPreflight)
	if l.Track.Current.Phase != source.Deployed || len(l.Track.Rejected) != 0 {
		t.Errorf("got %+v", l.Track)
	}
	again := *l
	again.with(func(s *Situation) { s.Values = "v2" }).says(Stay, TryOut, "")
	l.with(func(s *Situation) { s.Orders["m-1.1.0-bbbbbbbb"] = source.Order{Retry: "1"} }).says(Stay, TryOut, "")
	l.wants(target("1.2.0", "c"))
	l.expect("1.1.0 Pending", "1.1.0 Preflight", "1.1.0 Failed", "1.1.0 Pending", "1.1.0 Preflight", "1.1.0 Skipped", "1.2.0 Pending")
}

func TestAFetchIsTriedAgainAtGrowingDistances(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b"))
	var waits []time.Duration
	l.with(func(s *Situation) { s.FetchError = "refused" }).says(Stay, Stay, ReasonFetchFailed)
	for range 8 {
		waits = append(waits, l.step.Wake.Sub(l.Now))
		l.pass(l.step.Wake.Sub(l.Now)).says(Stay, Fetch, ReasonFetchFailed)
	}
	if !slices.IsSorted(waits) || waits[0] != 15*time.Second || waits[7] != 10*time.Minute {
		t.Errorf("got %v", waits)
	}
}

func TestWhatIsOffIsNeitherAppliedNorJudged(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).applied(false)
	l.with(func(s *Situation) { s.On = false; s.Run = Observed{Digest: digest("b")} })
	l.pass(100 * time.Hour)
	l.wakes(0)
	l.with(func(s *Situation) { s.On = true }).says(Stay, Stay, ReasonWaitingForReady)
	l.wakes(15 * time.Minute)
	l.expect("1.1.0 Pending", "1.1.0 Preflight", "1.1.0 Applying", "1.1.0 Verifying", "1.1.0 Applying")
}

func TestARestartGoesOnWhereItWas(t *testing.T) {
	restart := func(s *Situation) {
		s.Now = s.Now.Add(time.Hour)
		s.Up, s.Run, s.Fetched, s.Checked = s.Now, Observed{}, false, false
	}
	t.Run("in Preflight it fetches and tries again", func(t *testing.T) {
		l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).with(func(s *Situation) { s.Fetched = true })
		l.with(restart).says(PutInForce, Fetch, "")
	})
	t.Run("in Verifying neither its deadline nor its soak has run", func(t *testing.T) {
		l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).applied(true)
		l.with(restart).says(PutInForce, Stay, ReasonWaitingForReady)
		l.wakes(15 * time.Minute)
		l.with(func(s *Situation) { s.Run = Observed{Digest: digest("b"), Applied: true, Ready: true} }).says(Stay, Stay, ReasonSoaking)
		l.wakes(5 * time.Minute)
	})
	t.Run("in RollingBack it restores", func(t *testing.T) {
		l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).applied(false).pass(15 * time.Minute)
		l.with(restart).says(Restore, Stay, ReasonNotReady)
	})
}

func TestAnEmbeddedModuleIsAdoptedAndCanBeGoneBackTo(t *testing.T) {
	l := born(t, target("1.1.0", "b"))
	l.First, l.Installed, l.Run = false, "1.0.0", Observed{Applied: true, Ready: true, Values: "v1"}
	l.next().says(Stay, Fetch, ReasonFetching)
	if c := l.Track.Current; !c.Embedded() || c.Version != "1.0.0" || l.Track.Good != "v1" {
		t.Fatalf("got %+v", l.Track)
	}
	l.applied(false).pass(15*time.Minute).says(Restore, Stay, ReasonNotReady)
	l.with(func(s *Situation) { s.Run = Observed{Applied: true, Ready: true} })
	if c := l.Track.Current; !c.Embedded() || c.Phase != source.Deployed {
		t.Errorf("got %+v", c)
	}
}

func TestAModuleOnDiskOfWhichNothingIsSaidHasNoTrack(t *testing.T) {
	l := born(t, Target{Embedded: true, Ref: catalog.Ref{Version: "1.0.0"}})
	if l.next(); !cmp.Equal(l.Track, source.Track{}) || l.step.Action != Stay || l.step.Prepare != Stay {
		t.Errorf("got %+v", l.step)
	}
}

func TestOtherValuesBeginAVerificationAnew(t *testing.T) {
	l := deployed(t, "1.0.0", "a").wants(target("1.1.0", "b")).applied(false).pass(14 * time.Minute)
	l.with(func(s *Situation) { s.Values = "v2" })
	l.wakes(15 * time.Minute)
}

func TestTheSameBytesFromElsewhereAreNoUpgrade(t *testing.T) {
	l := deployed(t, "1.0.0", "a")
	other := target("1.0.0", "a")
	other.Source, other.Channel = "mirror", "ea"
	l.wants(other).expect()
	if c := l.Track.Current; c.Source != "mirror" || c.Channel != "ea" || l.step.Action != Stay {
		t.Errorf("got %+v", c)
	}
}

// TestNextAlwaysAnswers: no track that a file may hold makes it panic, and none is changed in place.
func TestNextAlwaysAnswers(t *testing.T) {
	phases := []source.Phase{"", "Nonsense", source.Pending, source.Scheduled, source.Preflight, source.Applying, source.Verifying, source.Deployed, source.Superseded, source.RollingBack, source.RolledBack, source.Failed, source.Skipped, source.Suspended}
	rel := func(p source.Phase, v, c string) *source.Release {
		if p == "" {
			return nil
		}
		return &source.Release{Module: "m", Version: v, Digest: digest(c), Source: "corp", Phase: p}
	}
	for _, current := range phases {
		for _, next := range phases {
			for _, undone := range phases[:3] {
				for _, ready := range []bool{true, false} {
					s := born(t, target("1.1.0", "b")).Situation
					s.Track = source.Track{Current: rel(current, "1.0.0", "a"), Next: rel(next, "1.1.0", "b"), Undone: rel(undone, "1.1.0", "b"), Previous: rel(undone, "0.9.0", "c")}
					s.Run = Observed{Digest: digest("a"), Applied: ready, Ready: ready, Failed: !ready}
					given := clone(s.Track)
					for range 3 {
						step := Next(s)
						for _, e := range step.Events {
							if !allowed(e.From, e.Release.Phase) {
								t.Errorf("%s to %s", e.From, e.Release.Phase)
							}
						}
					}
					if d := cmp.Diff(given, s.Track); d != "" {
						t.Fatalf("the track that was given changed:\n%s", d)
					}
				}
			}
		}
	}
	Next(Situation{})
}
