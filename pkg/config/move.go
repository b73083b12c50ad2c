package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// ReasonSecretMoved is the reason that Notify gets when secret leaves were moved
// out of the ConfigMap.
const ReasonSecretMoved = "SecretMoved"

// ReasonSecretExposed is the reason that Notify gets when secret leaves stay in the
// ConfigMap, with ErrContested as well.
const ReasonSecretExposed = "SecretInConfigMap"

// moveLeaves takes secret leaves that the user wrote into the ConfigMap out of it,
// and out of what kubectl remembers there of its last apply, into the Secret. It
// needs the turn, and returns the objects as they are then and what could not be
// moved.
//
// The Secret is written first, so a leaf is never in neither; a process that dies in
// between has written the same value twice, and the next one goes on. Both writes
// are of the version that was read: when somebody edits meanwhile it starts over
// with that, and a leaf that they took back does not stay in the Secret.
func (s *Store) moveLeaves(ctx context.Context, cm *corev1.ConfigMap, secret *corev1.Secret) (*corev1.ConfigMap, *corev1.Secret, []settings.Problem, error) {
	m := &mover{Store: s}
	delays := backoff{first: 10 * time.Millisecond, most: time.Second}
	for {
		nextMap, nextSecret, exposed, err := m.try(ctx, cm, secret)
		if err == nil {
			return nextMap, nextSecret, exposed, nil
		}
		if !errors.Is(err, errMoved) {
			return nil, nil, nil, err
		}
		if err := delays.wait(ctx); err != nil {
			return nil, nil, nil, err
		}
		if cm, err = s.getMap(ctx, s.cfg.Name); err != nil {
			return nil, nil, nil, err
		}
		if secret, err = s.getSecret(ctx); err != nil {
			return nil, nil, nil, err
		}
	}
}

// mover is one call of moveLeaves.
type mover struct {
	*Store
	// wrote is the version of the Secret that an earlier try wrote, base its leaves before it.
	wrote string
	base  map[string]values.Map
}

// move is what is to be done about one section.
type move struct {
	section string
	hidden  values.Map // leaves that the ConfigMap has
	text    string     // of the section without them
	claims  map[string]claim
	exposed string // why the ConfigMap is left as it is
}

func (m *mover) try(ctx context.Context, cm *corev1.ConfigMap, secret *corev1.Secret) (*corev1.ConfigMap, *corev1.Secret, []settings.Problem, error) {
	moves, problems := m.plan(cm)
	secret, problems, err := m.store(ctx, secret, moves, problems)
	if err != nil {
		return nil, nil, nil, err
	}
	cm, err = m.clear(ctx, cm, moves)
	return cm, secret, problems, err
}

// plan looks for secret leaves in the ConfigMap.
func (m *mover) plan(cm *corev1.ConfigMap) (moves []move, problems []settings.Problem) {
	if cm == nil {
		return nil, nil
	}
	for _, section := range slices.Sorted(maps.Keys(cm.Data)) {
		leaf := m.schemas(section)
		if len(leaf.SecretPaths()) == 0 {
			continue
		}
		v, err := values.DecodeYAML([]byte(cm.Data[section]))
		have, ok := v.(values.Map)
		if err != nil || !ok {
			continue // nobody knows what is a leaf there; the key is reported as it cannot be used
		}
		public, hidden := leaf.SplitSecrets(have)
		if hidden == nil {
			continue
		}
		one := move{section: section, hidden: hidden}
		one.text, err = settings.TakeOut(cm.Data[section], public)
		if err == nil {
			// The same value again is a move undone; another one is a change.
			one.claims, err = m.moves.check(section, values.Map{}, hidden)
		}
		if err != nil {
			one.exposed = m.explain(section, hidden, err)
			problems = append(problems, settings.Problem{Key: section, Message: one.exposed})
		}
		moves = append(moves, one)
	}
	return moves, problems
}

func (m *mover) explain(section string, hidden values.Map, err error) string {
	where := strings.Join(values.Leaves(hidden), ", ")
	switch {
	case errors.Is(err, ErrContested):
		return fmt.Sprintf("secret values in section %s (%s) are put back into the ConfigMap each time they are moved to Secret %s; they are used, but anybody who may read "+
			"ConfigMaps can read them: take them out of the source that the ConfigMap is applied from, the Secret has them", section, where, m.secretName())
	default:
		return fmt.Sprintf("secret values in section %s (%s) cannot be moved to Secret %s: %v; they are used, but anybody who may read ConfigMaps can read them: "+
			"delete them from the ConfigMap by hand, the Secret has them", section, where, m.secretName(), err)
	}
}

