package store

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Store holds all sections. Its methods may be called from any goroutine.
type Store struct {
	sections atomic.Pointer[map[string]*cell] // by section key; the map itself does not change
	seq      atomic.Int64

	mu    sync.Mutex // guards flags, and who replaces sections
	flags map[string]flag

	texts *secretTexts

	// absent, guarded by mu too, are facts of modules that cannot be read now; they are kept until they can.
	absent map[string]map[string]settings.FactSet
}

type flag struct {
	settings.Flag
	provisional bool
}

type cell struct {
	mu    sync.Mutex // one writer at a time
	now   atomic.Pointer[Section]
	texts *secretTexts
}

// publish makes what is secret known first, so that nobody can print it in clear.
func (c *cell) publish(sec *Section) {
	c.texts.section(sec.key, append(sec.secretsOf(sec.Values.Clone()), sec.secretsOf(sec.ConfigValues.Clone())...))
	c.now.Store(sec)
}

// Section is one published version of a section's values.
type Section struct {
	Owner hook.Owner
	// Version grows by one with every change of Values or ConfigValues.
	Version int64
	// ConfigValues is what the ConfigMap and its Secret hold, nothing else (C-300).
	// HasConfig is false when they hold nothing; hooks then see null (C-106).
	ConfigValues values.Snapshot
	HasConfig    bool
	// Values is the effective section (C-298).
	Values values.Snapshot

	key     string
	own     schema.Set // of the module's files
	schemas schema.Set // own, and as secret what came from Secrets of the user
	hidden  values.Map // that
	static  values.Map
	sets    map[string]set // by hook name

	configRevision int64 // of the reading that ConfigValues is from
}

type set struct {
	digest      string
	ops         []values.Stamped
	fresh       []values.Stamped // what was written in this process, while provisional
	provisional bool
}

// New makes a store for the modules of set, with provisional facts.
func New(mods *module.Set, facts settings.Facts) (*Store, error) {
	s := &Store{flags: map[string]flag{}, texts: newSecretTexts(mods), absent: absent(mods, facts)}
	s.seq.Store(facts.Seq)
	for key, f := range facts.Flags {
		s.flags[key] = flag{Flag: f, provisional: true}
	}
	sections := map[string]*cell{}
	add := func(owner hook.Owner, static values.Map, schemas schema.Set) error {
		c, err := newCell(owner, static, schemas, facts.Sets[owner.String()], s.texts)
		if err != nil {
			return err
		}
		sections[owner.Section()] = c
		return nil
	}
	errs := []error{add(hook.Global, mods.GlobalStatic, mods.GlobalSchema)}
	for _, m := range mods.Modules {
		errs = append(errs, add(hook.Owner{Module: m.Name}, m.Static, m.Schemas))
	}
	s.sections.Store(&sections)
	return s, errors.Join(errs...)
}

// newCell makes a section with provisional facts.
func newCell(owner hook.Owner, static values.Map, schemas schema.Set, facts map[string]settings.FactSet, texts *secretTexts) (*cell, error) {
	sec := &Section{Owner: owner, key: owner.Section(), static: static, own: schemas, schemas: schemas, sets: map[string]set{}}
	for name, f := range facts {
		sec.sets[name] = set{digest: f.HookDigest, ops: f.Ops, provisional: true}
	}
	if err := sec.rebuild(nil); err != nil {
		return nil, fmt.Errorf("static values of %s: %w", owner, err)
	}
	c := &cell{texts: texts}
	c.publish(sec)
	return c, nil
}

// cell is that of an owner, nil for an unknown module.
func (s *Store) cell(o hook.Owner) *cell { return (*s.sections.Load())[o.Section()] }

// absent are the facts of modules that are broken, or missing while a modules
// directory could not be read.
func absent(mods *module.Set, facts settings.Facts) map[string]map[string]settings.FactSet {
	out := map[string]map[string]settings.FactSet{}
	for owner, sets := range facts.Sets {
		known := owner == hook.Global.String() || mods.Get(owner) != nil
		if !known && (mods.Incomplete || mods.Broken[owner] != nil) {
			out[owner] = sets
		}
	}
	return out
}

