package explain

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Module is everything that `module explain` says about one module.
type Module struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Namespace string `json:"namespace"`
	Weight    int    `json:"weight"`
	// Revision is that of the Helm release, 0 without one.
	Revision int `json:"revision"`
	// State is the phase, Reason and Message those of condition Ready.
	State   string `json:"state"`
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Problems are the conditions that are not as they should be, Ready aside.
	Problems []Problem `json:"problems,omitempty"`
	// From is where the version in force comes from, nil when it lies on disk and nothing else is offered.
	From     *From    `json:"from,omitempty"`
	Decision Decision `json:"decision"`
	// WaitsFor is a chain: the module waits for the first, which waits for the next.
	WaitsFor []Wait `json:"waitsFor,omitempty"`
	// Values are those of the module's section, paths beginning with its key.
	Values []Origin `json:"values"`
	Reads  Reads    `json:"reads"`
	// LastPass is the newest one that changed something or failed, nil when none has in this process.
	LastPass *Pass `json:"lastPass,omitempty"`
	// Checked is when a pass last ended; zero before the first.
	Checked time.Time `json:"checked,omitzero"`
	Failure *Failure  `json:"failure,omitempty"`
	// Asked is when all this was so.
	Asked time.Time `json:"asked"`
}

// From is the source and channel of a module's version, and another one that is offered and why it does not run.
type From struct {
	Source    string `json:"source,omitempty"`
	Channel   string `json:"channel,omitempty"`
	Available string `json:"available,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
}

// line says it in one or two lines.
func (f *From) line() string {
	var b strings.Builder
	if f.Source != "" {
		fmt.Fprintf(&b, "  from channel %s of ModuleSource %s\n", f.Channel, f.Source)
	}
	switch {
	case f.Available != "" && f.Reason != "":
		fmt.Fprintf(&b, "  version %s is offered and does not run: %s: %s\n", f.Available, f.Reason, f.Message)
	case f.Available != "":
		fmt.Fprintf(&b, "  version %s is offered\n", f.Available)
	case f.Reason != "":
		fmt.Fprintf(&b, "  %s: %s\n", f.Reason, f.Message)
	}
	return b.String()
}

// Problem is a condition that keeps the module from Ready.
type Problem struct {
	Condition string `json:"condition"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
}

// Decision says whether the module is on, and who decided (C-335).
type Decision struct {
	On  bool   `json:"on"`
	By  string `json:"by"`
	Why string `json:"why"`
	// Voices are all that were asked, from the weakest to the strongest.
	Voices []Opinion `json:"voices"`
}

// Opinion is what one voice said.
type Opinion struct {
	Who  string `json:"who"`
	Says string `json:"says"`
	Why  string `json:"why,omitempty"`
	// Decided: this one settled it.
	Decided bool `json:"decided,omitempty"`
}

// Wait is one link of the chain of waits.
type Wait struct {
	// Module waits; For is the module it waits for, "" when it is something else.
	Module string `json:"module"`
	For    string `json:"for,omitempty"`
	Why    string `json:"why"`
}

// Reads are the inputs of the module beside its own section.
type Reads struct {
	// All: module.yaml has no `inputs`, and any change of global is one for the module.
	All bool `json:"all"`
	// Inputs are the declared paths of global.
	Inputs []string `json:"inputs,omitempty"`
	// Values are those of these paths, and what other modules export to this one.
	Values []Origin `json:"values,omitempty"`
}

// Pass is what a pass of a module did.
type Pass struct {
	Time time.Time     `json:"time"`
	Took time.Duration `json:"-"`
	// Seconds is Took.
	Seconds float64 `json:"seconds"`
	// Why the pass ran: Inputs, Retry, Drift, Verify or Health.
	Why string `json:"why"`
	// Changed are the values that moved since the last pass that succeeded; More is how many are left out.
	Changed []Change `json:"changed,omitempty"`
	More    int      `json:"more,omitempty"`
	// Other are other inputs that moved, one sentence each: the artifact, capabilities of the cluster.
	Other []string `json:"other,omitempty"`
	// Action is what was done: "Upgrade to revision 3: the rendered objects changed", or why nothing was.
	Action string `json:"action"`
	// Error is why it failed; empty when it did not.
	Error string `json:"error,omitempty"`
	Steps []Took `json:"steps,omitempty"`
}

// Took is how long one step lasted.
type Took struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
}

// Failure is an unbroken row of failed attempts.
type Failure struct {
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
	NextTry time.Time `json:"nextTry,omitzero"`
}

// Text is for people.
func (m Module) Text() string {
	now := m.Asked
	var b strings.Builder
	m.head(&b)
	m.decision(&b)
	m.failure(&b, now)
	m.pass(&b, now)
	if len(m.Values) > 0 {
		b.WriteString("\nVALUES AND WHO SET THEM\n")
		writeOrigins(&b, m.Values)
	}
	m.reads(&b)
	return trimmed(b.String())
}

