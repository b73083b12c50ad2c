package store

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/redact"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// secretTexts are the secret values of all sections as text, to take them out of
// what people read. Values that were refused or replaced stay known for a while:
// messages about them are still under way.
type secretTexts struct {
	// of are the texts of the store that this one is a scratch copy of. What is
	// tried there may be printed by anybody.
	of *secretTexts

	mu      sync.Mutex      // guards the rest
	keep    map[string]bool // names that are no secrets, whatever a section says
	current map[string][]string
	former  []string // oldest first, formerTexts at most

	set atomic.Pointer[redact.Set]
}

const formerTexts = 512

func newSecretTexts(mods *module.Set) *secretTexts {
	k := &secretTexts{keep: map[string]bool{"global": true}, current: map[string][]string{}}
	k.allow(mods)
	return k
}

// allow adds the names of modules to those that are no secrets.
func (k *secretTexts) allow(mods *module.Set) {
	if k.of != nil {
		return // what is tried is no module yet
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	keep := maps.Clone(k.keep) // a set that is in use asks the old one
	for _, m := range mods.Modules {
		keep[m.Name], keep[m.Key], keep[m.Namespace] = true, true, true
	}
	k.keep = keep
}

// Redact returns text for people with redact.Masked in place of every secret value
// that a section holds or held a while ago.
func (s *Store) Redact(text string) string {
	if s.texts.of != nil {
		return s.texts.of.set.Load().Text(text)
	}
	return s.texts.set.Load().Text(text)
}

func (k *secretTexts) scratch() *secretTexts { return &secretTexts{of: k} }

// section is told what is secret in a section now.
func (k *secretTexts) section(key string, texts []string) {
	if k.of != nil {
		k.of.refused(texts)
		return
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.current[key]
	if slices.Equal(before, texts) {
		return
	}
	k.current[key] = texts
	k.remember(before)
	k.rebuild()
}

// refused is told of secret values that no section took over.
func (k *secretTexts) refused(texts []string) {
	if k.of != nil {
		k.of.refused(texts)
		return
	}
	if len(texts) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if before := k.former; !slices.Equal(before, k.remember(texts)) {
		k.rebuild()
	}
}

func (k *secretTexts) remember(texts []string) []string {
	former := slices.Clone(k.former)
	for _, t := range texts {
		if !slices.Contains(former, t) {
			former = append(former, t)
		}
	}
	k.former = former[max(0, len(former)-formerTexts):]
	return k.former
}

func (k *secretTexts) rebuild() {
	all := slices.Clone(k.former)
	for texts := range maps.Values(k.current) {
		all = append(all, texts...)
	}
	keep := k.keep
	k.set.Store(redact.NewSet(all, func(text string) bool { return keep[text] }))
}

// secretsOf are the secret values of a section's values as text.
func (sec *Section) secretsOf(section values.Map) []string {
	var out []string
	for _, v := range sec.schemas.Secrets(section) {
		out = append(out, redact.Texts(v)...)
	}
	return out
}

// secretOps are the values that operations write at secret leaves, as text.
func (sec *Section) secretOps(ops []values.Op) []string {
	var out []string
	for _, op := range ops {
		if op.Op != "add" {
			continue
		}
		for _, v := range sec.schemas.SecretsAt(strings.TrimPrefix(op.Path, "/"+sec.key), op.Value) {
			out = append(out, redact.Texts(v)...)
		}
	}
	return out
}
