package operator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/report"
)

// quick is a policy that is soon content.
const quick = "  update: {soak: 0s, timeout: 1m}\n"

// closed is a policy whose only window is half a year away; more are further keys of it.
func closed(more string) string {
	far := time.Now().UTC().AddDate(0, 0, 180)
	return fmt.Sprintf("  update: {soak: 0s, timeout: 1m, windows: [{cron: \"0 0 1 %d *\", duration: 1h}]%s}\n", far.Month(), more)
}

// Which version of a module runs: what the channel says, what the user pins, and never a lower one by itself.
func TestAVersionIsChosenAndKept(t *testing.T) {
	s := newShop(t)
	v := map[string]catalog.Ref{}
	for _, n := range []string{"1.0.0", "1.0.9", "1.1.0", "1.1.5", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.5.1"} {
		v[n] = s.module("pick", n, shown("pick", "v", n), nil)
	}
	offers := func(refs ...catalog.Ref) func(*catalog.Document, *catalog.Entry) {
		return func(_ *catalog.Document, e *catalog.Entry) { e.Available = refs }
	}
	s.settings(map[string]string{"pickEnabled": "true"})
	s.promote("stable", "pick", v["1.0.0"], nil)
	s.start()
	s.follow("  modules: [pick]\n" + quick)
	s.deployed("pick", "1.0.0")
	s.promote("stable", "pick", v["1.2.0"], offers(v["1.1.5"], v["1.1.0"], v["1.0.0"]))
	s.deployed("pick", "1.2.0")
	s.wants("pick", "UpToDate", "True")

	// An exact version goes down, a range takes the highest, and does not go down.
	s.edit("pickVersion", "1.1.0")
	s.deployed("pick", "1.1.0")
	s.edit("pickVersion", "~1.1")
	s.deployed("pick", "1.1.5")
	s.edit("pickVersion", "<1.1")
	s.kept("pick", "1.1.5", "DowngradeIgnored", "1.0.0", "pick", "exactly")
	s.edit("pickVersion", "1.7.0")
	s.kept("pick", "1.1.5", "VersionNotOffered", "1.7.0")
	// A digest that is listed; one that is not, only where the source says so.
	s.edit("pickVersion", v["1.0.0"].Digest)
	s.deployed("pick", "1.0.0")
	s.edit("pickVersion", v["1.0.9"].Digest)
	s.kept("pick", "1.0.0", "VersionNotOffered", v["1.0.9"].Digest)
	s.follow("    allowUnlistedDigests: true\n  modules: [pick]\n" + quick)
	s.deployed("pick", "1.0.9")
	s.follow("  modules: [pick]\n" + quick)
	s.edit("pickVersion", "")
	s.deployed("pick", "1.2.0")
	s.shown("1.2.0", configMaps, "pick", "data", "v")

	s.anotherSource(v["1.3.0"])

	// A module that leaves the channel keeps running.
	s.publish("stable", func(d *catalog.Document) { d.Modules = map[string]catalog.Entry{} })
	s.kept("pick", "1.3.0", "NotInChannel", "keeps running")
	s.ready("pick")

	// What runs is yanked: it is told, waits for the window, and moves on at once where policy says so.
	s.follow("  modules: [pick]\n" + closed(""))
	yanks := func(_ *catalog.Document, e *catalog.Entry) {
		e.Yanked = []catalog.Yanked{{Version: "1.3.0", Reason: "it loses data"}}
		e.Available = []catalog.Ref{v["1.2.0"]}
	}
	s.promote("stable", "pick", v["1.2.0"], func(d *catalog.Document, e *catalog.Entry) { yanks(d, e); e.Available = nil })
	s.kept("pick", "1.3.0", "DowngradeIgnored", "1.3.0", "yanked", "it loses data")
	s.promote("stable", "pick", v["1.4.0"], yanks)
	s.phase("pick", "1.4.0", "Scheduled", "OutsideWindow")
	s.kept("pick", "1.3.0", "OutsideWindow", "yanked", "it loses data")
	s.follow("  modules: [pick]\n" + closed(", leaveYanked: true"))
	s.deployed("pick", "1.4.0")

	// The channel goes back.
	s.follow("  modules: [pick]\n" + quick)
	s.promote("stable", "pick", v["1.2.0"], func(d *catalog.Document, e *catalog.Entry) { yanks(d, e); e.Available, e.Rollback = nil, true })
	s.deployed("pick", "1.2.0")
	s.shown("1.2.0", configMaps, "pick", "data", "v")

	// Urgency does not wait for the window that policy lets it pass.
	s.follow("  modules: [pick]\n" + closed(", urgentIgnoresWindows: true"))
	s.publish("stable", func(d *catalog.Document) {
		d.Modules["pick"] = catalog.Entry{Ref: v["1.5.0"], PromotedAt: time.Now().UTC()}
	})
	s.phase("pick", "1.5.0", "Scheduled", "OutsideWindow")
	s.publish("stable", func(d *catalog.Document) {
		d.Modules["pick"] = catalog.Entry{Ref: v["1.5.1"], PromotedAt: time.Now().UTC(), Urgency: catalog.Security}
	})
	s.deployed("pick", "1.5.1")
	s.phase("pick", "1.5.0", "Skipped", "1.5.1")
}

// anotherSource lists the module too, beside version 1.2.0, which runs: nothing changes until it is chosen.
func (s *shop) anotherSource(next catalog.Ref) {
	s.t.Helper()
	r := s.rival("rival")
	higher := r.module("pick", "1.2.5", shown("pick", "v", "1.2.5"), nil)
	r.promote("stable", "pick", higher, nil)
	before := s.revision("pick")
	r.follow(quick)
	r.followed("stable")
	s.wants("pick", "UpToDate", "True")
	r.follow("  modules: [\"p*\"]\n" + quick)
	s.kept("pick", "1.2.0", "AmbiguousSource", s.source, r.source, "…Source")
	s.sameRevisions(map[string]int{"pick": before})
	s.edit("pickSource", r.source)
	s.deployed("pick", "1.2.5")
	if got := fmt.Sprint(s.field("pick", "source")); got != r.source {
		s.t.Errorf("the module comes from %s, expected %s", got, r.source)
	}
	// Losing the key, or the source, lowers nothing.
	s.edit("pickSource", "")
	s.kept("pick", "1.2.5", "AmbiguousSource")
	if err := s.Dynamic.Resource(report.Sources).Delete(s.ctx, r.source, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.kept("pick", "1.2.5", "DowngradeIgnored", "1.2.0")
	s.promote("stable", "pick", next, nil)
	s.deployed("pick", next.Version)
	if got := fmt.Sprint(s.field("pick", "source")); !strings.HasPrefix(got, "corp-") {
		s.t.Errorf("the module comes from %s", got)
	}
}
