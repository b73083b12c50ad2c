package converge

import (
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// ApplySettings puts a new reading of the ConfigMap in force: sections that
// parse and validate, key by key. It wakes the modules whose own section changed,
// and the global pass when the global section or any enabled flag did (C-379).
func (l *Loop) ApplySettings(next settings.Settings) { l.applySettings(next, false) }

func (l *Loop) applySettings(next settings.Settings, first bool) {
	l.configured.mu.Lock()
	defer l.configured.mu.Unlock()
	before := l.configured.now
	l.configured.now = next
	if first {
		before = settings.Settings{}
	}
	problems := map[string][]string{}
	for _, p := range next.Problems {
		section := sectionOf(p.Key)
		problems[section] = append(problems[section], p.Message)
	}
	wakeGlobal := next.Exists != before.Exists || !sameFlags(next.Enabled, before.Enabled)
	moved, err := l.store.SetConfig(hook.Global, next.Sections["global"])
	wakeGlobal = wakeGlobal || moved
	if err != nil {
		problems["global"] = append(problems["global"], err.Error())
	}
	l.announce("", problems["global"])
	delete(problems, "global")
	for _, st := range l.byOrder {
		l.applySection(st, next, problems[st.desc.Key])
		delete(problems, st.desc.Key)
	}
	for section, messages := range problems {
		l.log.Warn("ConfigMap key concerns no module", "key", section, "problem", strings.Join(messages, "; "))
	}
	for key := range next.Sections {
		if key != "global" && l.modules[values.Name(key)] == nil {
			l.log.Warn("ConfigMap key names a module that is in no modules directory; it is ignored", "key", key)
		}
	}
	if wakeGlobal && !first {
		l.keys.add(globalKey, becauseInputs)
	}
}

func (l *Loop) applySection(st *moduleState, next settings.Settings, problems []string) {
	moved, err := l.store.SetConfig(st.unit.owner, next.Sections[st.desc.Key])
	if err != nil {
		problems = append(problems, err.Error())
	}
	text := strings.Join(problems, "; ")
	changed := false
	st.edit(func(st *moduleState) {
		changed = st.configProblem != text
		st.configProblem = text
		if moved {
			st.fuse.reset()
		}
	})
	if changed {
		l.announce(st.desc.Name, problems)
		l.keys.add(st.desc.Name, becauseHealth)
	}
	if moved {
		l.refresh(st)
	}
}

// announce tells of keys that cannot be used.
func (l *Loop) announce(module string, problems []string) {
	for _, p := range problems {
		l.log.Error("ConfigMap key is not used; its last valid value stays in force", "module", module, "problem", p)
		l.cfg.Ports.Reporter.Event(module, true, status.ReasonConfigInvalid, p)
	}
}

// sectionOf is the section key that a ConfigMap key belongs to.
func sectionOf(key string) string {
	for _, suffix := range []string{"Enabled", "Maintenance"} {
		if s, ok := strings.CutSuffix(key, suffix); ok && s != "" {
			return s
		}
	}
	return key
}

func sameFlags(a, b map[string]bool) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// newest is the newest reading of the ConfigMap.
func (c *configured) newest() settings.Settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}
