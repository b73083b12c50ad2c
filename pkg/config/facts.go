package config

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// LoadFacts reads the facts at start. What cannot be read is left out, logged
// and given to Notify; the error is that of the API.
func (s *Store) LoadFacts(ctx context.Context) (settings.Facts, error) {
	cm, err := s.getMap(ctx, s.factsName())
	if err != nil {
		return settings.Facts{}, err
	}
	secret, err := s.getSecret(ctx)
	if err != nil {
		return settings.Facts{}, err
	}
	var public map[string]string
	if cm != nil {
		public = cm.Data
	}
	facts, problems := settings.DecodeFacts(public, onlyFacts(secret))
	for _, p := range problems {
		s.cfg.Logger.Warn("facts cannot be read", "configMap", s.factsName(), "key", p.Key, "problem", p.Message)
		s.cfg.Notify(p.Key, ReasonFactsUnreadable, p.Message)
	}
	return facts, nil
}

func onlyFacts(secret *corev1.Secret) map[string][]byte {
	out := map[string][]byte{}
	if secret == nil {
		return out
	}
	for key, text := range secret.Data {
		if settings.IsFact(key) {
			out[key] = text
		}
	}
	return out
}

// SaveFacts writes the facts, operations on secret leaves into the Secret. The
// same facts as the last time are not written again. Somebody else's change of
// either object meanwhile is no error: facts are ours alone, other keys of the
// Secret stay.
func (s *Store) SaveFacts(ctx context.Context, f settings.Facts) error {
	public, private, err := f.Encode(s.secretFact)
	if err != nil {
		return err
	}
	digest, err := factsDigest(public, private)
	if err != nil {
		return err
	}
	s.factsMu.Lock()
	defer s.factsMu.Unlock()
	if digest == s.saved {
		return nil
	}
	s.saved = ""
	delays := backoff{first: 10 * time.Millisecond, most: time.Second}
	for {
		err := s.saveFacts(ctx, public, private)
		if err == nil {
			s.saved = digest
			return nil
		}
		if !errors.Is(err, errMoved) {
			return fmt.Errorf("facts: %w", err)
		}
		if err := delays.wait(ctx); err != nil {
			return fmt.Errorf("facts: others kept changing them: %w", err)
		}
	}
}

func (s *Store) saveFacts(ctx context.Context, public map[string]string, private map[string][]byte) error {
	secret, err := s.getSecret(ctx)
	if err != nil {
		return err
	}
	if !maps.EqualFunc(onlyFacts(secret), private, bytes.Equal) {
		_, err := s.putSecret(ctx, secret, func(data map[string][]byte) {
			maps.DeleteFunc(data, func(key string, _ []byte) bool { return settings.IsFact(key) })
			maps.Copy(data, private)
		})
		if err != nil {
			return err
		}
	}
	cm, err := s.getMap(ctx, s.factsName())
	if err != nil || cm != nil && maps.Equal(cm.Data, public) {
		return err
	}
	_, err = s.putMap(ctx, cm, s.factsName(), func(cm *corev1.ConfigMap) { cm.Data = public })
	return err
}

// secretFact says whether an operation of an owner's hook touches a secret leaf, or
// one that a Secret of the user gave.
func (s *Store) secretFact(owner, _ string, op values.Stamped) bool {
	section := values.Key(owner)
	rest, ok := strings.CutPrefix(op.Path, "/"+section)
	return ok && (rest == "" || rest[0] == '/') && s.leavesIn(section).IsSecret(rest)
}

func factsDigest(public map[string]string, private map[string][]byte) (string, error) {
	text, err := json.Marshal([]any{public, private})
	return values.Digest(text), err
}