// Section returns the newest version of an owner's section, or nil for an unknown module.
func (s *Store) Section(o hook.Owner) *Section {
	c := s.cell(o)
	if c == nil {
		return nil
	}
	return c.now.Load()
}

// rebuild computes the effective values from config and the section's other layers.
func (sec *Section) rebuild(config values.Map) error {
	effective, err := values.New(sec.effective(config))
	if err != nil {
		return err
	}
	own, err := values.New(config)
	if err != nil {
		return err
	}
	sec.Values, sec.ConfigValues, sec.HasConfig = effective, own, config != nil
	return nil
}

// override lays global.discoveryOverride, the user's last word on a wrong fact, over global.discovery.
func override(global values.Map) values.Map {
	over, ok := global["discoveryOverride"].(values.Map)
	if !ok || len(over) == 0 {
		return global
	}
	found, _ := global["discovery"].(values.Map)
	out := maps.Clone(global)
	out["discovery"] = values.Merge(found, over)
	return out
}

func (sec *Section) config() values.Map {
	if !sec.HasConfig {
		return nil
	}
	return sec.ConfigValues.Clone()
}

// change publishes what edit makes of a copy of the newest section. It reports
// whether the effective values moved.
func (c *cell) change(edit func(next *Section) error) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.now.Load()
	next := *old
	next.sets = maps.Clone(old.sets)
	if err := edit(&next); err != nil {
		return false, err
	}
	changed := next.Values.Digest() != old.Values.Digest()
	if changed || next.ConfigValues.Digest() != old.ConfigValues.Digest() {
		next.Version++
	}
	c.publish(&next)
	return changed, nil
}

// SetConfig puts the ConfigMap's section in force, nil when the ConfigMap has
// none. A section that its schema refuses changes nothing; the error lists every
// violation (C-316a).
//
// revision orders the readings of the ConfigMap: one that is older than the
// reading in force changes nothing, for the watch and a hook's own patch may
// arrive in any order.
func (s *Store) SetConfig(o hook.Owner, config values.Map, revision int64) (changed bool, err error) {
	return s.SetConfigHiding(o, config, nil, revision)
}

// SetConfigHiding is SetConfig for a section of which a part came from Secrets of
// the user: every leaf of that part counts as secret, whatever the schema says.
func (s *Store) SetConfigHiding(o hook.Owner, config, secret values.Map, revision int64) (changed bool, err error) {
	c := s.cell(o)
	if c == nil {
		return false, fmt.Errorf("module %s is in no modules directory", o)
	}
	return c.change(func(next *Section) error {
		if revision < next.configRevision {
			return nil
		}
		next.hidden, next.schemas = secret, next.own.Hide(secret)
		if len(config) > 0 {
			if err := next.checkConfig(config); err != nil {
				s.texts.refused(next.secretsOf(config))
				return err
			}
		}
		next.configRevision = revision
		return next.rebuild(config)
	})
}

// CheckConfig says whether ops would fit the config section and its schema (C-316b).
func (s *Store) CheckConfig(o hook.Owner, ops []values.Op) error {
	sec := s.Section(o)
	s.texts.refused(sec.secretOps(ops)) // until they are accepted
	doc, err := values.Apply(values.Map{sec.key: sec.ConfigValues.Clone()}, ops)
	if err != nil {
		return fmt.Errorf("config values patch: %w", err)
	}
	section, ok := doc[sec.key].(values.Map)
	if !ok {
		return fmt.Errorf("config values patch: section %s must stay an object", sec.key)
	}
	if err := sec.checkConfig(section); err != nil {
		return fmt.Errorf("config values patch: %w", err)
	}
	return nil
}

// checkConfig checks what the ConfigMap is to hold against what it holds now (C-315, C-316).
func (sec *Section) checkConfig(config values.Map) error {
	check := sec.schemas.Config
	next := check.Default(config)
	if !sec.HasConfig {
		return check.Validate(next, sec.key)
	}
	return check.ValidateChange(check.Default(sec.ConfigValues.Clone()), next, sec.key)
}

