package explain

import (
	"fmt"
	"slices"
	"strings"
)

// Plan is what a ConfigMap would do if it were applied, computed with the facts of
// now. Hooks are not run; what they would do about it is not in here.
type Plan struct {
	// Problems are keys that would not be used as written; their last valid value stays in force.
	Problems []KeyProblem `json:"problems,omitempty"`
	// Warnings are keys that would be ignored.
	Warnings []string `json:"warnings,omitempty"`
	// Global are the global values that would change.
	Global []Change `json:"global,omitempty"`
	// GlobalHooks run when global values or what is on changes.
	GlobalHooks []string `json:"globalHooks,omitempty"`
	// Modules are those that would be touched, by weight and name.
	Modules []ModulePlan `json:"modules,omitempty"`
	// Untouched counts the others.
	Untouched int `json:"untouched"`
	// Outcome is Nothing, Different or Invalid.
	Outcome string `json:"outcome"`
	// Diff: the text shows the objects' diffs.
	Diff bool `json:"-"`
}

// Outcomes of a Plan.
const (
	Nothing   = "nothing"
	Different = "changes"
	Invalid   = "invalid"
)

// KeyProblem is what is wrong with one key of the ConfigMap.
type KeyProblem struct {
	Key     string `json:"key"`
	Message string `json:"message"`
}

// Effects on a module.
const (
	Uninstall = "uninstall"
	Install   = "install"
	Upgrade   = "upgrade"
	// SameObjects: its values change, the objects of its chart do not.
	SameObjects = "same objects"
	// Fails: the pass would fail before Helm is called.
	Fails = "fails"
	// SettingOnly: only how it is treated changes, such as maintenance.
	SettingOnly = "setting"
	// SwitchOff: nothing of it is installed.
	SwitchOff = "off"
)

// ModulePlan is what would become of one module.
type ModulePlan struct {
	Name   string `json:"name"`
	Effect string `json:"effect"`
	On     bool   `json:"on"`
	WasOn  bool   `json:"wasOn"`
	// By and Why are of the decision.
	By  string `json:"by"`
	Why string `json:"why"`
	// Values are those of the module's section that change, Inputs those of global and
	// of other modules that it sees.
	Values []Change `json:"values,omitempty"`
	Inputs []Change `json:"inputs,omitempty"`
	// Objects are those of the chart that differ.
	Objects []ObjectDiff `json:"objects,omitempty"`
	// Hooks would run and see the changed values.
	Hooks []string `json:"hooks,omitempty"`
	Notes []string `json:"notes,omitempty"`
	// Error is why it would fail.
	Error string `json:"error,omitempty"`
}

// Finish derives the outcome.
func (p *Plan) Finish() {
	switch {
	case len(p.Problems) > 0:
		p.Outcome = Invalid
	case len(p.Global)+len(p.Modules) > 0:
		p.Outcome = Different
	default:
		p.Outcome = Nothing
	}
}

