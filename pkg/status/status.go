// Package status turns what is known of a module into the conditions, the phase
// and the one-line reason that users see. Ready is derived here from the other
// conditions and set nowhere else.
package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/object"
)

// Condition types of a Module resource. Each is a sentence when True.
const (
	// Enabled: the module is on.
	Enabled = "Enabled"
	// Loaded: what lies in the module's directory is what is in force.
	Loaded = "Loaded"
	// ConfigValid: every key of the ConfigMap that concerns the module is in force as written.
	ConfigValid = "ConfigValid"
	// Reconciled: the last attempt ran all hooks and applied what was wanted.
	Reconciled = "Reconciled"
	// Healthy: every object of the release is current, and every health check of the module holds.
	Healthy = "Healthy"
	// HooksSucceeding: no run for an event, a tick or a review has failed without a success since, and none hangs.
	HooksSucceeding = "HooksSucceeding"
	// Ready: all of the above.
	Ready = "Ready"
	// Stalled: the module has not been Ready for a long time.
	Stalled = "Stalled"
	// Paused: until a time nothing is applied, repaired or removed. There while it holds.
	Paused = "Paused"
	// UpToDate: nothing stands between the module and what its source offers and its user chose. There
	// for modules that sources are about; no part of Ready.
	UpToDate = "UpToDate"
)

// Phase is the word of the PHASE column.
type Phase string

const (
	// Disabled: the module is off and nothing of it is installed.
	Disabled Phase = "Disabled"
	// Pending: the module is on and its first attempt has not begun.
	Pending Phase = "Pending"
	// Waiting: the attempt waits for another module or a global hook.
	Waiting Phase = "Waiting"
	// Running: hooks run or Helm is at work.
	Running Phase = "Running"
	// Verifying: applied; its objects are not all current yet.
	Verifying Phase = "Verifying"
	// Deployed: applied and healthy.
	Deployed Phase = "Deployed"
	// Failing: the last attempt failed and will be tried again.
	Failing Phase = "Failing"
	// Uninstalling: the release is being removed.
	Uninstalling Phase = "Uninstalling"
)

// Reasons of conditions.
const (
	ReasonReady             = "Ready"
	ReasonApplied           = "Applied"
	ReasonUnchanged         = "Unchanged"
	ReasonPending           = "Pending"
	ReasonRunning           = "Running"
	ReasonDisabled          = "Disabled"
	ReasonHookFailed        = "HookFailed"
	ReasonHookHangs         = "HookHangs"
	ReasonScriptHangs       = "EnabledScriptHangs"
	ReasonScriptFailed      = "EnabledScriptFailed"
	ReasonValuesInvalid     = "ValuesInvalid"
	ReasonConfigInvalid     = "ConfigInvalid"
	ReasonConfigMissing     = "ConfigMissing"
	ReasonCRDFailed         = "CRDFailed"
	ReasonRenderFailed      = "RenderFailed"
	ReasonApplyFailed       = "ApplyFailed"
	ReasonRolledBack        = "RolledBack"
	ReasonUninstallFailed   = "UninstallFailed"
	ReasonRequirement       = "RequirementMissing"
	ReasonWaitingForModule  = "WaitingForModule"
	ReasonWaitingForGlobal  = "WaitingForGlobalHook"
	ReasonWaitingForObjects = "WaitingForObjects"
	ReasonObjectFailed      = "ObjectFailed"
	ReasonContested         = "Contested"
	ReasonCheckFailed       = "HealthCheckFailed"
	ReasonCheckPending      = "HealthCheckPending"
	ReasonOscillating       = "Oscillating"
	ReasonTerminating       = "NamespaceTerminating"
	ReasonUninstalling      = "Uninstalling"
	ReasonModuleMissing     = "ModuleMissing"
	ReasonModuleInvalid     = "ModuleInvalid"
	ReasonCurrent           = "Current"
	ReasonPaused            = "Paused"
	ReasonMaintenance       = "Maintenance"
)

