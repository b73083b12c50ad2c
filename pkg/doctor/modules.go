package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// modulesCRD is the CRD of Module.
const modulesCRD = "modules.addon-operator.io"

// ownCRDs: the operator's own CRDs are there, and not older than this program.
func ownCRDs(f Facts) []Finding {
	if f.unread("CustomResourceDefinitions") {
		return nil
	}
	var out []Finding
	for _, name := range slices.Sorted(maps.Keys(f.WantedCRDs)) {
		object := "CustomResourceDefinition " + name
		have, ok := f.OwnCRDs[name]
		if !ok {
			problem := "does not exist: it comes with release channels"
			if name == modulesCRD {
				problem = "does not exist: no module can show its state"
			}
			out = append(out, Finding{Error, object, problem, "the CRD that the operator applies when it starts",
				"start the operator; it needs the rights of deploy/rbac.yaml on customresourcedefinitions"})
			continue
		}
		if missing := lacking(schemaOf(f.WantedCRDs[name]), schemaOf(have), ""); len(missing) > 0 {
			out = append(out, Finding{Warning, object, "is older than this program: it has no " + strings.Join(missing, ", "), "the CRD of this version",
				"restart the operator, which applies it; if an older operator runs, update its image"})
		}
	}
	return out
}

// schemaOf is the schema of the first version of a CRD.
func schemaOf(crd map[string]any) map[string]any {
	spec, _ := crd["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	if len(versions) == 0 {
		return nil
	}
	version, _ := versions[0].(map[string]any)
	s, _ := version["schema"].(map[string]any)
	root, _ := s["openAPIV3Schema"].(map[string]any)
	return root
}

// lacking lists the properties that want has and have does not.
func lacking(want, have map[string]any, at string) []string {
	wantProps, _ := want["properties"].(map[string]any)
	haveProps, _ := have["properties"].(map[string]any)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(wantProps)) {
		path := strings.TrimPrefix(at+"."+name, ".")
		w, _ := wantProps[name].(map[string]any)
		h, ok := haveProps[name].(map[string]any)
		if !ok {
			out = append(out, path)
			continue
		}
		out = append(out, lacking(w, h, path)...)
		wantItems, _ := w["items"].(map[string]any)
		haveItems, _ := h["items"].(map[string]any)
		out = append(out, lacking(wantItems, haveItems, path)...)
	}
	return out
}

// modules: every one that is on is Ready, or on its way there.
func modules(f Facts) []Finding {
	var out []Finding
	for _, m := range f.Modules {
		out = append(out, f.moduleState(m)...)
	}
	return out
}

func (f Facts) moduleState(m Module) []Finding {
	cond := map[string]int{}
	for i, c := range m.Conditions {
		cond[c.Type] = i + 1
	}
	is := func(typ, value string) bool {
		i := cond[typ]
		return i > 0 && string(m.Conditions[i-1].Status) == value
	}
	var out []Finding
	said := map[string]bool{}
	add := func(typ string) {
		c := m.Conditions[cond[typ]-1]
		if said[c.Reason+c.Message] {
			return
		}
		said[c.Reason+c.Message] = true
		lasted := f.Now.Sub(c.LastTransitionTime.Time)
		problem := fmt.Sprintf("%s for %s: %s", cmp.Or(m.Phase, "in no phase"), f.age(c.LastTransitionTime.Time), join(c.Reason, c.Message))
		out = append(out, Finding{weigh(c.Reason, m.Phase, lasted), "Module " + m.Name, problem, expected(m), f.wayOut(c.Reason, m)})
	}
	if is(status.Ready, "False") && (m.Phase != string(status.Disabled) || m.Reason == status.ReasonModuleMissing) {
		add(status.Ready)
	}
	for _, typ := range []string{status.ConfigValid, status.HooksSucceeding} {
		if is(typ, "False") {
			add(typ)
		}
	}
	if is(status.Stalled, "True") && len(out) > 0 {
		out[0].Severity, out[0].Problem = Error, "stalled, "+out[0].Problem
	}
	if is(status.UpToDate, "False") && is(status.Ready, "True") { // otherwise something worse is said
		out = append(out, f.kept(m, m.Conditions[cond[status.UpToDate]-1])...)
	}
	return out
}

