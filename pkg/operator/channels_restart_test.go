package operator_test

import (
	"os"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// A module that lies on disk moves to a source and back when its user says so, and to nothing lower without.
// The process may end at any time, also with its cache and the registry.
func TestAModuleMovesAndOutlivesItsOperator(t *testing.T) {
	s, c := newShop(t), newClinic(t)
	s.chart("100-moved", shown("moved", "v", "1.0.0"))
	s.write("modules/100-moved/module.yaml", 0o644, "version: 1.0.0\n")
	version := func(v string) catalog.Ref {
		return s.module("moved", v, shown("moved", "v", v), c.definition(v, ""))
	}
	s.settings(map[string]string{"movedEnabled": "true"})
	s.promote("stable", "moved", version("1.1.0"), nil)
	stop := s.start()
	s.follow("  modules: [moved]\n" + quick)
	s.followed("stable")

	// A source that may bring it does not take what lies on disk.
	s.runs("moved", "1.0.0")
	s.shown("1.0.0", configMaps, "moved", "data", "v")
	s.edit("movedSource", s.source)
	s.deployed("moved", "1.1.0")
	s.shown("1.1.0", configMaps, "moved", "data", "v")
	s.edit("movedSource", "embedded")
	s.kept("moved", "1.1.0", "DowngradeIgnored", "embedded", "1.0.0")
	s.edit("movedVersion", "1.0.0")
	s.runs("moved", "1.0.0")
	s.shown("1.0.0", configMaps, "moved", "data", "v")
	s.phase("moved", "1.1.0", "Superseded")
	s.edit("movedVersion", "", "movedSource", s.source)
	s.deployed("moved", "1.1.0")

	// A process that ends while a version is verified: the next one goes on, and back.
	s.follow("  modules: [moved]\n  update: {soak: 1s, timeout: 10s}\n")
	c.ails("1.2.0", true)
	s.promote("stable", "moved", version("1.2.0"), nil)
	s.phase("moved", "1.2.0", "Verifying")
	s.shown("1.2.0", configMaps, "moved", "data", "v")
	stop()
	stop = s.start()
	s.phase("moved", "1.2.0", "RolledBack", "1.2.0")
	s.deployed("moved", "1.1.0")
	s.shown("1.1.0", configMaps, "moved", "data", "v")
	c.ails("1.3.0", true)
	s.promote("stable", "moved", version("1.3.0"), nil)
	s.phase("moved", "1.3.0", "Verifying")
	stop()
	c.ails("1.3.0", false)
	stop = s.start()
	s.deployed("moved", "1.3.0")
	s.phase("moved", "1.1.0", "Superseded")

	// Cache and registry are gone at a start: what is installed stays, says why, and gets its files back.
	before := s.revision("moved")
	stop()
	s.Down()
	if err := os.RemoveAll(s.Config.CacheDir); err != nil {
		t.Fatal(err)
	}
	stop = s.start()
	s.wants("moved", "Ready", "False", "1.3.0", s.source, "refused")
	s.sourceSays("Ready", "False Unreachable")
	s.sameRevisions(map[string]int{"moved": before})
	s.shown("1.3.0", configMaps, "moved", "data", "v")
	s.Up()
	s.sourceSays("Ready", "True")
	s.deployed("moved", "1.3.0")
	s.shown("1.3.0", configMaps, "moved", "data", "v")

	// With the cache, a start needs no registry.
	stop()
	s.Down()
	s.start()
	s.sourceSays("Ready", "False Unreachable")
	s.ready("moved")
	s.edit("moved", "any: value\n")
	s.ready("moved")
	s.Up()
	s.promote("stable", "moved", version("1.4.0"), nil)
	s.deployed("moved", "1.4.0")
}
