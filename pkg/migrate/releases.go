package migrate

import (
	"fmt"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// releases says of each what becomes of it.
func releases(f Facts) []Finding {
	var out []Finding
	for _, name := range f.Elsewhere {
		out = append(out, Finding{Change, fmt.Sprintf("release %s/%s", f.Namespace, name),
			"its records are in ConfigMaps (HELM_DRIVER=configmap), which are not read here",
			"move them to Secrets, or expect its module to be installed over its objects by a new release, then delete the old records"})
	}
	parsed := settings.Parse(f.Settings, nil, settings.Settings{})
	for _, r := range f.Releases {
		out = append(out, f.release(r, parsed))
	}
	return out
}

func (f Facts) release(r installed.Release, s settings.Settings) Finding {
	object := fmt.Sprintf("release %s/%s", f.Namespace, r.Name)
	takes := func(what string) Finding {
		return Finding{Takes, object, fmt.Sprintf("revision %d, %s: %s", r.Revision, r.Status, what), ""}
	}
	if r.Instance != "" {
		if r.Instance == f.instance() {
			return takes("is of this operator already")
		}
		return takes("is of another operator, " + r.Instance + ", and is left alone")
	}
	if f.Modules == nil {
		return takes("is taken over if there is a module of its name that is on, by one upgrade that changes its labels and what renders differently")
	}
	if f.Modules.Broken[r.Name] != nil {
		return takes("is left as it is until its module can be read")
	}
	m := byName(f.Modules, r.Name)
	switch {
	case m == nil:
		return Finding{Differs, object, fmt.Sprintf("revision %d, %s: is of no module in the directories; the predecessor removes it after its first converge (C-426), "+
			"here it is left alone", r.Revision, r.Status), "remove it with `helm uninstall` if nobody needs it"}
	case on(m, s):
		return takes(upgrade(r))
	case r.PredecessorChecksum != "":
		return Finding{Differs, object, fmt.Sprintf("revision %d, %s: its module is off by static values and the ConfigMap; unless a global hook switches it on, "+
			"it is uninstalled, as the predecessor does", r.Revision, r.Status), "set " + m.Key + `Enabled: "true" in the ConfigMap if it has to stay`}
	}
	return takes("was made by Helm and its module is off: it is left alone")
}

// upgrade says how a release of a module that is on is taken over.
func upgrade(r installed.Release) string {
	text := "taken over by one upgrade, for its records lack this operator's digests; objects whose text did not change are not touched, none is made anew"
	if r.Status.Pending() {
		text = "the action that was cut short is marked as failed and its history kept (C-437); then " + text
	}
	if r.PredecessorChecksum == "" {
		text = "made by Helm, not by the predecessor; " + text
	}
	return text
}

// on is the decision as far as it is known without running anything (C-335).
func on(m *module.Descriptor, s settings.Settings) bool {
	if v, ok := s.Enabled[m.Key]; ok {
		return v
	}
	return m.StaticEnabled != nil && *m.StaticEnabled
}

func byName(set *module.Set, name string) *module.Descriptor { return byKey(set, values.Key(name)) }
