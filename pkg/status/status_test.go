package status

import (
	"strings"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/object"
)

func TestSummarize(t *testing.T) {
	now := time.Unix(10000, 0)
	ref := object.Ref{Kind: "Deployment", Namespace: "n", Name: "d"}
	health := func(s object.State, message string) []object.Health {
		return []object.Health{{Ref: ref, State: s, Message: message}}
	}
	good := Facts{Name: "m", On: true, Why: "on by x", Attempt: Succeeded, Reason: ReasonApplied, Installed: true, HasChart: true, Now: now,
		StalledAfter: time.Minute, Objects: health(object.Current, "")}
	with := func(edit func(*Facts)) Facts {
		f := good
		edit(&f)
		return f
	}
	for name, c := range map[string]struct {
		facts   Facts
		phase   Phase
		ready   bool
		reason  string
		message string // of Ready
	}{
		"all is well":      {good, Deployed, true, ReasonReady, "applied and healthy"},
		"not attempted":    {with(func(f *Facts) { f.Attempt, f.Reason, f.Installed = NotYet, "", false }), Pending, false, ReasonPending, "not begun"},
		"a hook runs":      {with(func(f *Facts) { f.Attempt, f.Reason, f.Message = InProgress, ReasonRunning, "hook x" }), Running, false, ReasonRunning, "hook x"},
		"a hook failed":    {with(func(f *Facts) { f.Attempt, f.Reason, f.Message, f.NextTry = Failed, ReasonHookFailed, "boom", now }), Failing, false, ReasonHookFailed, "boom (next try at"},
		"waits":            {with(func(f *Facts) { f.Attempt, f.Reason = Waits, ReasonWaitingForModule }), Waiting, false, ReasonWaitingForModule, ""},
		"rolls out":        {with(func(f *Facts) { f.Objects = health(object.InProgress, "1 of 2") }), Verifying, false, ReasonWaitingForObjects, "Deployment/n/d: 1 of 2"},
		"an object failed": {with(func(f *Facts) { f.Objects = health(object.Failed, "quota") }), Verifying, false, ReasonObjectFailed, "quota"},
		"a check fails": {with(func(f *Facts) {
			f.Checks = []Check{{Name: "api", Looked: true}, {Name: "disk", Looked: true, Problem: "full"}, {Name: "new"}}
		}), Verifying, false, ReasonCheckFailed, "check disk: full"},
		"a check is not known yet": {with(func(f *Facts) { f.Checks = []Check{{Name: "api", Looked: true}, {Name: "disk"}} }), Verifying, false,
			ReasonCheckPending, "not known yet: check disk"},
		"checks hold": {with(func(f *Facts) { f.Checks = []Check{{Name: "api", Looked: true}} }), Deployed, true, ReasonReady, ""},
		"objects and a check are not well": {with(func(f *Facts) {
			f.Objects, f.Checks = health(object.InProgress, "1 of 2"), []Check{{Name: "api", Looked: true, Problem: "no answer"}}
		}), Verifying, false, ReasonWaitingForObjects, "1 of 2; check api: no answer"},
		"contested":      {with(func(f *Facts) { f.HealthReason = ReasonContested }), Verifying, false, ReasonContested, ""},
		"no release yet": {with(func(f *Facts) { f.Installed, f.Objects = false, nil }), Verifying, false, "NotInstalled", ""},
		"no chart":       {with(func(f *Facts) { f.Installed, f.HasChart, f.Objects = false, false, nil }), Deployed, true, ReasonReady, ""},
		"bad settings":   {with(func(f *Facts) { f.ConfigProblem = "size must be" }), Deployed, false, ReasonConfigInvalid, "size must be"},
		"off":            {Facts{Why: "off by x", Reason: ReasonDisabled}, Disabled, false, ReasonDisabled, "off by x"},
		"going": {with(func(f *Facts) { f.On, f.Uninstalling, f.Message = false, true, "waiting for x" }), Uninstalling, false, ReasonUninstalling,
			"waiting for x"},
		"a script fails, the module stays on": {with(func(f *Facts) { f.DecisionReason = ReasonScriptFailed }), Deployed, true, ReasonReady, ""},
		"a script fails, the module stays off": {Facts{DecisionReason: ReasonScriptFailed, DecisionMessage: "exit 1"}, Disabled, false, ReasonScriptFailed,
			"exit 1"},
		"global hooks have not spoken": {Facts{Undecided: true, Attempt: Waits, Reason: ReasonWaitingForGlobal, Message: "hook g"}, Waiting, false,
			ReasonWaitingForGlobal, "hook g"},
	} {
		t.Run(name, func(t *testing.T) {
			m := Summarize(c.facts)
			for _, cond := range m.Conditions {
				if cond.Type == Ready && (cond.Status != c.ready || cond.Reason != c.reason || !strings.Contains(cond.Message, c.message)) {
					t.Errorf("Ready is %+v", cond)
				}
				if cond.Reason == "" {
					t.Errorf("%s has no reason, which the API requires", cond.Type)
				}
			}
			if m.Phase != c.phase || m.Reason != c.reason {
				t.Errorf("phase %s, reason %s", m.Phase, m.Reason)
			}
		})
	}
}

