package settings

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

const (
	channelsKey    = "channels"  // in the ConfigMap
	channelsSecret = "channels." // + module, in the Secret
)

// IsFact says that a key of the Secret is one that Facts.Encode writes.
func IsFact(key string) bool {
	return strings.HasPrefix(key, factsSecrets) || strings.HasPrefix(key, channelsSecret)
}

// encodeChannels adds what is remembered of channels: marks and tracks to the ConfigMap, sections of values to the Secret.
func encodeChannels(m source.Memory, public map[string]string, private map[string][]byte) error {
	if len(m.Marks) > 0 || len(m.Tracks) > 0 {
		text, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("facts of channels: %w", err)
		}
		public[channelsKey] = string(text)
	}
	byModule := map[string]map[string]values.Map{}
	for name, layer := range m.Layers {
		module, _, _ := strings.Cut(name, "/")
		if byModule[module] == nil {
			byModule[module] = map[string]values.Map{}
		}
		byModule[module][name] = layer
	}
	for module, layers := range byModule {
		text, err := json.Marshal(layers)
		if err != nil {
			return fmt.Errorf("sections kept of %s: %w", module, err)
		}
		private[channelsSecret+module] = text
	}
	return nil
}

// decodeChannels reads what encodeChannels wrote, in facts of any version: that no older document of a
// channel is ever taken hangs on it.
func decodeChannels(public map[string]string, private map[string][]byte) (source.Memory, []Problem) {
	var m source.Memory
	var problems []Problem
	if text, ok := public[channelsKey]; ok {
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			m = source.Memory{}
			problems = append(problems, Problem{Key: channelsKey, Message: fmt.Sprintf(
				"%v; it is dropped: the next valid document of each channel is trusted, and no rollback of what runs is possible", err)})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(private)) {
		module, ok := strings.CutPrefix(key, channelsSecret)
		if !ok {
			continue
		}
		layers, err := decodeLayers(module, private[key])
		if err != nil {
			problems = append(problems, Problem{Key: key, Message: err.Error() + "; it is dropped: a rollback goes on with the section as it is"})
			continue
		}
		if m.Layers == nil {
			m.Layers = map[string]values.Map{}
		}
		maps.Copy(m.Layers, layers)
	}
	return m, problems
}

// decodeLayers repeats nothing of a text that may be secret.
func decodeLayers(module string, text []byte) (map[string]values.Map, error) {
	bad := fmt.Errorf("expected JSON of the sections that module %s ran well with", module)
	v, err := values.Decode(text)
	if err != nil {
		return nil, bad
	}
	all, ok := v.(values.Map)
	if !ok {
		return nil, bad
	}
	out := map[string]values.Map{}
	for name, v := range all {
		layer, ok := v.(values.Map)
		if of, _, _ := strings.Cut(name, "/"); of != module || !ok && v != nil {
			return nil, bad
		}
		out[name] = layer
	}
	return out, nil
}
