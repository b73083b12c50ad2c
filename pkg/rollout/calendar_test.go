package rollout

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/source"
)

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// at lets time pass until then. The bubble's clock begins with the year 2000.
func (s *site) at(text string) {
	s.t.Helper()
	s.rest(time.Until(instant(s.t, text)))
}

// waits checks that one version runs and another waits, why, and until when.
func (s *site) waits(running, next, reason, until string) {
	s.t.Helper()
	synctest.Wait()
	n := s.engine.Memory().Tracks["web"].Next
	if s.runs() != running || n == nil || n.Version != next || n.Phase != source.Scheduled || n.Reason != reason || !n.NotBefore.Equal(instant(s.t, until)) {
		s.t.Errorf("at %s %s runs, expected %s and version %s Scheduled until %s for %s; the track is %s",
			time.Now().UTC().Format(time.RFC3339), s.runs(), running, next, until, reason, s.track())
	}
}

func (s *site) runsNow(version string) {
	s.t.Helper()
	if s.runs() != version {
		s.t.Errorf("at %s %s runs, expected %s; the track is %s", time.Now().UTC().Format(time.RFC3339), s.runs(), version, s.track())
	}
}

func TestWindowsAndFreezesHoldUpgradesBack(t *testing.T) {
	night := []source.Window{{Cron: "0 23 * * *", Duration: 4 * time.Hour, TimeZone: "Europe/Berlin"}}
	early := []source.Window{{Cron: "30 2 * * *", Duration: time.Hour, TimeZone: "Europe/Berlin"}}
	for name, c := range map[string]struct {
		windows []source.Window
		freezes []source.Freeze
		from    string
		story   func(s *site)
	}{
		"a window and a freeze over midnight": {night, []source.Freeze{{From: instant(t, "2000-01-10T23:30:00+01:00"), To: instant(t, "2000-01-11T01:00:00+01:00")}},
			"2000-01-10T12:00:00Z", func(s *site) {
				s.publish("1.1.0", nil)
				s.at("2000-01-10T21:59:59Z") // 22:59:59 in Berlin
				s.waits("1.0.0", "1.1.0", "OutsideWindow", "2000-01-10T22:00:00Z")
				s.at("2000-01-10T22:00:01Z")
				s.runsNow("1.1.0")
				s.at("2000-01-10T22:31:00Z") // the freeze has begun, the window is open
				s.publish("1.2.0", func(d *catalog.Document) { urgent(d) })
				s.at("2000-01-10T23:59:59Z")
				s.waits("1.1.0", "1.2.0", "Freeze", "2000-01-11T00:00:00Z")
				s.at("2000-01-11T00:00:01Z") // the same opening goes on after midnight and after the freeze
				s.runsNow("1.2.0")
				s.at("2000-01-11T02:00:00Z")
				s.publish("1.3.0", nil)
				s.at("2000-01-11T21:59:59Z")
				s.waits("1.2.0", "1.3.0", "OutsideWindow", "2000-01-11T22:00:00Z")
				s.at("2000-01-11T22:00:01Z")
				s.runsNow("1.3.0")
			}},
		"a window and a freeze that goes on after its end: the next opening": {night, []source.Freeze{{From: instant(t, "2000-01-10T00:00:00+01:00"), To: instant(t, "2000-01-11T05:00:00+01:00")}},
			"2000-01-10T12:00:00Z", func(s *site) {
				s.publish("1.1.0", nil)
				s.at("2000-01-10T23:00:00Z")
				s.waits("1.0.0", "1.1.0", "Freeze", "2000-01-11T04:00:00Z")
				s.at("2000-01-11T04:00:01Z")
				s.waits("1.0.0", "1.1.0", "OutsideWindow", "2000-01-11T22:00:00Z")
				s.at("2000-01-11T22:00:01Z")
				s.runsNow("1.1.0")
			}},
		"a beginning that the clock skips is the first minute after": {early, nil,
			"2000-03-25T23:00:00Z", func(s *site) { // 26 March 2000: 02:00 becomes 03:00
				s.publish("1.1.0", nil)
				s.at("2000-03-26T00:59:59Z")
				s.waits("1.0.0", "1.1.0", "OutsideWindow", "2000-03-26T01:00:00Z")
				s.at("2000-03-26T01:00:01Z")
				s.runsNow("1.1.0")
				s.at("2000-03-26T02:00:00Z") // an hour later it is closed
				s.publish("1.2.0", nil)
				s.at("2000-03-26T23:59:59Z")
				s.waits("1.1.0", "1.2.0", "OutsideWindow", "2000-03-27T00:30:00Z")
				s.at("2000-03-27T00:30:01Z")
				s.runsNow("1.2.0")
			}},
		"a beginning that the clock shows twice is the first": {early, nil,
			"2000-10-28T23:00:00Z", func(s *site) { // 29 October 2000: 03:00 becomes 02:00
				s.publish("1.1.0", nil)
				s.at("2000-10-29T00:29:59Z")
				s.waits("1.0.0", "1.1.0", "OutsideWindow", "2000-10-29T00:30:00Z")
				s.at("2000-10-29T00:30:01Z")
				s.runsNow("1.1.0")
				s.at("2000-10-29T01:30:00Z")
				s.publish("1.2.0", nil)
				s.at("2000-10-29T01:45:00Z") // the clock shows 02:45 again
				s.waits("1.1.0", "1.2.0", "OutsideWindow", "2000-10-30T01:30:00Z")
				s.at("2000-10-30T01:30:01Z")
				s.runsNow("1.2.0")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.source.Update = source.Policy{Windows: c.windows, Freezes: c.freezes, Timeout: 15 * time.Minute, UrgentIgnoresWindows: true}
				s.rest(time.Until(instant(t, c.from)))
				s.publish("1.0.0", nil)
				s.start()
				s.rest(5 * time.Minute) // a first install waits for no window
				s.runsNow("1.0.0")
				c.story(s)
				s.stop()
			})
		})
	}
}