// trimmed takes away the spaces that fill columns at the ends of lines.
func trimmed(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

func (m Module) head(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s is %s", m.Name, m.Version, m.State)
	if m.Revision > 0 {
		fmt.Fprintf(b, ", revision %d in namespace %s", m.Revision, m.Namespace)
	}
	switch {
	case m.Ready:
		fmt.Fprintf(b, "\n  Ready: %s\n", m.Message)
		if m.From != nil {
			b.WriteString(m.From.line())
		}
		return
	case !m.Decision.On && m.Message == m.Decision.Why: // that is said below
		b.WriteString("\n")
		return
	}
	fmt.Fprintf(b, "\n  not Ready: %s: %s\n", m.Reason, m.Message)
	if m.From != nil {
		b.WriteString(m.From.line())
	}
	for _, p := range m.Problems {
		if p.Message != m.Message {
			fmt.Fprintf(b, "  %s: %s: %s\n", p.Condition, p.Reason, p.Message)
		}
	}
	for _, w := range m.WaitsFor {
		fmt.Fprintf(b, "  %s waits: %s\n", w.Module, w.Why)
	}
}

func (m Module) decision(b *strings.Builder) {
	state := "OFF"
	if m.Decision.On {
		state = "ON"
	}
	fmt.Fprintf(b, "\n%s: %s\n", state, m.Decision.Why)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, v := range m.Decision.Voices {
		mark, why := " ", v.Why
		if v.Decided {
			mark = "*"
		}
		fmt.Fprintf(w, "  %s %s\t%s\t%s\n", mark, v.Who, v.Says, why)
	}
	_ = w.Flush() // into memory
}

func (m Module) failure(b *strings.Builder, now time.Time) {
	if m.Failure == nil {
		return
	}
	fmt.Fprintf(b, "\nFAILING for %s: %s\n", age(now, m.Failure.Since), indent(m.Failure.Message))
	if !m.Failure.NextTry.IsZero() {
		fmt.Fprintf(b, "  next try in %s, or at once when an input changes\n", age(m.Failure.NextTry, now))
	}
}

func (m Module) pass(b *strings.Builder, now time.Time) {
	p := m.LastPass
	if p == nil {
		if !m.Checked.IsZero() {
			fmt.Fprintf(b, "\nLAST PASS %s ago: nothing had to be changed since the operator started\n", age(now, m.Checked))
		}
		return
	}
	fmt.Fprintf(b, "\nLAST CHANGE %s ago, within %.2f s: %s\n", age(now, p.Time), p.Seconds, p.Action)
	if p.Error != "" {
		fmt.Fprintf(b, "  failed: %s\n", indent(p.Error))
	}
	for _, c := range p.Changed {
		fmt.Fprintf(b, "  %s\n", c)
	}
	if p.More > 0 {
		fmt.Fprintf(b, "  and %d more values\n", p.More)
	}
	for _, o := range p.Other {
		fmt.Fprintf(b, "  %s\n", o)
	}
	var steps []string
	for _, s := range p.Steps {
		if s.Seconds < leastShown {
			continue
		}
		steps = append(steps, fmt.Sprintf("%s %.2f s", s.Step, s.Seconds))
	}
	if len(steps) > 0 {
		fmt.Fprintf(b, "  steps: %s\n", strings.Join(steps, ", "))
	}
	if m.Checked.After(p.Time) {
		fmt.Fprintf(b, "  looked at again %s ago; there was nothing to do\n", age(now, m.Checked))
	}
}

func (m Module) reads(b *strings.Builder) {
	switch {
	case m.Reads.All:
		b.WriteString("\nREADS all of global, for its module.yaml has no `inputs`; `addon-operator global values` shows it\n")
	case len(m.Reads.Inputs) == 0:
		b.WriteString("\nREADS nothing of global\n")
	default:
		fmt.Fprintf(b, "\nREADS %s\n", strings.Join(m.Reads.Inputs, ", "))
	}
	writeOrigins(b, m.Reads.Values)
}

// leastShown is how many seconds a step has to last to be shown in a text.
const leastShown = 0.005

// overShown is how many replaced voices a line of text shows.
const overShown = 2

// writeOrigins writes a table: path, value, who set it and over what.
func writeOrigins(out io.Writer, list []Origin) {
	if len(list) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, o := range list {
		from := o.From
		for i, v := range o.Over {
			if i == overShown {
				from += ", …"
				break
			}
			if v.Removed {
				from += ", over its removal by " + v.From
			} else {
				from += fmt.Sprintf(", over %s of %s", Brief(v.Value), v.From)
			}
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", o.Path, Brief(o.Value), from)
	}
	_ = w.Flush() // into memory, or to a client that went away
}

func indent(text string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

// age is a time span as people say it.
func age(now, then time.Time) string {
	d := max(0, now.Sub(then))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
