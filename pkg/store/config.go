package store

import "github.com/addon-operator/addon-operator/pkg/values"

// SecretConfig is what the section of the ConfigMap has of secret leaves, nil without any.
func (sec *Section) SecretConfig() values.Map {
	_, secret := sec.schemas.SplitSecrets(sec.ConfigValues.Clone())
	return secret
}
