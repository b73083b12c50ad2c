// Package settings is the user's ConfigMap as the operator understands it
// (section 9 of the contract): parsed key by key, so that a bad key concerns only
// itself, and edited as YAML text, so that the user's comments and order stay.
package settings

import "github.com/addon-operator/addon-operator/pkg/values"

// Settings is one reading of the ConfigMap, merged with the secret leaves that
// are kept in the Secret. It does not change.
type Settings struct {
	// Exists is false while there is no ConfigMap.
	Exists bool
	// Revision orders the readings of one process: between two, the higher is newer.
	// It is no part of what they mean.
	Revision int64
	// Sections are the values under `global` and `<camel>`; an absent key has none.
	Sections map[string]values.Map
	// Enabled is `<camel>Enabled` by section key.
	Enabled map[string]bool
	// Maintenance is `<camel>Maintenance` by section key.
	Maintenance map[string]string
	// Problems are keys that could not be used, in the order of the keys. The last
	// valid value of such a key stays in force.
	Problems []Problem
}

// Problem is one key of the ConfigMap that cannot be used as written.
type Problem struct {
	Key     string
	Message string
}
