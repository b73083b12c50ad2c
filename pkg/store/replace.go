package store

import (
	"maps"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
)

// Extend makes sections for the modules of set that have none, with the facts that
// were kept for them while they could not be read. A section that was made stays, for a
// run of a hook may still ask for it: what hooks wrote there, Drop forgets.
func (s *Store) Extend(set *module.Set) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts.allow(set)
	next := maps.Clone(*s.sections.Load())
	for _, m := range set.Modules {
		owner := hook.Owner{Module: m.Name}
		if next[owner.Section()] != nil {
			continue
		}
		c, err := newCell(owner, m.Static, m.Schemas, s.absent[m.Name], s.texts)
		if err != nil {
			return err
		}
		next[owner.Section()] = c
		delete(s.absent, m.Name)
	}
	s.sections.Store(&next)
	return nil
}

// Replace puts another version of a module in force: its static values and schemas.
// The section of the ConfigMap stays as it is; SetConfig tells whether the new
// schemas accept it.
func (s *Store) Replace(m *module.Descriptor) (changed bool, err error) {
	return s.replace(hook.Owner{Module: m.Name}, func(sec *Section) { sec.static, sec.own = m.Static, m.Schemas })
}

// ReplaceGlobal puts other static values and schemas of the global section in force.
func (s *Store) ReplaceGlobal(set *module.Set) (changed bool, err error) {
	return s.replace(hook.Global, func(sec *Section) { sec.static, sec.own = set.GlobalStatic, set.GlobalSchema })
}

func (s *Store) replace(o hook.Owner, edit func(*Section)) (bool, error) {
	return s.cell(o).change(func(next *Section) error {
		edit(next)
		next.schemas = next.own.Hide(next.hidden)
		return next.rebuild(next.config())
	})
}

// Doubt makes the facts of an owner provisional: its hooks start anew, and what they
// do not write again is gone then.
func (s *Store) Doubt(o hook.Owner) {
	if o.IsGlobal() {
		s.mu.Lock()
		for key, f := range s.flags {
			f.provisional = true
			s.flags[key] = f
		}
		s.mu.Unlock()
	}
	// Nothing here can fail: the values stay as they are.
	_, _ = s.cell(o).change(func(next *Section) error {
		for name, have := range next.sets {
			have.provisional, have.fresh = true, nil
			next.sets[name] = have
		}
		return nil
	})
}
