package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// errMoved makes Patch start over: an object changed between reading and writing.
var errMoved = errors.New("the object was changed meanwhile")

// Patch carries out a hook's config patch (C-327, C-381): it performs ops, whose
// paths start with the section, on the section as it is now, writes the public
// part into the ConfigMap and the secret leaves into the Secret, and returns the
// reading that results. What valuesFrom gives to the section is there for ops, and
// is not copied into it. Secret leaves that the user wrote into the section move
// to the Secret too. Text that ops do not touch and other keys stay as they are.
//
// An object that somebody changed meanwhile is read again and ops are performed
// on that, until ctx ends. Errors are those of the API, of ops that do not fit
// the section, ErrContested and ErrMissing; nothing is in the ConfigMap then.
func (s *Store) Patch(ctx context.Context, section string, ops []values.Op) (settings.Settings, error) {
	if err := s.take(ctx); err != nil {
		return settings.Settings{}, err
	}
	defer s.give()
	p := &patch{Store: s, section: section, ops: ops, leaf: s.schemas(section)}
	delays := backoff{first: 10 * time.Millisecond, most: time.Second}
	for {
		now, err := p.try(ctx)
		if err == nil {
			return now, nil
		}
		if errors.Is(err, ErrContested) {
			s.cfg.Notify(section, ReasonContested, err.Error())
		}
		if !errors.Is(err, errMoved) {
			return settings.Settings{}, fmt.Errorf("section %s of ConfigMap %s/%s: %w", section, s.cfg.Namespace, s.cfg.Name, err)
		}
		if err := delays.wait(ctx); err != nil {
			return settings.Settings{}, fmt.Errorf("section %s of ConfigMap %s/%s: others kept changing it: %w",
				section, s.cfg.Namespace, s.cfg.Name, err)
		}
	}
}

// patch is one call of Patch.
type patch struct {
	*Store
	section string
	ops     []values.Op
	leaf    schema.Set

	// wrote is the version of the Secret that an earlier try wrote, base the leaves
	// before it: ops must not be performed twice.
	wrote string
	base  values.Map
}

// try is one reading and writing. Contents are compared before, so what means
// the same is not written.
func (p *patch) try(ctx context.Context) (settings.Settings, error) {
	cm, err := p.getMap(ctx, p.cfg.Name)
	if err != nil {
		return settings.Settings{}, err
	}
	if cm == nil && p.existed {
		return settings.Settings{}, fmt.Errorf("%w; restore it, or create it empty to start anew", ErrMissing)
	}
	secret, err := p.getSecret(ctx)
	if err != nil {
		return settings.Settings{}, err
	}
	text := ""
	if cm != nil {
		text = cm.Data[p.section]
	}
	have, leaves, err := p.merged(text, secret)
	if err != nil {
		return settings.Settings{}, err
	}
	from := settings.Merged(p.known.Sourced[p.section])
	want, err := p.perform(values.Merge(from, have))
	if err != nil {
		return settings.Settings{}, err
	}
	if want, err = settings.Own(want, have, from); err != nil {
		return settings.Settings{}, err
	}
	claims, err := p.contests.check(p.section, have, want)
	if err != nil {
		return settings.Settings{}, err
	}
	public, hidden := p.leaf.SplitSecrets(want)
	// Secret first: a leaf must never be in neither.
	if secret, err = p.writeLeaves(ctx, secret, leaves, hidden); err != nil {
		return settings.Settings{}, err
	}
	if cm, err = p.writeSection(ctx, cm, text, public); err != nil {
		return settings.Settings{}, err
	}
	p.contests.claim(claims)
	return p.settle(cm, secret), nil
}

// merged is the section as hooks see it, and the leaves that the Secret holds of it.
func (p *patch) merged(text string, secret *corev1.Secret) (section, leaves values.Map, err error) {
	v, err := values.DecodeYAML([]byte(text))
	public, ok := v.(values.Map)
	if err != nil || v != nil && !ok {
		return nil, nil, errors.New("its text is not a YAML object; correct it in the ConfigMap first")
	}
	leaves = p.base
	if p.wrote == "" || secret == nil || secret.ResourceVersion != p.wrote {
		var raw []byte
		if secret != nil {
			raw = secret.Data[leavesPrefix+p.section]
		}
		if leaves, err = decodeLeaves(raw); err != nil {
			return nil, nil, fmt.Errorf("key %s%s of Secret %s: %w; correct or remove it first", leavesPrefix, p.section, p.secretName(), err)
		}
	}
	return schema.MergeSecrets(public, leaves), leaves, nil
}

func (p *patch) perform(have values.Map) (values.Map, error) {
	doc, err := settings.Perform(values.Map{p.section: have}, p.ops)
	if err != nil {
		return nil, err
	}
	want, ok := doc[p.section].(values.Map)
	if !ok || len(doc) != 1 {
		return nil, fmt.Errorf("a config values patch must leave an object at /%s and nothing beside it", p.section)
	}
	return want, nil
}

