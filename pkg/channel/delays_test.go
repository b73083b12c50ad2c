package channel

import (
	"slices"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// noon is a Friday.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// plan is one upgrade of m from 1.0.0 to the entry, changed by each test.
type plan struct {
	policy  source.Policy
	rollout catalog.Rollout
	entry   catalog.Entry
	meta    *artifact.Meta
	around  Around
	choice  source.Choice
	first   bool
	expires time.Time
	suspend bool
}

func (p plan) delays() []Delay {
	o := offer("corp", nil, p.entry)
	o.Source.Update, o.Source.Suspend = p.policy, p.suspend
	d := o.Documents["stable"]
	d.Rollout, d.ExpiresAt = p.rollout, p.expires
	o.Documents["stable"] = d
	s := Subject{Module: "m", Choice: p.choice, First: p.first, Offers: []Offer{o}, Metas: map[string]artifact.Meta{}}
	s.Choice.Source = "corp"
	if !p.first {
		s.Track = running("1.0.0", "a")
	}
	if p.meta != nil {
		s.Metas[p.entry.Digest] = *p.meta
	}
	return Delays(s, Choose(s), p.around)
}

func TestWhatStandsAgainstAVersion(t *testing.T) {
	saturday := []source.Window{{Cron: "0 2 * * 6", Duration: 4 * time.Hour, TimeZone: "Europe/Berlin"}}
	opens := time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)
	christmas := []source.Freeze{{From: noon.Add(-12 * time.Hour), To: noon.Add(48 * time.Hour)}, {From: noon.Add(47 * time.Hour), To: noon.Add(72 * time.Hour)}}
	waves := catalog.Rollout{Waves: 4, Interval: catalog.Duration(6 * time.Hour)}
	promoted := noon.Add(-time.Hour)
	wave := promoted.Add(3 * 6 * time.Hour) // Wave("uid-of-b", "m", "1.1.0", 4) is 3
	for name, c := range map[string]struct {
		change func(*plan)
		want   []string
		until  time.Time
	}{
		"nothing":                               {func(*plan) {}, nil, time.Time{}},
		"an artifact that is not here":          {func(p *plan) { p.meta = nil }, []string{ReasonFetching}, time.Time{}},
		"a version of Kubernetes":               {func(p *plan) { p.meta.Requires.Kubernetes = ">=1.40" }, []string{ReasonBlocked}, time.Time{}},
		"a provider's suffix does not lower it": {func(p *plan) { p.meta.Requires.Kubernetes = ">=1.37" }, nil, time.Time{}},
		"a version of the operator":             {func(p *plan) { p.meta.Requires.Operator = ">=3" }, []string{ReasonBlocked}, time.Time{}},
		"a development build of the operator":   {func(p *plan) { p.meta.Requires.Operator = ">=3"; p.around.Operator = "dev" }, nil, time.Time{}},
		"a fact that is not known":              {func(p *plan) { p.meta.Requires.Facts = []string{"global.zones", "global.unknown"} }, []string{ReasonBlocked}, time.Time{}},
		"modules that are absent, off, old and not Ready": {func(p *plan) {
			p.meta.Requires.Modules = []module.Requirement{{Module: "absent"}, {Module: "off"}, {Module: "old", Version: ">=2"}, {Module: "sick"}, {Module: "well", Version: ">=1"}}
		}, []string{ReasonBlocked, ReasonBlocked, ReasonBlocked, ReasonBlocked}, time.Time{}},
		"a wave":                          {func(p *plan) { p.rollout = waves }, []string{ReasonWave}, wave},
		"a wave that has begun":           {func(p *plan) { p.rollout = waves; p.around.Now = wave }, nil, time.Time{}},
		"another cluster is in the first": {func(p *plan) { p.rollout = waves; p.around.UID = "uid-of-h" }, nil, time.Time{}},
		"security has no waves":           {func(p *plan) { p.rollout = waves; p.entry.Urgency = catalog.Security }, nil, time.Time{}},
		"a pinned version has no waves":   {func(p *plan) { p.rollout = waves; p.choice.Version = "1.1.0" }, nil, time.Time{}},
		"a rollback has no waves":         {func(p *plan) { p.rollout = waves; p.entry.Rollback = true }, nil, time.Time{}},
		"the first install has no waves":  {func(p *plan) { p.rollout = waves; p.first = true }, nil, time.Time{}},
		"a window":                        {func(p *plan) { p.policy.Windows = saturday }, []string{ReasonWindow}, opens},
		"an open window":                  {func(p *plan) { p.policy.Windows = saturday; p.around.Now = opens }, nil, time.Time{}},
		"the nearest of two windows": {func(p *plan) {
			p.policy.Windows = append(slices.Clone(saturday), source.Window{Cron: "0 18 * * *", Duration: time.Hour})
		}, []string{ReasonWindow}, noon.Add(6 * time.Hour)},
		"a window that cannot be read": {func(p *plan) { p.policy.Windows = []source.Window{{Cron: "often", Duration: 1}} }, []string{ReasonPolicy}, time.Time{}},
		"security waits for a window":  {func(p *plan) { p.policy.Windows = saturday; p.entry.Urgency = catalog.Security }, []string{ReasonWindow}, opens},
		"unless policy says otherwise": {func(p *plan) {
			p.policy.Windows = saturday
			p.entry.Urgency = catalog.Security
			p.policy.UrgentIgnoresWindows = true
		}, nil, time.Time{}},
		"and it is not disruptive": {func(p *plan) {
			p.policy.Windows = saturday
			p.entry.Urgency = catalog.Security
			p.policy.UrgentIgnoresWindows = true
			p.meta.Disruptive = true
		}, []string{ReasonWindow}, opens},
		"the first install needs no window": {func(p *plan) { p.policy.Windows = saturday; p.first = true }, nil, time.Time{}},
		"away from a yanked version at once": {func(p *plan) {
			p.policy.Windows = saturday
			p.rollout = waves
			p.policy.LeaveYanked = true
			p.entry.Yanked = []catalog.Yanked{{Version: "1.0.0"}}
		}, nil, time.Time{}},
		"freezes that meet are one":   {func(p *plan) { p.policy.Freezes = christmas }, []string{ReasonFreeze}, noon.Add(72 * time.Hour)},
		"a freeze over midnight ends": {func(p *plan) { p.policy.Freezes = christmas[:1]; p.around.Now = noon.Add(48 * time.Hour) }, nil, time.Time{}},
		"security waits for a freeze": {func(p *plan) {
			p.policy.Freezes = christmas
			p.entry.Urgency = catalog.Security
			p.policy.UrgentIgnoresWindows = true
		}, []string{ReasonFreeze}, noon.Add(72 * time.Hour)},
		"Manual":                      {func(p *plan) { p.choice.Update = source.Manual }, []string{ReasonApproval}, time.Time{}},
		"Manual of the source":        {func(p *plan) { p.policy.Mode = source.Manual }, []string{ReasonApproval}, time.Time{}},
		"Auto of the user":            {func(p *plan) { p.policy.Mode = source.Manual; p.choice.Update = source.Auto }, nil, time.Time{}},
		"Manual at the first install": {func(p *plan) { p.choice.Update = source.Manual; p.first = true }, []string{ReasonApproval}, time.Time{}},
		"Manual, approved": {func(p *plan) {
			p.choice.Update = source.Manual
			p.around.Orders = map[string]source.Order{"m-1.1.0-eeeeeeee": {Approved: true}}
		}, nil, time.Time{}},
		"Manual, other bytes approved": {func(p *plan) {
			p.choice.Update = source.Manual
			p.around.Orders = map[string]source.Order{"m-1.1.0-ffffffff": {Approved: true}}
		}, []string{ReasonApproval}, time.Time{}},
		"AutoPatch and a minor version":    {func(p *plan) { p.choice.Update = source.AutoPatch }, []string{ReasonApproval}, time.Time{}},
		"AutoPatch and a patch":            {func(p *plan) { p.choice.Update = source.AutoPatch; p.entry.Version = "1.0.1" }, nil, time.Time{}},
		"AutoPatch and a disruptive patch": {func(p *plan) { p.choice.Update = source.AutoPatch; p.entry.Version = "1.0.1"; p.meta.Disruptive = true }, []string{ReasonApproval}, time.Time{}},
		"AutoPatch at the first install":   {func(p *plan) { p.choice.Update = source.AutoPatch; p.first = true }, nil, time.Time{}},
		"an expired document":              {func(p *plan) { p.expires = noon }, []string{ReasonSourceStale}, time.Time{}},
		"a suspended source":               {func(p *plan) { p.suspend = true }, []string{ReasonSuspended}, time.Time{}},
		"all at once": {func(p *plan) {
			p.suspend, p.expires, p.rollout, p.policy = true, noon, waves, source.Policy{Windows: saturday, Freezes: christmas, Mode: source.Manual}
			p.meta.Requires.Operator = ">=3"
		}, []string{ReasonSuspended, ReasonSourceStale, ReasonBlocked, ReasonWave, ReasonWindow, ReasonFreeze, ReasonApproval}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan{entry: catalog.Entry{Ref: ref("1.1.0", "e"), PromotedAt: promoted}, meta: &artifact.Meta{}, around: Around{
				Now: noon, UID: "uid-of-b", Kubernetes: "v1.37.2-gke.100", Operator: "2.0.0",
				Fact: func(path string) bool { return path == "global.zones" },
				Peer: func(name string) Peer {
					return map[string]Peer{"off": {Exists: true, Version: "1.0.0"}, "old": {Exists: true, On: true, Ready: true, Version: "1.0.0"}, "sick": {Exists: true, On: true, Version: "1.0.0", Why: "0 of 1 pods"}, "well": {Exists: true, On: true, Ready: true, Version: "1.0.0"}}[name]
				},
			}}
			c.change(&p)
			var got []string
			for _, d := range p.delays() {
				got = append(got, d.Reason)
				if d.Message == "" {
					t.Errorf("%s says nothing", d.Reason)
				}
				if len(c.want) == 1 && !d.Until.Equal(c.until) {
					t.Errorf("until %v, expected %v", d.Until, c.until)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, expected %v", got, c.want)
			}
		})
	}
}

// The numbers were computed with another tool: printf 'UID\nMODULE\nVERSION' | sha256sum | head -c 16.
func TestWavesOfFixedClusters(t *testing.T) {
	const a, b = "6e1f6e5c-0000-4000-8000-000000000001", "6e1f6e5c-0000-4000-8000-000000000002"
	for _, c := range []struct {
		uid, module, version string
		n, want              int
	}{
		{a, "prometheus", "2.7.1", 4, 0},
		{b, "prometheus", "2.7.1", 4, 0},
		{a, "prometheus", "2.7.2", 10, 2},
		{a, "cert-manager", "1.14.3", 7, 6},
		{a, "prometheus", "2.7.1", 1, 0},
		{a, "prometheus", "2.7.1", 0, 0},
	} {
		if got := Wave(c.uid, c.module, c.version, c.n); got != c.want {
			t.Errorf("wave of %s %s for %s of %d is %d, expected %d", c.module, c.version, c.uid, c.n, got, c.want)
		}
	}
}

func TestWhatRunsAlreadyHasNoDelays(t *testing.T) {
	p := plan{entry: catalog.Entry{Ref: ref("1.0.0", "a")}, suspend: true}
	if got := p.delays(); got != nil {
		t.Errorf("got %v", got)
	}
}