// Condition is one condition; the API's lastTransitionTime is the reporter's business.
type Condition struct {
	Type    string
	Status  bool
	Reason  string
	Message string
}

// Module is the whole status of one module, ready to be reported.
type Module struct {
	Name       string
	Weight     int
	Enabled    bool
	Version    string
	Namespace  string
	Phase      Phase
	Reason     string
	Revision   int   // of the Helm release; 0 without one
	Global     int64 // revision of the global values that the last attempt saw
	Conditions []Condition
	NextTry    time.Time // zero when nothing is scheduled
	// Maintenance is the mode that the module is in (C-355), "" for none.
	Maintenance string
	// PausedUntil is the end of the module's pause, zero without one.
	PausedUntil time.Time
	// Origin is where the version in force comes from; Digest is that of its files (module.Descriptor).
	Origin   Origin
	Digest   string
	Gone     bool // neither directory nor release is left: there is nothing to show
	Decision Decision
	// Values say who set each leaf of the module's section; ValuesOmitted is how many are left out.
	Values        []ValueOrigin
	ValuesOmitted int
	// Checks are the module's health checks by HTTP and hook.
	Checks []Check
	// WaitsFor is a chain: the module waits for the first, which waits for the next.
	// An element is the name of a module, or a sentence.
	WaitsFor []string
	// LastPass is the newest one that changed something or failed, nil when none has in this process.
	LastPass *Pass
}

// Origin is where a module's version comes from, for display.
type Origin struct {
	// Source and Channel are empty for what lies on disk.
	Source, Channel string
	// Available is a version that is offered and does not run yet, "" for none.
	Available string
	// Reason and Message say why that does not run yet; empty when nothing stands against it.
	Reason, Message string
}

// From is the module with its origin, and with a condition that says whether another version is kept
// from it, and why. What keeps it is also the Reason of one that is well.
func (m Module) From(o Origin) Module {
	m.Origin = o
	if o == (Origin{}) {
		return m
	}
	c := Condition{Type: UpToDate, Status: o.Reason == "", Reason: cmp.Or(o.Reason, ReasonCurrent), Message: o.Message}
	m.Conditions = append(slices.Clone(m.Conditions), c)
	if o.Reason != "" && m.Phase == Deployed && m.Reason == ReasonReady {
		m.Reason = o.Reason
	}
	return m
}

// Check is what is known of one health check by HTTP or hook.
type Check struct {
	Name string
	// Looked: a look has ended since the check began, or the module was changed last.
	Looked bool
	// Problem is why it does not hold, in one line; "" when it does.
	Problem string
}

// Holds says that the newest look found nothing wrong.
func (c Check) Holds() bool { return c.Looked && c.Problem == "" }

// Decision says whether a module is on, and who decided.
type Decision struct {
	On      bool
	By, Why string
}

// ValueOrigin is a leaf of a module's section by its dotted path, and the layer or hook that set it.
type ValueOrigin struct{ Path, From string }

// Pass is what one pass of a module did.
type Pass struct {
	Time     time.Time
	Duration time.Duration
	// Why it ran.
	Why string
	// Changed are dotted paths of values, and sentences about other inputs.
	Changed []string
	Action  string
	Failed  bool
}

// Missing is the status of a release whose module is in no directory, or cannot be read.
func Missing(name string, revision int, message string) Module {
	ready := Condition{Type: Ready, Reason: ReasonModuleMissing, Message: message}
	return Module{Name: name, Enabled: true, Phase: Failing, Reason: ReasonModuleMissing, Revision: revision, Conditions: []Condition{ready}}
}

// Attempt is how far the newest attempt has come.
type Attempt string

const (
	NotYet     Attempt = ""
	InProgress Attempt = "InProgress"
	Waits      Attempt = "Waits"
	Succeeded  Attempt = "Succeeded"
	Failed     Attempt = "Failed"
)