// writeLeaves puts the secret leaves of the section into the Secret.
func (p *patch) writeLeaves(ctx context.Context, secret *corev1.Secret, before, leaves values.Map) (*corev1.Secret, error) {
	key := leavesPrefix + p.section
	var stored []byte
	if secret != nil {
		stored = secret.Data[key]
	}
	if now, err := decodeLeaves(stored); err == nil && sameValues(now, leaves) {
		return secret, nil
	}
	var text []byte
	if len(leaves) > 0 {
		var err error
		if text, err = yaml.Marshal(leaves); err != nil {
			return nil, errors.New("its secret leaves cannot be written as YAML")
		}
	}
	written, err := p.putSecret(ctx, secret, func(data map[string][]byte) {
		if delete(data, key); text != nil {
			data[key] = text
		}
	})
	if err != nil {
		return nil, err
	}
	p.wrote, p.base = written.ResourceVersion, before
	return written, nil
}

func sameValues(a, b values.Map) bool {
	x, errX := values.New(a)
	y, errY := values.New(b)
	return errX == nil && errY == nil && x.Digest() == y.Digest()
}

// putSecret changes data of the Secret, or makes one; errMoved if it is not the newest.
func (s *Store) putSecret(ctx context.Context, secret *corev1.Secret, change func(map[string][]byte)) (*corev1.Secret, error) {
	create := secret == nil
	if create {
		secret = &corev1.Secret{ObjectMeta: s.meta(s.secretName()), Type: corev1.SecretTypeOpaque}
	}
	secret = secret.DeepCopy()
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	change(secret.Data)
	var err error
	if create {
		secret, err = s.secrets.Create(ctx, secret, metav1.CreateOptions{})
	} else {
		secret, err = s.secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	return secret, s.written("Secret", s.secretName(), err)
}

// putMap is putSecret for a ConfigMap.
func (s *Store) putMap(ctx context.Context, cm *corev1.ConfigMap, name string, change func(*corev1.ConfigMap)) (*corev1.ConfigMap, error) {
	create := cm == nil
	if create {
		cm = &corev1.ConfigMap{ObjectMeta: s.meta(name)}
	}
	cm = cm.DeepCopy()
	if cm.Data == nil {
		cm.Data = map[string]string{}
	}
	change(cm)
	var err error
	if create {
		cm, err = s.maps.Create(ctx, cm, metav1.CreateOptions{})
	} else {
		cm, err = s.maps.Update(ctx, cm, metav1.UpdateOptions{})
	}
	return cm, s.written("ConfigMap", name, err)
}

func (s *Store) written(kind, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) && !namespaceMissing(err):
		return fmt.Errorf("%s %s: %w: %w", kind, name, errMoved, err)
	}
	return fmt.Errorf("%s %s/%s cannot be written: %w", kind, s.cfg.Namespace, name, err)
}

// namespaceMissing tells a missing namespace from an object that was deleted meanwhile.
func namespaceMissing(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

func (s *Store) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.cfg.Namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/managed-by": "addon-operator"}}
}

// writeSection edits the section's text, and takes secret leaves of it out of
// what kubectl remembers of its last apply.
func (p *patch) writeSection(ctx context.Context, cm *corev1.ConfigMap, text string, public values.Map) (*corev1.ConfigMap, error) {
	next, err := settings.SetSection(text, public)
	if err != nil {
		return nil, err
	}
	applied, clean := "", ""
	if cm != nil {
		applied = cm.Annotations[corev1.LastAppliedConfigAnnotation]
		clean = withoutSecrets(applied, p.section, p.leaf)
	}
	// Secret leaves alone make no ConfigMap, for one that exists says what is off.
	if cm == nil && len(public) == 0 || cm != nil && next == text && applied == clean {
		return cm, nil
	}
	return p.putMap(ctx, cm, p.cfg.Name, func(cm *corev1.ConfigMap) {
		cm.Data[p.section] = next
		setApplied(cm, clean)
	})
}

// withoutSecrets returns the annotation without secret leaves of a section; "" for
// one that cannot be read but may hold some.
func withoutSecrets(applied, section string, leaf schema.Set) string {
	if applied == "" || len(leaf.SecretPaths()) == 0 {
		return applied
	}
	v, err := values.Decode([]byte(applied))
	if err != nil {
		return ""
	}
	text, ok := values.Get(v, "data", section)
	if !ok {
		return applied
	}
	s, _ := text.(string)
	have, err := values.DecodeYAML([]byte(s))
	m, isMap := have.(values.Map)
	if err != nil || have != nil && !isMap {
		return ""
	}
	public, hidden := leaf.SplitSecrets(m)
	if hidden == nil {
		return applied
	}
	if s, err = settings.SetSection(s, public); err != nil {
		return ""
	}
	data, _ := values.Get(v, "data")
	data.(values.Map)[section] = s
	out, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(out) + "\n"
}

// settle parses what is in the cluster now. Only the section itself becomes
// known: what else changed meanwhile is Run's to hand on.
func (p *patch) settle(cm *corev1.ConfigMap, secret *corev1.Secret) settings.Settings {
	now := p.parse(cm, secret)
	now.Lay(p.known.Known, p.known)
	p.known.Revision = now.Revision
	p.known.Sections = maps.Clone(p.known.Sections)
	if p.known.Sections == nil {
		p.known.Sections = map[string]values.Map{}
	}
	p.known.Sections[p.section] = now.Sections[p.section]
	return now
}
