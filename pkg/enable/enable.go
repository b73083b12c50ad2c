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
	// Why is one sentence that names who decided.
	Why string
	// Held is set when the last decision stands because a voice is missing or failed.
	Held bool
	// Err is the script's failure, if any.
	Err error
}

// policy is one voice. It returns false when it has nothing to say.
type policy func(Input) (Decision, bool)

// chain is asked from the strongest voice to the weakest.
var chain = []policy{hold, config, dynamic, static}

// Decide asks every voice in turn and lets the script veto.
func Decide(in Input) Decision {
	d := Decision{Why: "off by default: no flag is set; set " + "`<module>Enabled: \"true\"` in the ConfigMap to turn it on"}
	for _, p := range chain {
		if found, ok := p(in); ok {
			d = found
			break
		}
	}
	if !d.On || d.Held || in.Script == nil {
		return d
	}
	on, reason, err := in.Script()
	switch {
	case err != nil:
		last := in.Last != nil && *in.Last
		return Decision{On: last, Held: true, Err: err, Why: fmt.Sprintf("the enabled script failed; the last decision (%s) stands", word(last))}
	case !on:
		return Decision{Why: "off by the enabled script" + because(reason)}
	}
	return d
}

func hold(in Input) (Decision, bool) {
	if !in.ConfigMissing || in.Config != nil || in.Last == nil {
		return Decision{}, false
	}
	return Decision{On: *in.Last, Held: true, Why: fmt.Sprintf("its settings cannot be read; the last decision (%s) stands", word(*in.Last))}, true
}

func config(in Input) (Decision, bool) {
	return flag(in.Config, "the ConfigMap")
}

// dynamic never turns a module off by what a hook said in an earlier process.
func dynamic(in Input) (Decision, bool) {
	if in.DynamicProvisional && in.Dynamic != nil && !*in.Dynamic && in.Last != nil && *in.Last {
		return Decision{On: true, Held: true, Why: fmt.Sprintf("global hook %s has not spoken yet; the last decision (on) stands", in.DynamicBy)}, true
	}
	return flag(in.Dynamic, "global hook "+in.DynamicBy)
}

func static(in Input) (Decision, bool) {
	return flag(in.Static, "values.yaml of the modules directory")
}

func flag(f *bool, who string) (Decision, bool) {
	if f == nil {
		return Decision{}, false
	}
	return Decision{On: *f, Why: word(*f) + " by " + who}, true
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
