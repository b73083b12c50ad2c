package operator_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/report"
)

// The registry may go away at any time, and the cache be as small as it gets: what runs, and what to go back
// to, is there; what had begun goes on when it can.
func TestAnOutageOfTheRegistryStopsNothingThatHasBegun(t *testing.T) {
	s := newShop(t)
	s.Config.CacheSize = 1 // nothing stays in the cache but what is pinned
	s.settings(map[string]string{"webEnabled": "true"})
	const spec = "  modules: [web]\n  update: {soak: 1s, timeout: 6s}\n"
	push := func(version, more string) {
		s.promote("stable", "web", s.module("web", version, shown("web", "v", version)+more, nil), nil)
	}
	push("1.0.0", "")

	// Down before the first start.
	s.Down()
	stop := s.start()
	s.follow(spec)
	s.refused("Unreachable", "connection refused")
	s.Up()
	s.phase("web", "1.0.0", "Deployed")
	s.runs("web", "1.0.0")
	s.follows()
	was := s.witness("web")

	// Down between the document and the artifact, over a restart.
	next := s.module("web", "1.1.0", shown("web", "v", "1.1.0"), nil)
	s.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/modules/web/") && r.Method == http.MethodGet {
			panic(http.ErrAbortHandler) // as a connection that breaks
		}
		return false
	})
	s.promote("stable", "web", next, nil)
	s.phase("web", "1.1.0", "Pending", "FetchFailed", "modules/web")
	s.eventually(func() bool { return s.event("web", "FetchFailed", "version 1.1.0") }, "an Event tells of 1.1.0")
	s.Down()
	s.unchanged("web", was)
	stop()
	stop = s.start()
	s.refused("Unreachable", "connection refused")
	s.runs("web", "1.0.0")
	s.phase("web", "1.1.0", "Pending", "FetchFailed")
	s.unchanged("web", was)
	s.Intercept(nil)
	s.Up()
	s.phase("web", "1.1.0", "Deployed")
	s.shown("1.1.0", configMaps, "web", "data", "v")

	// Down between the fetch and the apply, over a restart: the approval is enough.
	s.edit("webUpdate", "Manual")
	push("1.2.0", "")
	s.phase("web", "1.2.0", "Pending", "WaitingForApproval")
	s.Down()
	stop()
	stop = s.start()
	s.runs("web", "1.1.0")
	s.phase("web", "1.2.0", "Pending", "WaitingForApproval")
	name := fmt.Sprint(s.release("web", "1.2.0")["name"])
	if _, err := s.Dynamic.Resource(report.Releases).Patch(s.ctx, name, types.MergePatchType, []byte(`{"spec":{"approved":true}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	s.phase("web", "1.2.0", "Deployed")
	s.shown("1.2.0", configMaps, "web", "data", "v")

	// Down after a bad version was put in force, with a restart before it is undone: the way back is in the cache.
	s.Up()
	s.edit("webUpdate", "")
	s.follows()
	bad := s.module("web", "1.3.0", shown("web", "v", "1.3.0")+unschedulable, nil)
	s.promote("stable", "web", bad, nil)
	s.phase("web", "1.3.0", "Verifying")
	s.Down()
	stop()
	stop = s.start()
	s.phase("web", "1.3.0", "RolledBack")
	s.runs("web", "1.2.0")
	s.shown("1.2.0", configMaps, "web", "data", "v")
	stop()
	s.start()
	s.runs("web", "1.2.0")
	s.phase("web", "1.2.0", "Deployed")
	s.unchanged("web", s.witness("web"))

	// Of what nobody needs, nothing is left: what runs is a manifest with four blobs, the document one with two.
	s.eventually(func() bool { return len(s.cacheFiles()) <= 8 }, "at most 8 files are in the cache: %v", s.cacheFiles())
	s.eventually(func() bool {
		unpacked, err := filepath.Glob(filepath.Join(s.Config.CacheDir, "run-*", "*"))
		return err == nil && len(unpacked) == 1
	}, "what runs is unpacked, and nothing else")
}

// A registry that hangs and one that floods cost their own sources some requests, and nobody else anything:
// other sources and modules go on, and what is read is bounded.
func TestARegistryThatHangsOrFloodsHoldsUpNobodyElse(t *testing.T) {
	s := newShop(t)
	s.settings(map[string]string{"webEnabled": "true"})
	s.promote("stable", "web", s.module("web", "1.0.0", shown("web", "v", "1.0.0"), nil), nil)
	s.chart("100-disk", shown("disk", "v", "{{ .Values.disk.v | default 1 | quote }}"))
	s.edit("diskEnabled", "true")
	var rivals []*shop
	for _, root := range []string{"hang", "hang-later", "flood", "flood-later"} {
		r := s.rival(root)
		r.publish("stable", func(*catalog.Document) {})
		rivals = append(rivals, r)
	}

	// Below /shop all is well; each of the other roots hangs or floods at another place.
	var served, requests, hanging atomic.Int64
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		root, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
		get := r.Method == http.MethodGet
		switch {
		case root == "hang", root == "hang-later" && get && strings.Contains(path, "/blobs/"):
			hanging.Add(1)
			<-r.Context().Done()
		case root == "flood" && get && strings.Contains(path, "/manifests/"), root == "flood-later" && get && strings.Contains(path, "/blobs/"):
			requests.Add(1)
			served.Add(flood(w))
		default:
			return false
		}
		return true
	})
	s.start()
	for _, r := range rivals {
		r.follow("  modules: [none]\n")
	}
	bad := map[*shop]struct{ reason, says string }{
		rivals[0]: {"Unreachable", "took more than 5s"},
		rivals[1]: {"Unreachable", "took more than 5s"},
		rivals[2]: {"IntegrityError", "expected at most"},
		rivals[3]: {"IntegrityError", "expected at most"},
	}
	s.follow("  modules: [web]\n  update: {soak: 1s, timeout: 20s}\n")
	s.phase("web", "1.0.0", "Deployed")
	for r, b := range bad {
		t.Log(r.root)
		r.refused(b.reason, b.says)
	}
	// Each of them goes on, and so does everything else.
	before := hanging.Load() + requests.Load()
	s.promote("stable", "web", s.module("web", "1.1.0", shown("web", "v", "1.1.0"), nil), nil)
	s.phase("web", "1.1.0", "Deployed")
	s.edit("disk", "v: 7\n")
	s.shown("7", configMaps, "disk", "data", "v")
	s.eventually(func() bool { return hanging.Load()+requests.Load() > before }, "the other sources are asked again")
	s.follows()
	// The bound of a manifest or document, and what lies in buffers on the way.
	const most = 24 << 20
	if each := served.Load() / max(requests.Load(), 1); each > most {
		t.Errorf("%d bytes were taken of each of %d floods, expected at most %d", each, requests.Load(), most)
	}
}