// Facts is everything Summarize needs.
type Facts struct {
	Name      string
	Weight    int
	Version   string
	Namespace string
	// On is the decision, By who made it, Why its sentence.
	On  bool
	Why string
	// Undecided: no global pass of this process has decided; Reason and Message say what it waits for.
	Undecided bool
	// DecisionReason is set when the decision itself has a problem, such as EnabledScriptFailed.
	DecisionReason  string
	DecisionMessage string
	// FilesProblem is why what lies in the module's directory is not in force.
	FilesProblem string
	// ConfigProblem is what is wrong with the module's part of the ConfigMap.
	ConfigProblem string
	// ConfigMissing: the problem is that there is no ConfigMap.
	ConfigMissing bool
	// GlobalProblem is what is wrong with the global section of the ConfigMap.
	GlobalProblem string
	// ConfigUnread, GlobalUnread: no valid section was read yet, so that there is none to go on with.
	ConfigUnread, GlobalUnread bool
	Attempt                    Attempt
	// Reason and Message explain the attempt: what runs, what it waits for, why it failed.
	Reason  string
	Message string
	// FailingSince is when the unbroken row of failures began.
	FailingSince time.Time
	StalledAfter time.Duration
	Now          time.Time
	NextTry      time.Time
	Installed    bool
	Uninstalling bool
	Revision     int
	Global       int64
	HasChart     bool
	Objects      []object.Health
	// Checks are the module's health checks by HTTP and hook, while they are made.
	Checks []Check
	// HealthReason and HealthMessage override the health of objects, such as Contested.
	HealthReason  string
	HealthMessage string
	// Behind: something newer than what the last attempt saw waits to be applied.
	Behind bool
	// UnreadySince is since when the module is not Ready; zero when it is, or is off.
	UnreadySince time.Time
	// PausedUntil is the end of the pause, zero without one; PausedDrift tells of what is not repaired meanwhile.
	PausedUntil time.Time
	PausedDrift string
	Maintenance string
	// FailingHooks and HangingHooks are one line each, about runs outside of attempts.
	FailingHooks, HangingHooks []string
}

// Summarize derives conditions, phase and reason.
func Summarize(f Facts) Module {
	m := Module{Name: f.Name, Weight: f.Weight, Enabled: f.On, Version: f.Version, Namespace: f.Namespace,
		Revision: f.Revision, Global: f.Global, NextTry: f.NextTry, Maintenance: f.Maintenance, PausedUntil: f.PausedUntil, Checks: f.Checks}
	conds := []Condition{enabled(f), loaded(f), configValid(f), reconciled(f), healthy(f), hooksSucceeding(f)}
	ready := Condition{Type: Ready, Status: true, Reason: ReasonReady, Message: "everything is applied and healthy"}
	for _, c := range conds {
		if !c.Status {
			ready = Condition{Type: Ready, Reason: c.Reason, Message: c.Message}
			break
		}
	}
	m.Conditions = append(conds, ready, stalled(f, ready))
	if !f.PausedUntil.IsZero() {
		m.Conditions = append(m.Conditions, paused(f))
	}
	m.Phase = phase(f, ready.Status)
	m.Reason = ready.Reason
	return m
}

func enabled(f Facts) Condition {
	c := Condition{Type: Enabled, Status: f.On, Reason: "On", Message: f.Why}
	switch {
	case f.Uninstalling:
		c.Status, c.Reason, c.Message = false, ReasonUninstalling, f.Message
	case f.DecisionReason != "": // the last decision stands
		c.Reason, c.Message = f.DecisionReason, f.DecisionMessage
	case !f.On && f.Undecided && f.Reason != "":
		c.Reason, c.Message = f.Reason, f.Message
	case !f.On && !f.PausedUntil.IsZero() && f.Attempt == Waits:
		c.Reason, c.Message = ReasonPaused, f.Message
	case !f.On:
		c.Reason = ReasonDisabled
	}
	return c
}

