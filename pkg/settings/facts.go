package settings

import (
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Facts is what hooks found out and what was decided, kept over restarts in the
// ConfigMap addon-operator-facts, secret leaves in the Secret.
type Facts struct {
	// Sets are the compacted patch sets by owner ("global" or module name) and hook name.
	Sets map[string]map[string]FactSet `json:"sets,omitempty"`
	// Flags are the dynamic enabled flags that global hooks set, by section key (C-328).
	Flags map[string]Flag `json:"flags,omitempty"`
	// Decisions are the last on/off decisions by module name.
	Decisions map[string]bool `json:"decisions,omitempty"`
	// Removing are modules that were on, whose removal is to come or has not ended, in order.
	Removing []string `json:"removing,omitempty"`
	// ConfigSeen is true once a ConfigMap was there: its absence is then a loss, not a choice.
	ConfigSeen bool `json:"configSeen,omitempty"`
	// Channels is what is remembered of sources and releases.
	Channels source.Memory `json:"channels,omitzero"`
	// Seq is the number of the newest commit.
	Seq int64 `json:"seq,omitempty"`
}

// FactSet is what one hook wrote.
type FactSet struct {
	// HookDigest is the digest of the executable that wrote it.
	HookDigest string           `json:"hookDigest,omitempty"`
	Ops        []values.Stamped `json:"ops"`
}

// Flag is a dynamic enabled flag and the global hook that set it.
type Flag struct {
	On   bool   `json:"on"`
	Hook string `json:"hook"`
}
