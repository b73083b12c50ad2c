package converge

import (
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// ApplySettings puts a new reading of the ConfigMap in force: sections that
// parse and validate, key by key. It wakes the modules whose own section changed,
// and the global pass when the global section or any enabled flag did (C-379).
func (l *Loop) ApplySettings(next settings.Settings) {
	l.configured.mu.Lock()
	flags := !sameFlags(next.Enabled, l.configured.now.Enabled)
	l.applySettings(next)
	l.configured.mu.Unlock()
	if flags {
		l.explicitlyOff()
	}
}

// applyFirst puts in force what was read at start, unless something newer came in before.
func (l *Loop) applyFirst(first settings.Settings) {
	l.configured.mu.Lock()
	defer l.configured.mu.Unlock()
	if !l.configured.read {
		l.applySettings(first)
	}
}

// applySettings is called with the lock of configured held: readings come into force one after another.
func (l *Loop) applySettings(next settings.Settings) {
	before := l.configured.now
	if l.missed(next) {
		next = l.keep(before, next)
	}
	l.configured.now, l.configured.read = next, true
	if next.Exists && !l.configSeen.Swap(true) {
		l.facts.touch()
	}
	problems := problemsBySection(next)
	wakeGlobal := next.Exists != before.Exists || !sameFlags(next.Enabled, before.Enabled)
	globalEdited, err := l.setConfig(hook.Global, next)
	if err != nil {
		problems["global"] = append(problems["global"], err.Error())
	}
	mended := l.configured.noteGlobal(problems["global"])
	wakeGlobal = wakeGlobal || globalEdited || mended
	l.announce("", problems["global"])
	l.showGlobal(strings.Join(problems["global"], "; "))
	delete(problems, "global")
	for _, st := range l.all() {
		l.applySection(st, next, problems[st.desc().Key], globalEdited)
		delete(problems, st.desc().Key)
	}
	for section, messages := range problems {
		l.log.Warn("ConfigMap key concerns no module", "key", section, "problem", strings.Join(messages, "; "))
	}
	l.tellUnknown(before, next)
	if wakeGlobal {
		l.convergence.begin(causeConfig)
		l.keys.add(globalKey, becauseInputs)
	}
}

func problemsBySection(s settings.Settings) map[string][]string {
	problems := map[string][]string{}
	for _, p := range s.Problems {
		section := settings.SectionOf(p.Key)
		message := p.Message
		if s.Exists {
			message = p.Key + ": " + message
		}
		problems[section] = append(problems[section], message)
	}
	return problems
}

// judgeAnew looks at a module's part of the ConfigMap again: its schema is another one.
func (l *Loop) judgeAnew(st *moduleState) {
	l.configured.mu.Lock()
	defer l.configured.mu.Unlock()
	if l.configured.read {
		l.applySection(st, l.configured.now, problemsBySection(l.configured.now)[st.desc().Key], false)
	}
}

// tellUnknown names keys of modules that are in no directory, when they are new.
func (l *Loop) tellUnknown(before, next settings.Settings) {
	known := l.unknown(before)
	for _, key := range l.unknown(next) {
		if !slices.Contains(known, key) {
			message := "key " + key + " names a module that is in no modules directory and was fetched from no ModuleSource yet; until then it is ignored: if it stays so, correct its spelling or remove it"
			l.log.Warn("ConfigMap "+message, "key", key)
			l.cfg.Ports.Reporter.Event("", true, "UnknownKey", message)
		}
	}
}

// keep is the reading to go on with while the ConfigMap is missed: the settings read
// last, and a problem for every module. A module that has read none waits.
func (l *Loop) keep(before, next settings.Settings) settings.Settings {
	next.Sections, next.Enabled, next.Maintenance = before.Sections, before.Enabled, before.Maintenance
	next.PausedUntil, next.Choices = before.PausedUntil, before.Choices
	next.ValuesFrom, next.Sourced, next.Unusable = before.ValuesFrom, before.Sourced, before.Unusable
	message := "there is no ConfigMap " + l.cfg.Instance + "; what was read from it last stays in force until it is back"
	for _, st := range l.all() {
		next.Problems = append(next.Problems, settings.Problem{Key: st.desc().Key, Message: message})
	}
	return next
}

// unknown are the keys of modules that are in no directory, sorted.
func (l *Loop) unknown(s settings.Settings) []string {
	var out []string
	for key := range s.Sections {
		if key != hook.Global.Section() && l.state(values.Name(key)) == nil {
			out = append(out, key)
		}
	}
	for key := range s.Enabled {
		if l.state(values.Name(key)) == nil {
			out = append(out, key+hook.EnabledSuffix)
		}
	}
	for key := range s.PausedUntil {
		if l.state(values.Name(key)) == nil {
			out = append(out, key+"PausedUntil")
		}
	}
	slices.Sort(out)
	return out
}

// setConfig puts a section in force and reports whether what the user wrote there
// moved, be it to a value that was the default already (C-378).
func (l *Loop) setConfig(o hook.Owner, next settings.Settings) (edited bool, err error) {
	before := l.store.Section(o)
	key := o.Section()
	_, err = l.store.SetConfigHiding(o, l.configured.section(key, next), next.FromSecrets(key), next.Revision)
	now := l.store.Section(o)
	return before.HasConfig != now.HasConfig || before.ConfigValues.Digest() != now.ConfigValues.Digest(), err
}

func (l *Loop) applySection(st *moduleState, next settings.Settings, problems []string, globalEdited bool) {
	edited, err := l.setConfig(st.unit.Owner, next)
	if err != nil {
		problems = append(problems, err.Error())
	}
	text := strings.Join(problems, "; ")
	missed := l.missed(next)
	changed, mended := false, false
	st.edit(func(st *moduleState) {
		changed = st.configProblem != text
		st.configProblem = text
		// Without a valid section there is none to keep: the module stays as it is until there is one.
		unread := (err != nil || unreadable(next, st.desc().Key)) && (st.unread || !st.configured)
		mended = st.unread && !unread
		st.unread, st.configured, st.configMissed = unread, true, missed
		if edited || globalEdited {
			st.fuse.reset()
		}
	})
	if changed {
		if !missed { // the global pass tells of a missing ConfigMap, once
			l.announce(st.desc().Name, problems)
		}
		l.keys.add(st.desc().Name, becauseHealth)
	}
	l.applyOperation(st, next)
	if edited {
		l.refresh(st)
	}
	if mended {
		l.keys.add(st.desc().Name, becauseInputs)
	}
}

// unreadable says that a section is there and cannot be parsed, or lacks what
// valuesFrom requires, and that no reading of this process was better.
func unreadable(s settings.Settings, key string) bool {
	_, ok := s.Sections[key]
	return s.Unusable[key] || !ok && slices.ContainsFunc(s.Problems, func(p settings.Problem) bool { return p.Key == key })
}

// noteGlobal remembers what is wrong with the global section while none was ever valid, and
// reports whether that ended.
func (c *configured) noteGlobal(problems []string) (mended bool) {
	had := c.globalUnread
	c.globalUnread = ""
	if len(problems) > 0 && (had != "" || !c.globalRead) {
		c.globalUnread = strings.Join(problems, "; ")
	}
	c.globalRead = true
	return had != "" && c.globalUnread == ""
}

// showGlobal has every module say what is wrong with the global section, "" for nothing.
func (l *Loop) showGlobal(problem string) {
	if before := l.globalProblem.Swap(&problem); before != nil && *before == problem || before == nil && problem == "" {
		return
	}
	for _, st := range l.all() {
		l.keys.add(st.desc().Name, becauseHealth)
	}
}

// announce tells of keys that cannot be used.
func (l *Loop) announce(module string, problems []string) {
	where := []any{"module", module}
	if module == "" {
		where = []any{"key", "global"}
	}
	for _, p := range problems {
		l.log.With(where...).Error("ConfigMap key is not used; its last valid value stays in force", "problem", p)
		l.cfg.Ports.Reporter.Event(module, true, status.ReasonConfigInvalid, p)
	}
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

// unreadGlobal is what is wrong with the global section while no valid one was read; empty otherwise.
func (c *configured) unreadGlobal() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.globalUnread
}
