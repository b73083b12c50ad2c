package operator_test

import (
	"os"
	"testing"
	"time"

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

// Global hooks that fail keep the first pass of a new process from ever ending. They are taken back all the same,
// without a registry, and modules go on.
func TestBrokenGlobalHooksAreUndoneAfterARestart(t *testing.T) {
	s := newShop(t)
	s.settings(map[string]string{"racksEnabled": "true", "globalSource": s.source})
	s.promote("stable", "racks", s.module("racks", "1.0.0", shown("racks", "count", "\"n{{ .Values.global.racks }}\""), nil), nil)
	s.publish("stable", func(d *catalog.Document) {
		d.Global = &catalog.Entry{Ref: s.global("1.0.0", map[string]string{"racks.sh": finds("racks", "7")}), PromotedAt: time.Now().UTC()}
	})
	stop := s.start()
	s.follow("  modules: [racks]\n" + quick)
	s.phase("global", "1.0.0", "Deployed")
	s.deployed("racks", "1.0.0")
	s.shown("n7", configMaps, "racks", "data", "count")
	s.follow("  modules: [racks]\n  update: {soak: 3s, timeout: 1m}\n")

	broken := script("onStartup: 1", "echo no racks here >&2; exit 3")
	s.publish("stable", func(d *catalog.Document) {
		d.Global = &catalog.Entry{Ref: s.global("1.1.0", map[string]string{"racks.sh": broken}), PromotedAt: time.Now().UTC()}
	})
	s.phase("global", "1.1.0", "Applying")
	before := s.revision("racks")
	stop()
	s.Down()
	s.start()
	s.phase("global", "1.1.0", "RolledBack", "racks.sh")
	s.phase("global", "1.0.0", "Deployed")
	s.ready("racks")
	s.shown("n7", configMaps, "racks", "data", "count")
	s.sameRevisions(map[string]int{"racks": before})
}
