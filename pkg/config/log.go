package config

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"

	"github.com/addon-operator/addon-operator/pkg/settings"
)

// LogEvents switches on or off that every change of the settings is logged with
// the whole of them, secret values masked (C-383).
func (s *Store) LogEvents(on bool) { s.logs.Store(on) }

// logChange needs the turn.
func (s *Store) logChange(now settings.Settings) {
	if !s.logs.Load() {
		return
	}
	s.cfg.Logger.Info("settings changed", "configMap", s.cfg.Name, "exists", now.Exists, "changed", settings.Changed(s.known, now),
		slog.GroupAttrs("content", s.masked(now)...))
}

// masked is a reading for people, one attribute a key of the ConfigMap.
func (s *Store) masked(now settings.Settings) []slog.Attr {
	var out []slog.Attr
	add := func(key string, v any) {
		if text, err := json.Marshal(v); err == nil {
			out = append(out, slog.String(key, string(text)))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(now.Sections)) {
		add(key, s.schemas(key).Hide(now.FromSecrets(key)).MaskSecrets(now.Sections[key]))
	}
	for _, key := range slices.Sorted(maps.Keys(now.Enabled)) {
		add(key+"Enabled", now.Enabled[key])
	}
	for _, key := range slices.Sorted(maps.Keys(now.Maintenance)) {
		add(key+"Maintenance", now.Maintenance[key])
	}
	for _, key := range slices.Sorted(maps.Keys(now.PausedUntil)) {
		add(key+"PausedUntil", now.PausedUntil[key])
	}
	for _, key := range slices.Sorted(maps.Keys(now.ValuesFrom)) {
		var sources []string
		for _, v := range now.ValuesFrom[key] {
			sources = append(sources, v.String())
		}
		add(key+"ValuesFrom", sources)
	}
	return out
}
