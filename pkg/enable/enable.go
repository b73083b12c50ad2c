// Package enable decides whether a module is on (C-335), and says who decided.
//
// Later voices win over earlier ones; the enabled script may only take away:
//
//	static flag  <  dynamic flag of a global hook  <  ConfigMap  ;  script veto
//
// Nothing is removed because something is missing: where a voice that spoke
// before is silent, the last decision stands.
package enable

import "fmt"

// Input is what is known of one module when its decision is due.
type Input struct {
	Module string
	// Static, Dynamic and Config are the flags of C-335; nil when not set.
	Static, Dynamic, Config *bool
	// DynamicBy is the hook that set Dynamic.
	DynamicBy string
	// DynamicProvisional: it did so in an earlier process and has not spoken in this one.
	DynamicProvisional bool
	// ConfigMissing: there is no ConfigMap although releases of ours exist, or the
	// module's own flag cannot be read.
	ConfigMissing bool
	// Last is the decision before, nil when there never was one.
	Last *bool
	// Script runs the enabled script; nil without one.
	Script func() (on bool, reason string, err error)
}

// Decision is the outcome for one module.
type Decision struct {
	On bool
	// By is who decided: ByConfig, ByStatic, ByScript, ByDefault, ByLast, or "global hook " and its name.
	By string
	// Why is one sentence that names who decided.
	Why string
	// Held is set when the last decision stands because a voice is missing or failed.
	Held bool
	// Err is the script's failure, if any.
	Err error
	// Voices are all that could have decided, from the weakest to the strongest.
	Voices []Voice
}

// Who decides.
const (
	ByStatic  = "values.yaml"
	ByConfig  = "ConfigMap"
	ByScript  = "enabled script"
	ByDefault = "default"
	// ByLast: the last decision stands, for a voice is missing.
	ByLast  = "last decision"
	byHooks = "global hooks"
	byHook  = "global hook "
)

// Voice is one of those that C-335 asks, and what it says.
type Voice struct {
	Who string
	// Says is on, off, nothing, or for the script allows, vetoes, failed or not asked.
	Says string
	// Why is the rest of the sentence; may be empty.
	Why string
}

// policy is one voice. It returns false when it has nothing to say.
type policy func(Input) (Decision, bool)

// chain is asked from the strongest voice to the weakest.
var chain = []policy{hold, config, dynamic, static}

// Decide asks every voice in turn and lets the script veto.
func Decide(in Input) Decision {
	d := Decision{By: ByDefault, Why: "off by default: no flag is set; set " + "`<module>Enabled: \"true\"` in the ConfigMap to turn it on"}
	for _, p := range chain {
		if found, ok := p(in); ok {
			d = found
			break
		}
	}
	d.Voices = flags(in)
	if in.Script == nil {
		return d
	}
	if !d.On || d.Held {
		d.Voices = append(d.Voices, Voice{Who: ByScript, Says: "not asked", Why: "it may only keep off what is on"})
		return d
	}
	return veto(in, d)
}

// veto asks the script about a module that the flags switch on.
func veto(in Input, d Decision) Decision {
	on, reason, err := in.Script()
	said := Voice{Who: ByScript, Says: "allows", Why: reason}
	switch {
	case err != nil:
		last := in.Last != nil && *in.Last
		said.Says, said.Why = "failed", err.Error()
		d = Decision{On: last, By: ByLast, Held: true, Err: err, Voices: d.Voices,
			Why: fmt.Sprintf("the enabled script gave no answer; the last decision (%s) stands", word(last))}
	case !on:
		said.Says = "vetoes"
		d = Decision{By: ByScript, Why: "off by the enabled script" + because(reason), Voices: d.Voices}
	}
	d.Voices = append(d.Voices, said)
	return d
}

// ByUser is the decision when the user's explicit off acts before the others are asked.
func ByUser(before []Voice) Decision {
	off := Voice{Who: ByConfig, Says: word(false)}
	d := Decision{By: ByConfig, Why: "off by the ConfigMap"}
	for _, v := range before {
		switch v.Who {
		case ByConfig:
			v = off
		case ByScript:
			v = Voice{Who: ByScript, Says: "not asked", Why: "it may only keep off what is on"}
		}
		d.Voices = append(d.Voices, v)
	}
	if d.Voices == nil {
		d.Voices = []Voice{off}
	}
	return d
}

// flags are the three voices that set a flag, the weakest first (C-335).
func flags(in Input) []Voice {
	static, dynamic, config := opinion(ByStatic, in.Static), opinion(byHooks, in.Dynamic), opinion(ByConfig, in.Config)
	if in.Dynamic != nil {
		dynamic.Who = byHook + in.DynamicBy
		if in.DynamicProvisional {
			dynamic.Why = "in an earlier process; it has not spoken in this one"
		}
	}
	if in.ConfigMissing && in.Config == nil {
		config.Says, config.Why = "nothing", "its settings cannot be read"
	}
	return []Voice{static, dynamic, config}
}

func opinion(who string, f *bool) Voice {
	if f == nil {
		return Voice{Who: who, Says: "nothing"}
	}
	return Voice{Who: who, Says: word(*f)}
}

func hold(in Input) (Decision, bool) {
	if !in.ConfigMissing || in.Config != nil || in.Last == nil {
		return Decision{}, false
	}
	return Decision{On: *in.Last, By: ByLast, Held: true, Why: fmt.Sprintf("its settings cannot be read; the last decision (%s) stands", word(*in.Last))}, true
}

func config(in Input) (Decision, bool) {
	return flag(in.Config, ByConfig, "the ConfigMap")
}

// dynamic never turns a module off by what a hook said in an earlier process.
func dynamic(in Input) (Decision, bool) {
	if in.DynamicProvisional && in.Dynamic != nil && !*in.Dynamic && in.Last != nil && *in.Last {
		return Decision{On: true, By: ByLast, Held: true, Why: fmt.Sprintf("global hook %s has not spoken yet; the last decision (on) stands", in.DynamicBy)}, true
	}
	return flag(in.Dynamic, byHook+in.DynamicBy, byHook+in.DynamicBy)
}

func static(in Input) (Decision, bool) {
	return flag(in.Static, ByStatic, "values.yaml of the modules directory")
}

func flag(f *bool, by, who string) (Decision, bool) {
	if f == nil {
		return Decision{}, false
	}
	return Decision{On: *f, By: by, Why: word(*f) + " by " + who}, true
}

func word(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
