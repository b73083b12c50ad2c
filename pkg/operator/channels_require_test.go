package operator_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/report"
)

// What a version requires: a way there over the path, other versions, facts that global hooks of the same source
// find. And what an old document, and a suspended source, do not bring.
func TestAVersionWaitsForWhatItRequires(t *testing.T) {
	s := newShop(t)
	s.Config.Version = "1.0.0"
	needs := func(version, release string) catalog.Ref {
		return s.module("walk", version, shown("walk", "v", version), map[string]string{"module.yaml": "version: " + version + "\n" + release})
	}
	path := []catalog.Ref{needs("1.5.0", "release: {upgradeFrom: '>=1.0'}\n"), needs("2.0.0", "release: {upgradeFrom: '>=1.5'}\n")}
	s.settings(map[string]string{"walkEnabled": "true", "globalSource": s.source}) // there is a folder of global hooks on disk
	s.promote("stable", "walk", needs("1.0.0", ""), nil)
	s.start()
	s.follow("  modules: [walk, other]\n" + quick)
	s.deployed("walk", "1.0.0")

	// Step by step, where upgradeFrom asks for it; without a step between, it stays and says so.
	s.promote("stable", "walk", needs("3.0.0", "release: {upgradeFrom: '>=2.0 <3.0'}\n"), func(_ *catalog.Document, e *catalog.Entry) { e.Available = nil })
	s.kept("walk", "1.0.0", "NoUpgradePath", "3.0.0", ">=2.0 <3.0")
	s.publish("stable", func(d *catalog.Document) {
		e := d.Modules["walk"]
		e.Path = path
		d.Modules["walk"] = e
	})
	s.deployed("walk", "3.0.0")
	for _, step := range []string{"1.0.0", "1.5.0", "2.0.0"} {
		s.phase("walk", step, "Superseded")
	}
	if got := s.revision("walk"); got != 4 {
		t.Errorf("the release has revision %d, expected one for each of four versions", got)
	}

	// Each requirement is named, all together.
	plain := func(_ *catalog.Document, e *catalog.Entry) { e.Path, e.Available = nil, nil }
	s.promote("stable", "walk", needs("4.0.0", "requires: [{module: other, version: '>=2'}]\nrelease: {requires: {kubernetes: '>=9.0', operator: '>=7.0', facts: [global.zones]}}\n"), plain)
	s.phase("walk", "4.0.0", "Pending", "Blocked", "requires Kubernetes >=9.0", "requires addon-operator >=7.0, and this is 1.0.0", "requires module other, which", "requires the fact global.zones")
	s.kept("walk", "3.0.0", "Blocked", "global.zones")

	// Those that can be met are: a module that is enabled, in the version, and a fact that a global hook finds.
	s.promote("stable", "walk", needs("4.1.0", "requires: [{module: other, version: '>=2'}]\nrelease: {requires: {facts: [global.zones]}}\n"), plain)
	s.phase("walk", "4.1.0", "Pending", "Blocked", "requires module other, which", "requires the fact global.zones")
	s.phase("walk", "4.0.0", "Skipped", "4.1.0")
	s.promote("stable", "other", s.module("other", "1.0.0", shown("other", "v", "one"), nil), nil)
	s.phase("walk", "4.1.0", "Pending", "Blocked", "requires module other, which is off")
	s.edit("otherEnabled", "true")
	s.phase("walk", "4.1.0", "Pending", "Blocked", "version 1.0.0 runs here")
	s.promote("stable", "other", s.module("other", "2.0.0", shown("other", "v", "two"), nil), nil)
	s.deployed("other", "2.0.0")
	s.phase("walk", "4.1.0", "Pending", "Blocked", "global.zones")
	s.publish("stable", func(d *catalog.Document) {
		d.Global = &catalog.Entry{Ref: s.global("1.0.0", map[string]string{"zones.sh": finds("zones", `["a"]`)}), PromotedAt: time.Now().UTC()}
	})
	s.phase("global", "1.0.0", "Deployed")
	s.deployed("walk", "4.1.0")

	s.globalGoesFirst(needs)
	s.oldDocument(needs)
}