func urgent(d *catalog.Document) {
	e := d.Modules["web"]
	e.Urgency = catalog.Security
	d.Modules["web"] = e
}

// waveOf is the rule of waves, written down once more: which of n waves a cluster is in.
func waveOf(uid, version string, n uint64) int {
	sum := sha256.Sum256([]byte(uid + "\nweb\n" + version))
	return int(binary.BigEndian.Uint64(sum[:8]) % n) //nolint:gosec // less than n
}

// A version is spread over clusters: none takes it before its wave, each does when it begins, also one that was
// restarted meanwhile; the document that says so is read by all of them at about the same time.
func TestClustersTakeAVersionInTheirWaves(t *testing.T) {
	const waves, clusters, interval = 4, 24, 6 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		first := newSite(t)
		all := make([]*site, clusters)
		for i := range all {
			all[i] = newSite(t)
			all[i].shelf, all[i].key, all[i].source, all[i].uid = first.shelf, first.key, first.source, fmt.Sprintf("cluster-%d", i)
		}
		first.publish("1.0.0", func(d *catalog.Document) {
			d.Rollout = catalog.Rollout{Waves: waves, Interval: catalog.Duration(interval)}
		})
		for _, s := range all {
			s.start()
		}
		first.rest(10 * time.Minute)
		for _, s := range all {
			s.runsNow("1.0.0") // a first install waits for no wave
		}

		promoted := time.Now()
		first.publish("1.1.0", func(d *catalog.Document) {
			d.Rollout = catalog.Rollout{Waves: waves, Interval: catalog.Duration(interval)}
		})
		met := map[int]int{}
		for wave := range waves {
			first.rest(time.Until(promoted.Add(time.Duration(wave) * interval).Add(-time.Second)))
			took := map[string]int{}
			for i, s := range all {
				took[s.runs()]++
				if mine := waveOf(s.uid, "1.1.0", waves); mine >= wave && s.runs() != "1.0.0" {
					t.Errorf("cluster %d of wave %d runs %s before wave %d began", i, mine, s.runs(), wave)
				}
			}
			if wave == 2 { // a restart before the wave
				all[0].stop()
				all[0].start()
			}
			first.rest(2 * time.Minute) // a poll, in the first wave
			for i, s := range all {
				mine := waveOf(s.uid, "1.1.0", waves)
				if mine == wave {
					met[wave]++
				}
				if mine <= wave && s.runs() != "1.1.0" {
					t.Errorf("cluster %d of wave %d runs %s after wave %d began; its track is %s", i, mine, s.runs(), wave, s.track())
				}
			}
		}
		if len(met) != waves {
			t.Errorf("clusters by wave: %v; expected some in each of %d", met, waves)
		}

		// What is urgent waits for none.
		first.publish("1.2.0", func(d *catalog.Document) {
			d.Rollout = catalog.Rollout{Waves: waves, Interval: catalog.Duration(interval)}
			urgent(d)
		})
		first.rest(10 * time.Minute)
		for _, s := range all {
			s.runsNow("1.2.0")
			s.stop()
		}
	})
}