// store writes the leaves into the Secret, and those of an earlier try back that the
// user has taken out of the ConfigMap meanwhile.
func (m *mover) store(ctx context.Context, secret *corev1.Secret, moves []move, problems []settings.Problem) (*corev1.Secret, []settings.Problem, error) {
	again := m.wrote != "" && secret != nil && secret.ResourceVersion == m.wrote
	base, want := map[string]values.Map{}, map[string]values.Map{}
	if again {
		base = m.base
		maps.Copy(want, base)
	}
	for i, one := range moves {
		have, err := m.leavesOf(secret, one.section)
		if again && m.base[one.section] != nil {
			have, err = m.base[one.section], nil
		}
		if err != nil {
			moves[i].exposed = fmt.Sprintf("secret values in section %s cannot be moved: key %s%s of Secret %s: %v; correct or remove it", one.section,
				leavesPrefix, one.section, m.secretName(), err)
			problems = append(problems, settings.Problem{Key: one.section, Message: moves[i].exposed})
			continue
		}
		base[one.section] = have
		want[one.section] = values.Merge(have, one.hidden)
	}
	texts, err := m.changed(secret, want)
	if err != nil || len(texts) == 0 {
		return secret, problems, err
	}
	written, err := m.putSecret(ctx, secret, func(data map[string][]byte) {
		for key, text := range texts {
			if delete(data, key); text != nil {
				data[key] = text
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	m.wrote, m.base = written.ResourceVersion, base
	return written, problems, nil
}

func (m *mover) leavesOf(secret *corev1.Secret, section string) (values.Map, error) {
	if secret == nil {
		return values.Map{}, nil
	}
	return decodeLeaves(secret.Data[leavesPrefix+section])
}

// changed are the keys of the Secret to write; nil takes one out.
func (m *mover) changed(secret *corev1.Secret, want map[string]values.Map) (map[string][]byte, error) {
	out := map[string][]byte{}
	for section, leaves := range want {
		if have, err := m.leavesOf(secret, section); err == nil && sameValues(have, leaves) {
			continue
		}
		var text []byte
		if len(leaves) > 0 {
			var err error
			if text, err = yaml.Marshal(leaves); err != nil {
				return nil, fmt.Errorf("secret leaves of section %s cannot be written as YAML", section)
			}
		}
		out[leavesPrefix+section] = text
	}
	return out, nil
}

// clear takes the leaves out of the ConfigMap, and all secret leaves out of what
// kubectl remembers.
func (m *mover) clear(ctx context.Context, cm *corev1.ConfigMap, moves []move) (*corev1.ConfigMap, error) {
	if cm == nil {
		return nil, nil
	}
	texts := map[string]string{}
	for _, one := range moves {
		if one.exposed == "" {
			texts[one.section] = one.text
		}
	}
	applied := cm.Annotations[corev1.LastAppliedConfigAnnotation]
	clean := m.cleanApplied(applied, moves)
	if len(texts) == 0 && clean == applied {
		return cm, nil
	}
	written, err := m.putMap(ctx, cm, m.cfg.Name, func(cm *corev1.ConfigMap) {
		maps.Copy(cm.Data, texts)
		setApplied(cm, clean)
	})
	if err != nil {
		return nil, err
	}
	for _, one := range moves {
		if one.exposed == "" {
			m.moves.claim(one.claims)
			m.cfg.Notify(one.section, ReasonSecretMoved, fmt.Sprintf("secret values in section %s (%s) were moved from the ConfigMap to Secret %s; "+
				"take them out of the source that the ConfigMap is applied from, too", one.section, strings.Join(values.Leaves(one.hidden), ", "), m.secretName()))
		}
	}
	return written, nil
}

// cleanApplied is the annotation without secret leaves of any section that is not left alone.
func (m *mover) cleanApplied(applied string, moves []move) string {
	if applied == "" {
		return ""
	}
	left := map[string]bool{}
	for _, one := range moves {
		left[one.section] = one.exposed != ""
	}
	for _, section := range appliedSections(applied) {
		if leaf := m.schemas(section); !left[section] {
			applied = withoutSecrets(applied, section, leaf)
		}
	}
	return applied
}

// appliedSections are the keys of the ConfigMap in the annotation.
func appliedSections(applied string) []string {
	v, err := values.Decode([]byte(applied))
	if err != nil {
		return nil
	}
	data, _ := values.Get(v, "data")
	m, _ := data.(values.Map)
	return slices.Sorted(maps.Keys(m))
}

func setApplied(cm *corev1.ConfigMap, text string) {
	if cm.Annotations[corev1.LastAppliedConfigAnnotation] == text {
		return
	}
	cm.Annotations = maps.Clone(cm.Annotations)
	if delete(cm.Annotations, corev1.LastAppliedConfigAnnotation); text != "" {
		cm.Annotations[corev1.LastAppliedConfigAnnotation] = text
	}
}
