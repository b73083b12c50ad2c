package doctor

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/status"
)

func corp(edit func(*Source)) Source {
	s := Source{Name: "corp", Generation: 2, Observed: 2, Conditions: []metav1.Condition{
		{Type: source.Available, Status: metav1.ConditionTrue, Reason: "Followed", LastTransitionTime: ago(time.Hour)},
		{Type: source.Stale, Status: metav1.ConditionFalse, Reason: "Fresh", LastTransitionTime: ago(time.Hour)},
	}}
	edit(&s)
	return s
}

func version(v string, phase source.Phase, reason string, since time.Duration) Offered {
	at := ago(since)
	return Offered{Name: "m-" + v, Module: "m", Version: v, Phase: string(phase), Reason: reason, Message: "so it is", Since: &at, Created: ago(since + time.Minute)}
}

func TestRulesOfSourcesAndReleases(t *testing.T) {
	day := 25 * time.Hour
	for name, c := range map[string]struct {
		sources []Source
		offered []Offered
		want    []string // "severity object: part of the problem"
	}{
		"all is well": {[]Source{corp(func(*Source) {})}, []Offered{version("1.0.0", source.Deployed, "", day), version("0.9.0", source.Superseded, "", 2*day)}, nil},
		"a source that does not answer": {[]Source{corp(func(s *Source) {
			s.Conditions[0].Status, s.Conditions[0].Reason = metav1.ConditionFalse, "PollFailed"
			at := ago(2 * time.Hour)
			s.LastPoll = &at
		})}, nil, []string{"error ModuleSource corp: is not Ready for 60m: PollFailed; it answered last 120m ago"}},
		"a source that never did":       {[]Source{corp(func(s *Source) { s.Conditions[0].Status = metav1.ConditionFalse })}, nil, []string{"error ModuleSource corp: …it has not answered yet"}},
		"a document that has expired":   {[]Source{corp(func(s *Source) { s.Conditions[1].Status = metav1.ConditionTrue })}, nil, []string{"warning ModuleSource corp: is stale for 60m"}},
		"a source that nobody looks at": {[]Source{corp(func(s *Source) { s.Conditions = nil })}, nil, []string{"warning ModuleSource corp: has no status"}},
		"a spec that is not in force":   {[]Source{corp(func(s *Source) { s.Generation = 3 })}, nil, []string{"warning ModuleSource corp: generation 3"}},
		"a source that is suspended":    {[]Source{corp(func(s *Source) { s.Suspend, s.Conditions = true, nil })}, nil, []string{"note ModuleSource corp: is suspended"}},
		"a release that was undone": {nil, []Offered{version("1.1.0", source.RolledBack, "Unhealthy", time.Hour), version("1.0.0", source.Deployed, "", 2*day)},
			[]string{"warning ModuleRelease m-1.1.0 (m 1.1.0): is RolledBack for 60m: Unhealthy: so it is"}},
		"a release that was undone, and the one before runs again": {nil, []Offered{version("1.1.0", source.RolledBack, "Unhealthy", time.Hour),
			func() Offered {
				o := version("1.0.0", source.Deployed, "", time.Minute)
				o.Created = ago(2 * day)
				return o
			}()},
			[]string{"warning ModuleRelease m-1.1.0"}},
		"a release that was undone, and a better one runs": {nil, []Offered{version("1.1.0", source.RolledBack, "Unhealthy", time.Hour), version("1.1.1", source.Deployed, "", time.Minute)}, nil},
		"a release that failed":                            {nil, []Offered{version("1.1.0", source.Failed, "RollbackUnsafe", time.Minute)}, []string{"error ModuleRelease m-1.1.0 (m 1.1.0): is Failed"}},
		"a release that hangs":                             {nil, []Offered{version("1.1.0", source.Verifying, "", day)}, []string{"warning ModuleRelease m-1.1.0 (m 1.1.0): is Verifying for 25h"}},
		"a release under way":                              {nil, []Offered{version("1.1.0", source.Verifying, "", time.Hour), version("1.2.0", source.Scheduled, "OutsideWindow", 2*day)}, nil},
		"a release that waits for a human": {nil, []Offered{version("1.1.0", source.Pending, "WaitingForApproval", day), version("1.2.0", source.Pending, "WaitingForApproval", time.Hour)},
			[]string{"note ModuleRelease m-1.1.0 (m 1.1.0): is Pending for 25h"}},
	} {
		t.Run(name, func(t *testing.T) {
			found := Examine(facts(func(f *Facts) { f.Sources, f.Offered = c.sources, c.offered }))
			if len(found) != len(c.want) {
				t.Fatalf("expected %q, got %+v", c.want, found)
			}
			for i, want := range c.want {
				got := string(found[i].Severity) + " " + found[i].Object + ": " + found[i].Problem
				for _, part := range strings.Split(want, "…") {
					if !strings.Contains(got, part) {
						t.Errorf("expected %q, got %q", want, got)
					}
				}
				if found[i].Expected == "" || found[i].WayOut == "" {
					t.Errorf("no way out: %+v", found[i])
				}
			}
		})
	}
}

// What waits or was undone has a ModuleRelease that tells it.
func TestAModuleThatKeepsItsVersionForAReasonOfItsOwn(t *testing.T) {
	for reason, want := range map[string]string{"Yanked": "warning Module m: keeps version 1.0.0 for 60m: Yanked: so it is",
		"NotInChannel": "warning Module m: keeps version 1.0.0 for 60m: NotInChannel: so it is", "WaitingForApproval": "", "Rejected": ""} {
		t.Run(reason, func(t *testing.T) {
			found := Examine(facts(func(f *Facts) {
				f.Modules = []Module{{Name: "m", Version: "1.0.0", Phase: "Deployed", Reason: "Ready", Conditions: []metav1.Condition{
					{Type: status.Ready, Status: metav1.ConditionTrue, Reason: "Ready"},
					{Type: status.UpToDate, Status: metav1.ConditionFalse, Reason: reason, Message: "so it is", LastTransitionTime: ago(time.Hour)}}}}
			}))
			var got string
			for _, x := range found {
				if strings.HasPrefix(x.Object, "Module ") {
					got += string(x.Severity) + " " + x.Object + ": " + x.Problem
				}
			}
			if got != want {
				t.Errorf("got %q, expected %q", got, want)
			}
		})
	}
}

// A module of a source has no directory, and its release must not be removed because a registry is away.
func TestTheWayOutOfAMissingModuleDependsOnWhereItIsFrom(t *testing.T) {
	for from, want := range map[string]string{"disk": "bring the module's directory back", "source": "bring the registry of its ModuleSource back"} {
		f := facts(func(f *Facts) {
			if from == "source" {
				f.Offered = []Offered{version("1.0.0", source.Deployed, "", time.Hour)}
			}
		})
		if got := f.wayOut(status.ReasonModuleMissing, Module{Name: "m"}); !strings.HasPrefix(got, want) {
			t.Errorf("from %s: %s", from, got)
		}
	}
}
