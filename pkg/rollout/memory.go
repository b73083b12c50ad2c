package rollout

import (
	"maps"
	"reflect"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// recall takes over what the last process remembered.
func (e *Engine) recall(m source.Memory) {
	maps.Copy(e.marks, m.Marks)
	maps.Copy(e.tracks, m.Tracks)
	maps.Copy(e.layers, m.Layers)
	e.up = e.cfg.Now()
	e.remember()
}

// Memory is what is to be remembered over restarts. It may be called by anybody.
func (e *Engine) Memory() source.Memory {
	e.remembered.mu.Lock()
	defer e.remembered.mu.Unlock()
	return e.remembered.memory
}

// remember publishes the memory, so that it is written before Helm acts upon it.
func (e *Engine) remember() {
	m := source.Memory{Marks: maps.Clone(e.marks), Tracks: maps.Clone(e.tracks), Layers: maps.Clone(e.layers)}
	e.remembered.mu.Lock()
	same := reflect.DeepEqual(e.remembered.memory, m)
	e.remembered.memory = m
	e.remembered.mu.Unlock()
	if !same && e.loop != nil && e.cfg.Ports.Touch != nil {
		e.cfg.Ports.Touch()
	}
}

// keepLayer remembers the user's section when the module was well with it, and begins and ends the
// time in which it stands in for a newer one.
func (e *Engine) keepLayer(name string, before, now source.Track) {
	if now.Good != before.Good {
		e.layers[name] = values.Clone(e.settings.Sections[keyOf(name)]).(values.Map)
	}
	if now.Held == before.Held || name == artifact.GlobalName {
		return
	}
	if now.Held == "" {
		e.loop.Hold(name, nil)
		return
	}
	e.loop.Hold(name, &source.Hold{While: now.Held, Layer: e.layers[name]})
	e.log.Warn("the section that the version before ran well with is in force until the user's next change of it", "module", name, "key", keyOf(name))
}
