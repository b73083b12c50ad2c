package rollout

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// saw waits for nothing: it says whether the newest status of the source has a reason, and how many
// Events began with a text.
func (s *site) saw(t *testing.T, reason, event string, times int) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.events[len(s.events)-1]
	if !strings.Contains(last, " "+reason+": ") {
		t.Errorf("the source shows %q, expected %s", last, reason)
	}
	n := 0
	for _, e := range s.told {
		if strings.HasPrefix(e, event) {
			n++
		}
	}
	if n != times {
		t.Errorf("%d Events %q, expected %d: %q", n, event, times, s.told)
	}
}

func TestASourceThatCanBeReachedAgainSaysSoThoughNothingIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.publish("1.0.0", nil)
		s.start()
		s.rest(10 * time.Minute)
		s.fall(true)
		s.rest(5 * time.Minute)
		s.saw(t, reasonUnreachable, "true Unreachable", 1)
		s.fall(false)
		s.rest(5 * time.Minute)
		s.saw(t, reasonFollowed, "false Followed", 2)
		s.stop()
	})
}

func TestARefusedDocumentStaysRefusedUntilAnotherComesOrTheKeysChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s := newSite(t)
		own := s.key
		s.key = other
		s.publish("1.0.0", nil)
		s.start()
		s.rest(10 * time.Minute)
		s.saw(t, reasonSignature, "true SignatureInvalid", 1)
		// An outage in between hides the reason, and does not change it.
		s.fall(true)
		s.rest(5 * time.Minute)
		s.saw(t, reasonUnreachable, "true Unreachable", 1)
		s.fall(false)
		s.rest(5 * time.Minute)
		s.saw(t, reasonSignature, "true SignatureInvalid", 2)
		// The key is added: the document that lies there already is taken.
		public, err := x509.MarshalPKIXPublicKey(&other.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		s.source.Keys = append(slices.Clone(s.source.Keys), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
		s.write()
		s.rest(10 * time.Minute)
		s.saw(t, reasonFollowed, "false Followed", 1)
		if s.runs() != "1.0.0" {
			t.Errorf("%s runs", s.runs())
		}
		// Two documents in turn, each refused: each is told of.
		s.source.Keys = s.source.Keys[:1]
		s.key = own
		s.publish("1.1.0", nil)
		s.write()
		s.rest(10 * time.Minute)
		s.key = other
		s.publish("1.2.0", nil)
		s.rest(5 * time.Minute)
		s.publish("1.3.0", nil)
		s.rest(5 * time.Minute)
		s.saw(t, reasonSignature, "true SignatureInvalid", 4)
		if s.runs() != "1.1.0" {
			t.Errorf("%s runs", s.runs())
		}
		s.stop()
	})
}

// A document may list the bytes of one module under the name of another: that one is refused, and the first goes on.
func TestBytesThatAreListedUnderTwoNamesAreUsedUnderTheirOwnOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, name := range []string{"aaa", "zzz"} { // stepped before web, and after it
			s := newSite(t)
			twice := func(d *catalog.Document) { d.Modules[name] = d.Modules["web"] }
			s.publish("1.0.0", twice)
			s.start()
			s.rest(10 * time.Minute)
			s.publish("1.1.0", twice)
			s.rest(time.Hour)
			if s.runs() != "1.1.0" {
				t.Errorf("%s runs; the track is %s", s.runs(), s.track())
			}
			s.mu.Lock()
			told := slices.ContainsFunc(s.told, func(e string) bool {
				return strings.HasPrefix(e, name+" true FetchFailed: version 1.1.0") && strings.Contains(e, "holds module web")
			})
			if s.set.Get(name) != nil || len(s.set.Modules) != 1 || !told {
				t.Errorf("the modules are %v, and told was %q", s.set.Modules, s.told)
			}
			s.mu.Unlock()
			s.stop()
		}
	})
}

func TestArtifactsThatNobodyNeedsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var refs []catalog.Ref
		for _, v := range []string{"1.0.0", "1.1.0", "1.2.0", "1.3.0"} {
			refs = append(refs, s.publish(v, nil))
			if len(refs) == 1 {
				s.start()
			}
			s.rest(10 * time.Minute)
		}
		s.mu.Lock()
		defer s.stop()
		defer s.mu.Unlock()
		if !slices.Equal(s.dropped, []string{refs[0].Digest, refs[1].Digest}) {
			t.Errorf("dropped are %v of %v", s.dropped, refs)
		}
	})
}

// A cache that is full makes room for whatever is read: what runs and what to go back to is pinned before.
func TestWhatRunsIsPinnedBeforeTheCacheIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		for i, v := range []string{"1.0.0", "1.1.0"} {
			s.publish(v, nil)
			if i == 0 {
				s.start()
			}
			s.rest(10 * time.Minute)
		}
		s.stop()
		s.Pin(nil) // as the cache of a new process is
		s.start()
		s.rest(time.Minute)
		if s.runs() != "1.1.0" || len(s.unpinned) > 0 {
			t.Errorf("%s runs, and was read without being pinned: %v", s.runs(), s.unpinned)
		}
		s.stop()
	})
}
