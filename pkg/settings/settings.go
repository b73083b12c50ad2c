// Package settings is the user's ConfigMap as the operator understands it
// (section 9 of the contract): parsed key by key, so that a bad key concerns only
// itself, and edited as YAML text, so that the user's comments and order stay.
package settings

import (
	"encoding/json"
	"time"

	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

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
	// PausedUntil is `<camel>PausedUntil` by section key: until then nothing is applied or repaired.
	PausedUntil map[string]time.Time
	// ValuesFrom is `<camel>ValuesFrom` by section key: values kept in objects of the user.
	ValuesFrom map[string][]ValuesSource
	// Choices say where a module comes from and which version of it runs, by section key.
	Choices map[string]source.Choice
	// Sourced is what those objects gave, by section key, in the order of ValuesFrom.
	// The section has it merged in already, beneath what the user wrote there.
	Sourced map[string][]Sourced
	// Unusable are sections for which no reading of this process found all that
	// ValuesFrom requires: nothing may be changed until there is one.
	Unusable map[string]bool
	// Exposed are sections whose secret leaves are still in the ConfigMap, and why. They are in force.
	Exposed []Problem
	// Problems are keys that could not be used, in the order of the keys. The last
	// valid value of such a key stays in force.
	Problems []Problem
}

// ValuesSource is one entry of `<camel>ValuesFrom` (or `globalValuesFrom`): values that lie
// beneath the section, in a Secret or ConfigMap of the operator's namespace. Later
// entries win over earlier ones, the section wins over all.
type ValuesSource struct {
	// Kind is Secret or ConfigMap.
	Kind string
	Name string
	// Key of its data; default values.yaml.
	Key string
	// TargetPath is a dotted path of the section that the text of Key becomes the value of;
	// empty: the text is YAML and is merged over the whole section.
	TargetPath string
	// Optional: an absent object or key is no problem.
	Optional bool
}

// Problem is one key of the ConfigMap that cannot be used as written.
type Problem struct {
	Key     string
	Message string
}

// LayerDigest is a digest of a section as the user wrote it, the same for none and an empty one.
func LayerDigest(section values.Map) string {
	if len(section) == 0 {
		return "none"
	}
	text, err := json.Marshal(section)
	if err != nil {
		return "" // decoded YAML always encodes
	}
	return values.Digest(text)
}