// Check says whether Commit would accept ops now.
func (s *Store) Check(id hook.ID, ops []values.Op) error {
	next := *s.Section(id.Owner)
	s.texts.refused(next.secretOps(ops)) // until they are accepted
	next.sets = maps.Clone(next.sets)
	return next.commit(id, "", ops, s.seq.Load()+1)
}

// Commit adds a hook's values patch to its patch set and publishes the section
// (C-323 … C-326). It reports whether the effective values moved. An operation
// that does not fit the values as they are now, or a result that the schema
// refuses, is an error and changes nothing.
func (s *Store) Commit(id hook.ID, hookDigest string, ops []values.Op) (changed bool, err error) {
	seq := s.seq.Add(1)
	return s.cell(id.Owner).change(func(next *Section) error {
		return next.commit(id, hookDigest, ops, seq)
	})
}

func (sec *Section) commit(id hook.ID, hookDigest string, ops []values.Op, seq int64) error {
	if _, err := values.Apply(values.Map{sec.key: sec.Values.Clone()}, ops); err != nil {
		return fmt.Errorf("values patch: %w", err)
	}
	before := sec.Values
	have := sec.sets[id.Name]
	have.ops = values.Compact(have.ops, ops, seq)
	have.digest = hookDigest
	if have.provisional {
		have.fresh = values.Compact(have.fresh, ops, seq)
	}
	sec.sets[id.Name] = have
	if err := sec.rebuild(sec.config()); err != nil {
		return err
	}
	if err := sec.schemas.Values.ValidateChange(before.Clone(), sec.Values.Clone(), sec.key); err != nil {
		return fmt.Errorf("values patch: %w", err)
	}
	return nil
}

// Settle ends the provisional time of a hook whose start bindings have all
// succeeded: what it did not write again in this process is gone.
func (s *Store) Settle(id hook.ID) (changed bool, err error) {
	s.mu.Lock()
	for key, f := range s.flags {
		if f.provisional && f.Hook == id.Name && id.Owner.IsGlobal() {
			delete(s.flags, key)
			changed = true
		}
	}
	s.mu.Unlock()
	moved, err := s.cell(id.Owner).change(func(next *Section) error {
		have, ok := next.sets[id.Name]
		if !ok || !have.provisional {
			return nil
		}
		if len(have.fresh) == 0 {
			delete(next.sets, id.Name)
		} else {
			next.sets[id.Name] = set{digest: have.digest, ops: have.fresh}
		}
		if err := next.rebuild(next.config()); err != nil {
			return err
		}
		return next.keepStamps(id.Name, have.ops)
	})
	return changed || moved, err
}

// keepStamps leaves a hook's set as it was before when it says the same and the
// section does not depend on the difference: then a restart writes no facts.
func (sec *Section) keepStamps(hookName string, before []values.Stamped) error {
	now, ok := sec.sets[hookName]
	if !ok || !slices.EqualFunc(now.ops, before, sameOp) {
		return nil
	}
	with := *sec
	with.sets = maps.Clone(sec.sets)
	with.sets[hookName] = set{digest: now.digest, ops: before}
	if err := with.rebuild(with.config()); err != nil {
		return err
	}
	if with.Values.Digest() == sec.Values.Digest() {
		sec.sets[hookName] = with.sets[hookName]
	}
	return nil
}

// sameOp compares operations without their stamps.
func sameOp(a, b values.Stamped) bool {
	return a.Op.Op == b.Op.Op && a.Path == b.Path && reflect.DeepEqual(a.Value, b.Value)
}