func loaded(f Facts) Condition {
	if f.FilesProblem != "" {
		return Condition{Type: Loaded, Reason: ReasonModuleInvalid, Message: f.FilesProblem}
	}
	return Condition{Type: Loaded, Status: true, Reason: "Loaded", Message: "the files of the module are in force"}
}

func configValid(f Facts) Condition {
	if f.ConfigProblem != "" && f.ConfigMissing {
		return Condition{Type: ConfigValid, Reason: ReasonConfigMissing, Message: f.ConfigProblem}
	}
	var problems []string
	if f.ConfigProblem != "" {
		problems = append(problems, f.ConfigProblem+meanwhile(f.ConfigUnread))
	}
	if f.GlobalProblem != "" {
		problems = append(problems, "the global section: "+f.GlobalProblem+meanwhile(f.GlobalUnread))
	}
	if len(problems) > 0 {
		return Condition{Type: ConfigValid, Reason: ReasonConfigInvalid, Message: strings.Join(problems, "; ")}
	}
	return Condition{Type: ConfigValid, Status: true, Reason: "Valid", Message: "the module's settings are in force"}
}

// meanwhile is what happens until a section is corrected.
func meanwhile(unread bool) string {
	if unread {
		return " (nothing is changed until it is corrected)"
	}
	return " (until it is corrected, the last valid value stays in force)"
}

// Serving says that nothing but settings that are not in force as written keeps the
// module from being Ready: what is wanted by the last valid ones is there and healthy.
func (m Module) Serving() bool {
	for _, c := range m.Conditions {
		switch c.Type {
		case Enabled, Reconciled, Healthy, HooksSucceeding:
			if !c.Status {
				return false
			}
		}
	}
	return true
}

func reconciled(f Facts) Condition {
	c := Condition{Type: Reconciled, Status: f.Attempt == Succeeded, Reason: f.Reason, Message: f.Message}
	if f.Attempt == NotYet && c.Reason == "" {
		c.Reason, c.Message = ReasonPending, "the first attempt has not begun"
	}
	if f.Attempt == Succeeded && f.Maintenance != "" {
		c.Reason, c.Message = ReasonMaintenance, "Maintenance is "+f.Maintenance+": hooks run, and the objects of the release are left alone"
	}
	if f.Attempt == Succeeded && f.Behind {
		c.Status, c.Reason, c.Message = false, ReasonPending, "what was applied is no longer what is wanted; the next attempt is about to begin"
	}
	if f.Attempt == Failed && !f.NextTry.IsZero() {
		c.Message = fmt.Sprintf("%s (next try at %s)", c.Message, f.NextTry.UTC().Format(time.TimeOnly))
	}
	return c
}

func healthy(f Facts) Condition {
	c := Condition{Type: Healthy, Status: true, Reason: ReasonCurrent, Message: "all objects are current"}
	var waiting, failed []string
	for _, o := range f.Objects {
		line := o.String()
		if o.Message != "" {
			line += ": " + o.Message
		}
		switch o.State {
		case object.Current:
		case object.Failed:
			failed = append(failed, line)
		default:
			if o.Message == "" {
				line += ": " + string(o.State)
			}
			waiting = append(waiting, line)
		}
	}
	bad, pending := checked(f.Checks)
	switch {
	case f.PausedDrift != "":
		c = Condition{Type: Healthy, Reason: ReasonPaused, Message: f.PausedDrift}
	case f.HealthReason != "":
		c = Condition{Type: Healthy, Reason: f.HealthReason, Message: f.HealthMessage}
	case len(failed) > 0:
		c = Condition{Type: Healthy, Reason: ReasonObjectFailed, Message: list(append(failed, bad...))}
	case len(waiting) > 0:
		c = Condition{Type: Healthy, Reason: ReasonWaitingForObjects, Message: list(append(waiting, bad...))}
	case f.HasChart && !f.Installed:
		c = Condition{Type: Healthy, Reason: "NotInstalled", Message: "there is no release yet"}
	case len(bad) > 0:
		c = Condition{Type: Healthy, Reason: ReasonCheckFailed, Message: list(bad)}
	case len(pending) > 0:
		c = Condition{Type: Healthy, Reason: ReasonCheckPending, Message: "not known yet: " + list(pending)}
	case len(f.Objects) > 0:
		c.Message = fmt.Sprintf("all %d objects are current", len(f.Objects))
	}
	if n := len(f.Checks); c.Status && n > 0 {
		c.Message += fmt.Sprintf(", health checks that hold: %d", n)
	}
	return c
}

