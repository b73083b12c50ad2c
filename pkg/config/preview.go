package config

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/addon-operator/addon-operator/pkg/settings"
)

// Preview reads data as if it were that of the ConfigMap, over the Secret and the objects of `ValuesFrom` of now. Nothing
// is written or remembered. The error is that of the API.
func (s *Store) Preview(ctx context.Context, data map[string]string) (settings.Settings, error) {
	if err := s.take(ctx); err != nil {
		return settings.Settings{}, err
	}
	defer s.give()
	secret, err := s.getSecret(ctx)
	if err != nil {
		return settings.Settings{}, err
	}
	existed, leaves := s.existed, s.leaves
	defer func() { s.existed, s.leaves = existed, leaves }()
	now := s.parse(&corev1.ConfigMap{Data: data}, secret)
	if err := s.lay(ctx, &now); err != nil {
		return settings.Settings{}, err
	}
	return now, nil
}