// finds is a hook that sets a global value to JSON when it starts.
func finds(key, json string) string {
	return script("onStartup: 1", `echo '{"op":"add","path":"/global/`+key+`","value":`+json+`}' >"$VALUES_JSON_PATCH_PATH"`)
}

// globalGoesFirst: global hooks are applied before the modules of the same document, and undone when they fail.
func (s *shop) globalGoesFirst(needs func(version, release string) catalog.Ref) {
	s.t.Helper()
	next := needs("4.2.0", "release: {requires: {facts: [global.racks]}}\n")
	s.publish("stable", func(d *catalog.Document) {
		d.Global = &catalog.Entry{Ref: s.global("1.1.0", map[string]string{"zones.sh": finds("zones", `["a","b"]`), "racks.sh": finds("racks", `7`)}), PromotedAt: time.Now().UTC()}
		d.Modules["walk"] = catalog.Entry{Ref: next, PromotedAt: time.Now().UTC()}
	})
	s.phase("global", "1.1.0", "Deployed")
	s.phase("global", "1.0.0", "Superseded")
	s.deployed("walk", "4.2.0")

	// Broken ones go back; the module of the same document, which does not need them, goes on after that.
	broken := map[string]string{"racks.sh": script("onStartup: 1", "echo no racks here >&2; exit 3"), "zones.sh": finds("zones", `["c"]`)}
	s.publish("stable", func(d *catalog.Document) {
		d.Global = &catalog.Entry{Ref: s.global("1.2.0", broken), PromotedAt: time.Now().UTC()}
		d.Modules["walk"] = catalog.Entry{Ref: needs("4.3.0", ""), PromotedAt: time.Now().UTC()}
	})
	s.phase("walk", "4.3.0", "Pending", "global hooks of the same document come first")
	s.phase("global", "1.2.0", "RolledBack", "racks.sh")
	s.phase("global", "1.1.0", "Deployed")
	s.deployed("walk", "4.3.0")
	s.deployed("other", "2.0.0")
}

// oldDocument: what has expired, and what is suspended, brings nothing new, and takes nothing away.
func (s *shop) oldDocument(needs func(version, release string) catalog.Ref) {
	s.t.Helper()
	next := needs("5.0.0", "")
	s.promote("stable", "walk", next, func(d *catalog.Document, _ *catalog.Entry) {
		d.CreatedAt = time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
		d.ExpiresAt = d.CreatedAt.Add(time.Minute)
	})
	s.sourceSays("SourceStale", "True Expired", "channel stable", "keeps running")
	s.kept("walk", "4.3.0", "SourceStale", "expired")
	s.ready("walk")
	before := s.revision("walk")
	s.edit("walk", "any: value\n") // the user's own change is no upgrade
	s.eventually(func() bool { return fmt.Sprint(s.field("walk", "version")) == "4.3.0" && s.revision("walk") >= before }, "the module goes on")
	s.follow("  suspend: true\n  modules: [walk, other]\n" + quick)
	s.sourceSays("Ready", "False Suspended")
	s.publish("stable", func(d *catalog.Document) { d.ExpiresAt = time.Time{} })
	s.phase("walk", "5.0.0", "Suspended", "SourceSuspended", s.source)
	s.kept("walk", "4.3.0", "SourceSuspended")
	s.follow("  modules: [walk, other]\n" + quick)
	s.sourceSays("SourceStale", "False")
	s.sourceSays("Ready", "True")
	s.deployed("walk", "5.0.0")

	// Without the ModuleSource what runs keeps running; with it again, the same document is no news.
	if err := s.Dynamic.Resource(report.Sources).Delete(s.ctx, s.source, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.kept("walk", "5.0.0", "SourceMissing", s.source)
	s.ready("walk", "other")
	s.follow("  modules: [walk, other]\n" + quick)
	s.sourceSays("Ready", "True")
	s.wants("walk", "UpToDate", "True")
	s.promote("stable", "walk", needs("5.1.0", ""), nil)
	s.deployed("walk", "5.1.0")
}