// kept is of a module that keeps its version for a reason that only a human can take away; what waits, or was undone, is told of
// its ModuleRelease.
func (f Facts) kept(m Module, c metav1.Condition) []Finding {
	way := map[string]string{
		"AmbiguousSource":   "set the key …Source: " + f.edit(),
		"SourceMissing":     "create the ModuleSource that is named, or change the key …Source: " + f.edit(),
		"NoDocument":        "see the conditions of the ModuleSource; set its spec.channel, or the key …Channel",
		"NotInChannel":      "promote the module, or follow another channel",
		"VersionNotOffered": "choose a version that is offered: " + f.edit(),
		"VersionInvalid":    "correct the key …Version: " + f.edit(),
		"Yanked":            "choose or promote another version; update.leaveYanked of the ModuleSource moves on by itself",
		"DowngradeIgnored":  "set the key …Version to exactly that version, if it is wanted: " + f.edit(),
		"NoUpgradePath":     "add the step that is missing to the channel (addon-operator channel promote --path)",
	}[c.Reason]
	if way == "" {
		return nil
	}
	return []Finding{{Warning, "Module " + m.Name, fmt.Sprintf("keeps version %s for %s: %s", m.Version, f.age(c.LastTransitionTime.Time), join(c.Reason, c.Message)),
		"the version that is offered", way}}
}

func expected(m Module) string {
	if m.Enabled {
		return "Ready"
	}
	return "nothing left of it"
}

// weigh says how bad a reason is: failures at once, waits when they last.
func weigh(reason, phase string, lasted time.Duration) Severity {
	switch reason {
	case status.ReasonPaused, status.ReasonMaintenance: // somebody wants it so
		return Note
	case status.ReasonPending, status.ReasonRunning, status.ReasonWaitingForModule, status.ReasonWaitingForObjects, status.ReasonCheckPending, status.ReasonUninstalling:
		if lasted < slow {
			return Note
		}
		return Warning
	}
	if phase == string(status.Deployed) {
		return Warning
	}
	return Error
}

// wayOut is what to do about a module that is not Ready for a reason of package status.
func (f Facts) wayOut(reason string, m Module) string {
	describe := "kubectl describe module " + m.Name
	objects := fmt.Sprintf("kubectl -n %s get events, and describe the objects that the message names", cmp.Or(m.Namespace, f.Namespace))
	switch reason {
	case status.ReasonHookFailed:
		return "run the hook by itself with `addon-operator hook run` (docs/hook-tools.md), correct it or what it asks for; it is tried again by itself"
	case status.ReasonHookHangs:
		return "see what the hook waits for; give it settings.timeout, or let it fail (docs/hooks.md)"
	case status.ReasonScriptFailed:
		return "run the module's `enabled` script by hand and correct it; the last decision stands meanwhile"
	case status.ReasonScriptHangs:
		return "run the module's `enabled` script by hand and see what it waits for; the last decision stands until it ends"
	case status.ReasonValuesInvalid:
		return "correct the values that the message names: `addon-operator module explain " + m.Name + "` says who set them"
	case status.ReasonConfigInvalid:
		return "correct the module's keys: " + f.edit() + "; what was valid last stays in force"
	case status.ReasonConfigMissing:
		return "put " + f.settingsName() + " back; nothing is changed until it is there"
	case status.ReasonCRDFailed:
		return "correct the CRD that the message names; what the API server refused is in it"
	case status.ReasonRenderFailed:
		return "correct the template or value that the message names: `addon-operator module render " + m.Name + "` renders it again"
	case status.ReasonModuleInvalid:
		return "correct the module's directory as the message says; what was read last stays in force"
	case status.ReasonRolledBack:
		return "the last upgrade failed and was taken back: correct what the message names; a change of values or chart tries again"
	case status.ReasonApplyFailed, status.ReasonUninstallFailed:
		return "correct what the API server refused: rights (deploy/README.md), an admission policy, an immutable field, an object of somebody else; it is tried again by itself"
	case status.ReasonRequirement:
		return "switch the required module on, or update it: " + f.edit()
	case status.ReasonWaitingForModule:
		return "the module it waits for has to come first: kubectl describe that one"
	case status.ReasonWaitingForGlobal:
		return "the global hook that the message names has to succeed: see the operator's log, and `addon-operator hook run` (docs/hook-tools.md)"
	case status.ReasonWaitingForObjects, status.ReasonObjectFailed, "NotInstalled":
		return objects
	case status.ReasonCheckFailed, status.ReasonCheckPending:
		return "the health check that the message names (module.yaml, health) has to hold: ask its URL or run its file by hand; docs/health-and-drift.md"
	case status.ReasonContested:
		return "somebody else changes these objects back: take them out of the other tool, or out of the module; if it is a controller, ignore the field (docs/modules.md, drift)"
	case status.ReasonOscillating:
		return "find the hook that writes something new at every run, such as the time, or two hooks that undo each other"
	case status.ReasonUninstalling:
		return "the objects that the message names hold it up: remove their finalizers when whoever set them is gone"
	case status.ReasonModuleMissing:
		if f.sourced(m.Name) {
			return "bring the registry of its ModuleSource back, or another with the same artifacts; nothing is removed (docs/lost-registry.md)"
		}
		return "bring the module's directory back, or remove the release: helm -n " + f.Namespace + " uninstall " + m.Name
	case status.ReasonTerminating:
		return "the namespace has to be gone first: what holds it up is said of the namespace itself"
	case status.ReasonPaused, status.ReasonMaintenance:
		return "somebody wants it so: " + f.edit() + " and remove the module's PausedUntil or Maintenance key to go on"
	case status.ReasonPending, status.ReasonRunning:
		return "wait; if it lasts, see `addon-operator queue list` and the operator's log"
	}
	return describe
}