// checked are lines about checks that fail and about those that were not looked at yet.
func checked(checks []Check) (bad, pending []string) {
	for _, c := range checks {
		switch {
		case !c.Looked:
			pending = append(pending, "check "+c.Name)
		case !c.Holds():
			bad = append(bad, "check "+c.Name+": "+c.Problem)
		}
	}
	return bad, pending
}

func hooksSucceeding(f Facts) Condition {
	switch {
	case len(f.FailingHooks) > 0:
		return Condition{Type: HooksSucceeding, Reason: ReasonHookFailed, Message: list(f.FailingHooks)}
	case len(f.HangingHooks) > 0:
		return Condition{Type: HooksSucceeding, Reason: ReasonHookHangs, Message: list(f.HangingHooks)}
	}
	return Condition{Type: HooksSucceeding, Status: true, Reason: "Succeeding", Message: "no hook fails"}
}

// stalled: attempts fail in a row, or something else keeps the module from being Ready, for too long.
func stalled(f Facts, ready Condition) Condition {
	long := func(since time.Time) bool {
		return !since.IsZero() && f.StalledAfter > 0 && f.Now.Sub(since) >= f.StalledAfter
	}
	c := Condition{Type: Stalled, Reason: "Progressing", Message: "nothing has lasted too long"}
	switch {
	case !f.PausedUntil.IsZero():
	case long(f.FailingSince):
		c.Status, c.Reason = true, f.Reason
		c.Message = fmt.Sprintf("failing since %s: %s", f.FailingSince.UTC().Format(time.RFC3339), f.Message)
	case long(f.UnreadySince) && !ready.Status:
		c.Status, c.Reason = true, ready.Reason
		c.Message = fmt.Sprintf("not Ready since %s: %s", f.UnreadySince.UTC().Format(time.RFC3339), ready.Message)
	}
	return c
}

// paused says until when, and what is going to be done then.
func paused(f Facts) Condition {
	c := Condition{Type: Paused, Status: true, Reason: ReasonPaused,
		Message: fmt.Sprintf("until %s nothing is applied, repaired or removed", f.PausedUntil.UTC().Format(time.RFC3339))}
	if f.Attempt == Waits && f.Reason == ReasonPaused {
		c.Message += "; " + f.Message
	}
	if f.PausedDrift != "" {
		c.Message += "; " + f.PausedDrift
	}
	return c
}

func list(lines []string) string {
	const most = 3
	if len(lines) > most {
		return fmt.Sprintf("%s; and %d more", strings.Join(lines[:most], "; "), len(lines)-most)
	}
	return strings.Join(lines, "; ")
}

func phase(f Facts, ready bool) Phase {
	switch {
	case f.Uninstalling:
		return Uninstalling
	case !f.On && !f.Installed && !(f.Undecided && f.Attempt == Waits):
		return Disabled
	case f.Attempt == Failed:
		return Failing
	case f.Attempt == Waits:
		return Waiting
	case f.Attempt == InProgress:
		return Running
	case f.Attempt == NotYet:
		return Pending
	case ready, f.On && healthy(f).Status: // what keeps it from Ready is an edit that is not in force
		return Deployed
	}
	return Verifying
}