// Text is for people.
func (p Plan) Text() string {
	var b strings.Builder
	if len(p.Problems) > 0 {
		b.WriteString("INVALID: these keys would not be used; what they last held stays in force\n")
		for _, k := range p.Problems {
			fmt.Fprintf(&b, "  %s: %s\n", k.Key, indent(k.Message))
		}
		b.WriteString("\n")
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	p.uninstalls(&b)
	if len(p.Global) > 0 {
		b.WriteString("GLOBAL VALUES\n")
		writeChanges(&b, p.Global)
		writeHooks(&b, p.GlobalHooks)
		b.WriteString("\n")
	}
	for _, m := range p.Modules {
		m.text(&b, p.Diff)
	}
	p.end(&b)
	return b.String()
}

// uninstalls come first, for they are what nobody should overlook.
func (p Plan) uninstalls(b *strings.Builder) {
	var gone []string
	for _, m := range p.Modules {
		if m.Effect == Uninstall {
			gone = append(gone, fmt.Sprintf("  %s: %s, %s", m.Name, count(len(m.Objects), "object"), m.Why))
		}
	}
	if len(gone) > 0 {
		fmt.Fprintf(b, "UNINSTALLS %s in use:\n%s\n\n", count(len(gone), "module"), strings.Join(gone, "\n"))
	}
}

func (p Plan) end(b *strings.Builder) {
	if len(p.Modules)+len(p.Global) == 0 {
		b.WriteString("Nothing would change.\n")
		return
	}
	fmt.Fprintf(b, "Not touched: %s.\n", count(p.Untouched, "module"))
	if slices.ContainsFunc(p.Modules, func(m ModulePlan) bool { return len(m.Hooks) > 0 }) || len(p.GlobalHooks) > 0 {
		b.WriteString("Hooks were not run: those that are named may change more. Nothing was applied.\n")
		return
	}
	b.WriteString("Nothing was applied.\n")
}

func (m ModulePlan) text(b *strings.Builder, diff bool) {
	fmt.Fprintf(b, "%s: %s\n", m.Name, m.headline())
	if m.Error != "" {
		fmt.Fprintf(b, "  fails: %s\n", indent(m.Error))
	}
	writeChanges(b, m.Values)
	writeChanges(b, m.Inputs)
	for _, n := range m.Notes {
		fmt.Fprintf(b, "  %s\n", n)
	}
	switch {
	case diff:
		b.WriteString(Texts(m.Objects))
	case m.Effect == Upgrade:
		writeObjects(b, m.Objects)
	}
	writeHooks(b, m.Hooks)
	b.WriteString("\n")
}

func (m ModulePlan) headline() string {
	switch m.Effect {
	case Uninstall:
		return fmt.Sprintf("UNINSTALL, %s: %s", count(len(m.Objects), "object"), m.Why)
	case Install:
		return fmt.Sprintf("install, %s: %s", count(len(m.Objects), "object"), m.Why)
	case Upgrade:
		return "upgrade, objects: " + Tally(m.Objects)
	case SameObjects:
		return "no upgrade: its objects stay the same"
	case Fails:
		return "its pass would fail; what runs stays as it is"
	case SwitchOff:
		return "off; nothing of it is installed: " + m.Why
	}
	return "no upgrade"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// changesShown is how many lines of one kind a text has.
const changesShown = 40

func writeChanges(b *strings.Builder, list []Change) {
	for i, c := range list {
		if i == changesShown {
			fmt.Fprintf(b, "  and %d more\n", len(list)-i)
			return
		}
		fmt.Fprintf(b, "  %s\n", c)
	}
}

func writeObjects(b *strings.Builder, list []ObjectDiff) {
	for i, d := range list {
		if i == changesShown {
			fmt.Fprintf(b, "  and %d more objects\n", len(list)-i)
			return
		}
		fmt.Fprintf(b, "  %s\n", d.line())
	}
}

// line is one object: + is added, - removed, ~ changed.
func (d ObjectDiff) line() string {
	text := map[string]string{Added: "+ ", Removed: "- ", Changed: "~ "}[d.Kind] + d.Object
	if d.Kind == Changed {
		text += fmt.Sprintf("  +%d -%d", d.Plus, d.Minus)
	}
	if d.Note != "" {
		text += "  (" + d.Note + ")"
	}
	return text
}

func writeHooks(b *strings.Builder, hooks []string) {
	if len(hooks) > 0 {
		fmt.Fprintf(b, "  hooks that run with these values and may change more: %s\n", strings.Join(hooks, ", "))
	}
}

// ModuleDiff is what is rendered now against what is in the cluster.
type ModuleDiff struct {
	Module string `json:"module"`
	// Objects are those that differ.
	Objects []ObjectDiff `json:"objects,omitempty"`
	// Same counts the others.
	Same int `json:"same"`
}

// Text is the unified diffs; empty when nothing differs.
func (d ModuleDiff) Text() string { return Texts(d.Objects) }