func TestStalledAfterALongRowOfFailures(t *testing.T) {
	f := Facts{On: true, Attempt: Failed, Reason: ReasonHookFailed, Message: "boom", FailingSince: time.Unix(0, 0), StalledAfter: time.Minute}
	for after, want := range map[time.Duration]bool{59 * time.Second: false, time.Minute: true} {
		f.Now = f.FailingSince.Add(after)
		for _, c := range Summarize(f).Conditions {
			if c.Type == Stalled && c.Status != want {
				t.Errorf("after %s: %+v", after, c)
			}
		}
	}
}

func TestOnlyThreeObjectsAreNamed(t *testing.T) {
	f := Facts{On: true, Attempt: Succeeded}
	for range 5 {
		f.Objects = append(f.Objects, object.Health{State: object.Missing})
	}
	for _, c := range Summarize(f).Conditions {
		if c.Type == Healthy && !strings.HasSuffix(c.Message, "; and 2 more") {
			t.Error(c.Message)
		}
	}
}

func conditionOf(m Module, typ string) Condition {
	for _, c := range m.Conditions {
		if c.Type == typ {
			return c
		}
	}
	return Condition{}
}

func TestReadyOnlyWhenWhatIsWantedIsApplied(t *testing.T) {
	f := Facts{On: true, Attempt: Succeeded, Reason: ReasonApplied, Installed: true, HasChart: true}
	if m := Summarize(f); !conditionOf(m, Ready).Status {
		t.Errorf("got %+v", m)
	}
	f.Behind = true
	if m := Summarize(f); conditionOf(m, Ready).Status || m.Reason != ReasonPending {
		t.Errorf("something newer is wanted: %+v", m)
	}
}

func TestStalledWhateverKeepsAModuleFromBeingReady(t *testing.T) {
	f := Facts{On: true, Attempt: Waits, Reason: ReasonWaitingForModule, Message: "waits for b", UnreadySince: time.Unix(0, 0), StalledAfter: time.Minute, Now: time.Unix(59, 0)}
	if c := conditionOf(Summarize(f), Stalled); c.Status {
		t.Errorf("too early: %+v", c)
	}
	f.Now = time.Unix(60, 0)
	if c := conditionOf(Summarize(f), Stalled); !c.Status || c.Reason != ReasonWaitingForModule || c.Message != "not Ready since 1970-01-01T00:00:00Z: waits for b" {
		t.Errorf("got %+v", c)
	}
	f.PausedUntil = time.Unix(600, 0) // that is why
	if c := conditionOf(Summarize(f), Stalled); c.Status {
		t.Errorf("paused: %+v", c)
	}
}

// C-355
func TestPauseAndMaintenanceShow(t *testing.T) {
	f := Facts{On: true, Attempt: Succeeded, Reason: ReasonApplied, Message: "upgraded", Installed: true, HasChart: true, PausedUntil: time.Unix(60, 0)}
	if m := Summarize(f); !conditionOf(m, Ready).Status || conditionOf(m, Paused).Message != "until 1970-01-01T00:01:00Z nothing is applied, repaired or removed" {
		t.Errorf("a pause with nothing to do: %+v", m)
	}
	f.PausedDrift = "not repaired during the pause: ConfigMap/ns/x was deleted"
	if m := Summarize(f); conditionOf(m, Ready).Reason != ReasonPaused || !strings.Contains(conditionOf(m, Paused).Message, "x was deleted") {
		t.Errorf("a pause with drift: %+v", m)
	}
	f.PausedUntil, f.PausedDrift, f.Maintenance = time.Time{}, "", "NoResourceReconciliation"
	m := Summarize(f)
	if c := conditionOf(m, Reconciled); !c.Status || c.Reason != ReasonMaintenance || m.Maintenance == "" {
		t.Errorf("maintenance: %+v", m)
	}
}

func TestAConditionSaysWhyAnotherVersionDoesNotRun(t *testing.T) {
	well := Module{Phase: Deployed, Reason: ReasonReady, Conditions: []Condition{{Type: Ready, Status: true, Reason: ReasonReady}}}
	failing := Module{Phase: Failing, Reason: ReasonApplyFailed}
	for name, c := range map[string]struct {
		module Module
		origin Origin
		want   Condition
		reason string
	}{
		"a module on disk has none":          {well, Origin{}, Condition{}, ReasonReady},
		"nothing is kept from it":            {well, Origin{Source: "corp", Channel: "ea"}, Condition{UpToDate, true, ReasonCurrent, ""}, ReasonReady},
		"a version waits":                    {well, Origin{Source: "corp", Reason: "Freeze", Message: "until then"}, Condition{UpToDate, false, "Freeze", "until then"}, "Freeze"},
		"its own trouble is the first thing": {failing, Origin{Source: "corp", Reason: "Freeze"}, Condition{UpToDate, false, "Freeze", ""}, ReasonApplyFailed},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.module.From(c.origin)
			var last Condition
			if len(got.Conditions) > len(c.module.Conditions) {
				last = got.Conditions[len(got.Conditions)-1]
			}
			if last != c.want || got.Reason != c.reason || got.Origin != c.origin {
				t.Errorf("got %+v, reason %s; expected %+v, reason %s", last, got.Reason, c.want, c.reason)
			}
		})
	}
}