// Keep drops the sets and flags of hooks that are not in names: they no longer
// exist. It reports whether there were any.
func (s *Store) Keep(o hook.Owner, names []string) (dropped bool, err error) {
	if o.IsGlobal() {
		s.mu.Lock()
		before := len(s.flags)
		maps.DeleteFunc(s.flags, func(_ string, f flag) bool { return !slices.Contains(names, f.Hook) })
		dropped = len(s.flags) != before
		s.mu.Unlock()
	}
	_, err = s.cell(o).change(func(next *Section) error {
		before := len(next.sets)
		maps.DeleteFunc(next.sets, func(name string, _ set) bool { return !slices.Contains(names, name) })
		if len(next.sets) == before {
			return nil
		}
		dropped = true
		return next.rebuild(next.config())
	})
	return dropped, err
}

// Drop forgets everything that hooks of a module wrote; the module was disabled (C-324).
func (s *Store) Drop(o hook.Owner) error {
	_, err := s.Keep(o, nil)
	return err
}

// SetFlag records a dynamic enabled flag of a global hook (C-328), nil to unset
// it. A flag that was provisional counts as changed: only now it may turn a module off.
func (s *Store) SetFlag(section string, on *bool, by hook.ID) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, had := s.flags[section]
	if on == nil {
		delete(s.flags, section)
		return had
	}
	s.flags[section] = flag{Flag: settings.Flag{On: *on, Hook: by.Name}}
	return !had || old.On != *on || old.provisional && !*on
}

// Flag is the dynamic enabled flag of a section and the hook that set it;
// provisional when that was in an earlier process.
func (s *Store) Flag(section string) (f settings.Flag, provisional, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.flags[section]
	return have.Flag, have.provisional, ok
}

// Facts is everything of the store that must survive a restart; decisions are the caller's.
func (s *Store) Facts() settings.Facts {
	out := settings.Facts{Flags: map[string]settings.Flag{}}
	s.mu.Lock()
	out.Sets = maps.Clone(s.absent)
	s.mu.Unlock()
	for _, c := range *s.sections.Load() {
		sec := c.now.Load()
		for name, st := range sec.sets {
			owner := sec.Owner.String()
			if out.Sets[owner] == nil {
				out.Sets[owner] = map[string]settings.FactSet{}
			}
			out.Sets[owner][name] = settings.FactSet{HookDigest: st.digest, Ops: st.ops}
			for _, op := range st.ops {
				out.Seq = max(out.Seq, op.Seq)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.flags {
		out.Flags[key] = f.Flag
	}
	return out
}

// Patches is what hooks of an owner committed, by hook (C-480, module patches); the
// values of secret leaves are masked.
func (s *Store) Patches(o hook.Owner) map[string][]values.Stamped {
	out := map[string][]values.Stamped{}
	for name, st := range s.Section(o).sets {
		ops := slices.Clone(st.ops)
		for i, op := range ops {
			if op.Op.Op == "add" && s.SecretAt(o.String(), op.Path) {
				ops[i].Value = schema.Masked
			}
		}
		out[name] = ops
	}
	return out
}

// CheckHelm checks the section against the schema used before Helm (C-313, C-316d).
func (sec *Section) CheckHelm() error {
	return sec.schemas.Helm.Validate(sec.Values.Clone(), sec.key)
}

// Masked is the effective section with secret leaves blanked out, for people to read.
func (sec *Section) Masked() values.Map { return sec.schemas.MaskSecrets(sec.Values.Clone()) }

// MaskedConfig is the section of the ConfigMap with secret leaves blanked out.
func (sec *Section) MaskedConfig() values.Map {
	return sec.schemas.MaskSecrets(sec.ConfigValues.Clone())
}

// SecretAt reports whether a fact operation of the owner at a path touches a secret leaf.
func (s *Store) SecretAt(owner string, path string) bool {
	o := hook.Owner{Module: owner}
	if owner == hook.Global.String() {
		o = hook.Global
	}
	sec := s.Section(o)
	return sec != nil && sec.secretAt(path)
}

func (sec *Section) secretAt(path string) bool {
	return sec.schemas.IsSecret(strings.TrimPrefix(path, "/"+sec.key))
}

// Validate checks the effective section against its values schema.
func (sec *Section) Validate() error {
	return sec.schemas.Values.Validate(sec.Values.Clone(), sec.key)
}