// A preflight that could not be held says nothing of the version: it is held when it can be.
func TestAPreflightThatCannotBeHeldIsHeldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.publish("1.0.0", nil)
		s.later["1.0.0"] = true
		s.start()
		s.rest(time.Minute)
		s.runsNow("nothing")
		if n := s.engine.Memory().Tracks["web"].Next; n == nil || n.Phase != source.Preflight {
			t.Errorf("the track is %s", s.track())
		}
		s.mu.Lock()
		s.later["1.0.0"] = false
		s.mu.Unlock()
		s.rest(10 * time.Minute)
		s.expect("1.0.0", "web 1.0.0 Pending", "web 1.0.0 Preflight", "web 1.0.0 Applying", "web 1.0.0 Verifying", "web 1.0.0 Deployed")
		s.stop()
	})
}

// What should be in force and was lost with the cache comes back as soon as the registry answers.
func TestWhatWasLostIsFetchedWhenTheRegistryIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.publish("1.0.0", nil)
		s.start()
		s.rest(10 * time.Minute)
		s.stop()
		s.mu.Lock()
		s.cache = map[string]bool{}
		s.mu.Unlock()
		s.fall(true)
		s.start()
		s.rest(10 * time.Minute)
		s.mu.Lock()
		why := s.set.Broken["web"]
		s.mu.Unlock()
		if why == nil || s.runs() != "nothing" {
			t.Errorf("%s runs; web is broken because of: %v", s.runs(), why)
		} else if want := "version 1.0.0 of source corp cannot be had: connection refused"; why.Error() != want {
			t.Errorf("it says %q, expected %q", why, want)
		}
		s.fall(false)
		s.rest(2 * time.Minute)
		s.runsNow("1.0.0")
		s.stop()
	})
}

// Two sources bring a module that is not installed: nothing is, and there is no resource yet to say why.
func TestAModuleThatCannotBeChosenIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.publish("1.0.0", nil)
		s.source.URL = "" // nothing can be done with it
		s.start()
		s.source.URL = "oci://here/root"
		rival := s.source
		rival.Name = "rival"
		s.engine.Inputs(Inputs{Sources: []source.Source{s.source, rival}})
		s.rest(10 * time.Minute)
		s.runsNow("nothing")
		s.mu.Lock()
		told := slices.DeleteFunc(slices.Clone(s.told), func(line string) bool { return !strings.Contains(line, "AmbiguousSource") })
		s.mu.Unlock()
		if want := " true AmbiguousSource: module web is offered by the sources corp, rival: choose one with the key …Source"; len(told) != 1 || told[0] != want {
			t.Errorf("told %q, expected once %q", told, want)
		}
		s.stop()
	})
}

// A requirement on a module that a source is about to bring says what that waits for.
func TestARequirementOnAModuleThatIsOnItsWaySaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.refused["7.0.0"] = "it does not fit"
		s.publish("1.0.0", func(d *catalog.Document) {
			web, db := d.Modules["web"], catalog.Ref{Version: "7.0.0", Digest: "sha256:" + strings.Repeat("7", 64)}
			d.Modules["db"] = catalog.Entry{Ref: db, PromotedAt: time.Now()}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.artifacts[db.Digest] = artifact.Artifact{Meta: artifact.Meta{Name: "db", Version: db.Version}}
			s.artifacts[web.Digest] = artifact.Artifact{Meta: artifact.Meta{Name: "web", Version: "1.0.0",
				Requires: artifact.Requires{Modules: []module.Requirement{{Module: "db", Version: ">=7"}}}}}
		})
		s.start()
		s.rest(10 * time.Minute)
		n := s.engine.Memory().Tracks["web"].Next
		if n == nil || n.Reason != "Blocked" || !strings.Contains(n.Message, "db") || !strings.Contains(n.Message, "its version 7.0.0 is Failed: it does not fit") {
			t.Errorf("the track is %s", s.track())
		}
		s.stop()
	})
}
