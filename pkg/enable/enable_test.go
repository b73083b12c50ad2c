package enable

import (
	"errors"
	"strings"
	"testing"
)

// C-335: static < dynamic < ConfigMap, then the script's veto; and silence never turns a module off.
func TestDecide(t *testing.T) {
	on, off := true, false
	says := func(ok bool, err error) func() (bool, string, error) {
		return func() (bool, string, error) { return ok, "no nodes", err }
	}
	for name, c := range map[string]struct {
		in   Input
		on   bool
		held bool
		why  string
	}{
		"nothing is off":                               {Input{}, false, false, "off by default"},
		"static turns on":                              {Input{Static: &on}, true, false, "on by values.yaml"},
		"dynamic wins over static":                     {Input{Static: &on, Dynamic: &off, DynamicBy: "h"}, false, false, "off by global hook h"},
		"dynamic turns on":                             {Input{Dynamic: &on, DynamicBy: "h"}, true, false, "on by global hook h"},
		"the ConfigMap wins over dynamic":              {Input{Dynamic: &off, Config: &on}, true, false, "on by the ConfigMap"},
		"the ConfigMap turns off":                      {Input{Static: &on, Dynamic: &on, Config: &off}, false, false, "off by the ConfigMap"},
		"a script vetoes":                              {Input{Config: &on, Script: says(false, nil)}, false, false, "off by the enabled script: no nodes"},
		"a script agrees":                              {Input{Config: &on, Script: says(true, nil)}, true, false, "on by the ConfigMap"},
		"a script enables nothing":                     {Input{Config: &off, Script: says(true, nil)}, false, false, "off by the ConfigMap"},
		"a failing script keeps on":                    {Input{Static: &on, Last: &on, Script: says(false, errors.New("x"))}, true, true, "last decision (on) stands"},
		"a failing script keeps off":                   {Input{Static: &on, Last: &off, Script: says(true, errors.New("x"))}, false, true, "last decision (off) stands"},
		"a failing script that never spoke is off":     {Input{Static: &on, Script: says(true, errors.New("x"))}, false, true, "last decision (off) stands"},
		"without a ConfigMap the last decision holds":  {Input{Static: &off, ConfigMissing: true, Last: &on}, true, true, "cannot be read"},
		"without a ConfigMap off stays off":            {Input{Static: &on, ConfigMissing: true, Last: &off}, false, true, "cannot be read"},
		"without a ConfigMap and a past, flags count":  {Input{Static: &on, ConfigMissing: true}, true, false, "values.yaml"},
		"a flag that can be read counts":               {Input{Config: &off, ConfigMissing: true, Last: &on}, false, false, "off by the ConfigMap"},
		"a hook that has not spoken turns nothing off": {Input{Dynamic: &off, DynamicProvisional: true, Last: &on, DynamicBy: "h"}, true, true, "has not spoken"},
		"a hook that has not spoken keeps on":          {Input{Dynamic: &on, DynamicProvisional: true, Last: &on, DynamicBy: "h"}, true, false, "on by global hook h"},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decide(c.in)
			if d.On != c.on || d.Held != c.held || !strings.Contains(d.Why, c.why) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

// C-335: every voice is told with its opinion, and one of them decided.
func TestVoices(t *testing.T) {
	on, off := true, false
	veto := func() (bool, string, error) { return false, "no nodes", nil }
	for name, c := range map[string]struct {
		d    Decision
		by   string
		want string
	}{
		"silence":               {Decide(Input{}), ByDefault, "values.yaml nothing, global hooks nothing, ConfigMap nothing"},
		"the ConfigMap decides": {Decide(Input{Static: &on, Dynamic: &on, DynamicBy: "h", Config: &off}), ByConfig, "values.yaml on, global hook h on, ConfigMap off"},
		"the script vetoes":     {Decide(Input{Static: &on, Script: veto}), ByScript, "values.yaml on, global hooks nothing, ConfigMap nothing, enabled script vetoes"},
		"a script is not asked": {Decide(Input{Static: &off, Script: veto}), ByStatic, "values.yaml off, global hooks nothing, ConfigMap nothing, enabled script not asked"},
		"a decision is held":    {Decide(Input{ConfigMissing: true, Last: &on}), ByLast, "values.yaml nothing, global hooks nothing, ConfigMap nothing"},
		"the user's off acts":   {ByUser(Decide(Input{Static: &on, Script: func() (bool, string, error) { return true, "", nil }}).Voices), ByConfig, "values.yaml on, global hooks nothing, ConfigMap off, enabled script not asked"},
		"the user's first off":  {ByUser(nil), ByConfig, "ConfigMap off"},
	} {
		t.Run(name, func(t *testing.T) {
			var said []string
			for _, v := range c.d.Voices {
				said = append(said, v.Who+" "+v.Says)
			}
			if got := strings.Join(said, ", "); c.d.By != c.by || got != c.want {
				t.Errorf("by %s: %s", c.d.By, got)
			}
		})
	}
}