// sourced says that a module is, or was, installed from a ModuleSource.
func (f Facts) sourced(module string) bool {
	return slices.ContainsFunc(f.Offered, func(o Offered) bool { return o.Module == module && o.Phase == string(source.Deployed) })
}

// releases: each is deployed, of a module that is known, and has room to grow.
func releases(f Facts) []Finding {
	var out []Finding
	for _, r := range f.Releases {
		if r.Instance == f.instance() || r.Instance == "" && r.PredecessorChecksum != "" {
			out = append(out, f.release(r)...)
		}
	}
	return out
}

func (f Facts) release(r Release) []Finding {
	object := fmt.Sprintf("release %s/%s revision %d", f.Namespace, r.Name, r.Revision)
	lasted := f.Now.Sub(r.Updated)
	var out []Finding
	switch {
	case r.Status.Pending() || r.Status == installed.Uninstalling:
		severity := Note
		if lasted > slow {
			severity = Error
		}
		out = append(out, Finding{severity, object, fmt.Sprintf("is %s for %s: an action under way, or one whose process died", r.Status, f.age(r.Updated)), "deployed",
			"a running operator finishes it by itself: see why none does, or what `kubectl describe module " + r.Name + "` says"})
	case r.Status == installed.Failed:
		out = append(out, Finding{Error, object, "has failed", "deployed",
			"kubectl describe module " + r.Name + " says why; it is tried again by itself once that is corrected"})
	}
	if r.Bytes >= nearly {
		out = append(out, Finding{Warning, object, fmt.Sprintf("takes %d KiB of the %d KiB that a Secret may hold: an upgrade to a larger chart fails", r.Bytes>>10, mostBytes>>10),
			"room to grow", "make chart or values smaller, or split the module: large files belong into an image or a ConfigMap of their own"})
	}
	if _, ok := f.module(r.Name); !ok && r.Instance == f.instance() && f.OwnCRDs[modulesCRD] != nil && !f.unread("Module resources") {
		out = append(out, Finding{Error, object, "is of no module that the operator shows", "a module of that name in a modules directory",
			"bring the module's directory back, or remove the release: helm -n " + f.Namespace + " uninstall " + r.Name})
	}
	return out
}
