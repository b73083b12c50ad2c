package publish

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// desk is a publisher with a clock that the test moves.
type desk struct {
	*Channels
	store *memory
	key   *ecdsa.PrivateKey
	now   time.Time
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{store: newMemory(), key: key, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	d.Channels = &Channels{Store: d.store, Keys: catalog.PublicOf(key), Sign: WithKey(key), Now: func() time.Time { return d.now }}
	return d
}

func (d *desk) init(t *testing.T, channel string) Head {
	t.Helper()
	p, err := d.PlanInit(t.Context(), catalog.Beginning{Channel: channel})
	return d.commit(t, p, err)
}

func (d *desk) commit(t *testing.T, p Plan, err error) Head {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	h, err := d.Commit(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (d *desk) promote(t *testing.T, p Promotion) Head {
	t.Helper()
	planned, err := d.PlanPromotion(t.Context(), p)
	return d.commit(t, planned, err)
}

func TestAVersionTravelsFromItsPushToStableAndBack(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	d.init(t, "ea")
	d.init(t, "stable")
	old := d.store.add(artifact.Meta{Name: "loki", Version: "1.0.0"})
	d.promote(t, Promotion{Module: "loki", Version: "1.0.0", To: "ea"})
	d.promote(t, Promotion{Module: "loki", From: "ea", To: "stable"})
	d.now = d.now.Add(time.Hour)
	recent := d.store.add(artifact.Meta{Name: "loki", Version: "1.1.0"})
	d.promote(t, Promotion{Module: "loki", Version: "1.1.0", To: "ea"})
	d.now = d.now.Add(48 * time.Hour)
	h := d.promote(t, Promotion{Module: "loki", Version: "1.1.0", From: "ea", To: "stable", Promotion: catalog.Promotion{MinSoak: 48 * time.Hour}})
	if e := h.Modules["loki"]; e.Ref != recent || e.From != "ea" || !slices.Equal(e.Available, []catalog.Ref{old}) || h.Seq != 3 {
		t.Errorf("%+v", h.Document)
	}
	p, err := d.Plan(ctx, "stable", catalog.Rollback("loki", "1.0.0", catalog.Return{Yank: "too loud"}))
	h = d.commit(t, p, err)
	if e := h.Modules["loki"]; e.Ref != old || !e.Rollback || h.Seq != 4 {
		t.Errorf("%+v", h.Document)
	}
	heads, err := d.History(ctx, "stable", 0)
	if err != nil || len(heads) != 4 {
		t.Fatal(len(heads), err)
	}
	if heads[0].Manifest != d.store.channels["stable"].Manifest || heads[0].Manifest != d.store.channels["stable-4"].Manifest {
		t.Error("the channel and its history are of two minds")
	}
	var text bytes.Buffer
	WriteLog(&text, "stable", Log(heads))
	for _, want := range []string{"stable-4  2026-03-03T13:00:00Z", "loki 1.1.0 > 1.0.0", "rollback", "1.1.0 is yanked: too loud", "loki 1.0.0 > 1.1.0", "loki 1.0.0 (", "from ea", "stable-1"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in:\n%s", want, text.String())
		}
	}
	a, err := d.Verify(ctx, "stable", 0)
	if err != nil || len(a.Problems) > 0 || a.Documents != 4 || a.Artifacts != 1 {
		t.Errorf("%+v %v", a.Problems, err)
	}
}

func TestWhatIsReadMustBeSignedAndBelongThere(t *testing.T) {
	stranger := newDesk(t)
	for name, test := range map[string]struct {
		harm func(d *desk)
		want string
	}{
		"another key": {func(d *desk) {
			s := d.store.channels["ea"]
			s.Signature, _ = catalog.Sign(s.Document, stranger.key)
			d.store.channels["ea"] = s
		}, "signature does not match"},
		"an altered document": {func(d *desk) {
			s := d.store.channels["ea"]
			s.Document = bytes.Replace(s.Document, []byte(`"seq": 1`), []byte(`"seq": 7`), 1)
			d.store.channels["ea"] = s
		}, "signature does not match"},
		"no signature":                  {func(d *desk) { s := d.store.channels["ea"]; s.Signature = nil; d.store.channels["ea"] = s }, "signature does not match"},
		"a document of another channel": {func(d *desk) { d.store.channels["ea"] = d.store.channels["stable"] }, "of channel stable: somebody moved the tag"},
		"no channel":                    {func(d *desk) { delete(d.store.channels, "ea") }, "channel init ea"},
		"a signed text that is none": {func(d *desk) {
			s := Stored{Document: []byte("{}")}
			s.Signature, _ = catalog.Sign(s.Document, d.key)
			d.store.channels["ea"] = s
		}, "channel document"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.init(t, "ea")
			d.init(t, "stable")
			test.harm(d)
			writes := len(d.store.writes)
			_, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected %q, got %v", test.want, err)
			}
			if _, err := d.Verify(t.Context(), "ea", 0); err == nil {
				t.Error("verified")
			}
			if len(d.store.writes) != writes {
				t.Error("something was written")
			}
		})
	}
}

func TestPromotionLooksAtTheArtifact(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(d *desk)
		want string
	}{
		"that was not pushed": {func(*desk) {}, "module push"},
		"of another name": {func(d *desk) {
			d.store.tags["loki:1.0.0"] = d.store.add(artifact.Meta{Name: "mimir", Version: "1.0.0"}).Digest
		}, "says that it is mimir 1.0.0"},
		"of another version": {func(d *desk) {
			d.store.tags["loki:1.0.0"] = d.store.add(artifact.Meta{Name: "loki", Version: "2.0.0"}).Digest
		}, "says that it is loki 2.0.0"},
		"whose tag leads nowhere": {func(d *desk) { d.store.tags["loki:1.0.0"] = catalog.Digest(nil) }, "not there"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.init(t, "ea")
			test.set(d)
			_, err := d.PlanPromotion(t.Context(), Promotion{Module: "loki", Version: "1.0.0", To: "ea"})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected %q, got %v", test.want, err)
			}
		})
	}
}

func TestSoakOfAVersionThatWasReplacedIsInTheHistory(t *testing.T) {
	d := newDesk(t)
	d.init(t, "ea")
	d.init(t, "stable")
	for _, v := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		d.store.add(artifact.Meta{Name: "loki", Version: v})
		d.promote(t, Promotion{Module: "loki", Version: v, To: "ea"})
		d.now = d.now.Add(24 * time.Hour)
	}
	soak := func(version string, want time.Duration) error {
		_, err := d.PlanPromotion(t.Context(), Promotion{Module: "loki", Version: version, From: "ea", To: "stable", Promotion: catalog.Promotion{MinSoak: want}})
		return err
	}
	if err := soak("1.1.0", 48*time.Hour); err != nil {
		t.Error(err)
	}
	if err := soak("1.1.0", 49*time.Hour); err == nil || !strings.Contains(err.Error(), "try again in 1h0m0s") {
		t.Error(err)
	}
}

func TestPathIsFoundByListAndByTag(t *testing.T) {
	d := newDesk(t)
	d.init(t, "ea")
	one := d.store.add(artifact.Meta{Name: "loki", Version: "1.0.0"})
	two := d.store.add(artifact.Meta{Name: "loki", Version: "2.0.0"})
	d.store.add(artifact.Meta{Name: "loki", Version: "3.0.0", UpgradeFrom: ">=2.0.0 <3.0.0"})
	d.promote(t, Promotion{Module: "loki", Version: "1.0.0", To: "ea"})
	p, err := d.PlanPromotion(t.Context(), Promotion{Module: "loki", Version: "3.0.0", To: "ea"})
	if err != nil || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "upgrades from >=2.0.0 <3.0.0 only") {
		t.Error(p.Warnings, err)
	}
	p, err = d.PlanPromotion(t.Context(), Promotion{Module: "loki", Version: "3.0.0", To: "ea", Path: []string{"1.0.0", "2.0.0"}})
	if err != nil || len(p.Warnings) != 0 {
		t.Fatal(p.Warnings, err)
	}
	if e := p.After.Modules["loki"]; !slices.Equal(e.Path, []catalog.Ref{one, two}) {
		t.Error(e.Path)
	}
	if _, err = d.PlanPromotion(t.Context(), Promotion{Module: "loki", Version: "3.0.0", To: "ea", Path: []string{"1.5.0"}}); err == nil || !strings.Contains(err.Error(), "path: loki 1.5.0 was not pushed") {
		t.Error(err)
	}
}

func TestPromotionFromAnotherRootCopiesWhatIsNew(t *testing.T) {
	team, shop := newDesk(t), newDesk(t)
	team.init(t, "ea")
	shop.init(t, "stable")
	for _, v := range []string{"1.0.0", "1.1.0"} {
		team.store.add(artifact.Meta{Name: "loki", Version: v})
		team.promote(t, Promotion{Module: "loki", Version: v, To: "ea"})
	}
	p := Promotion{Module: "loki", From: "ea", To: "stable", Path: []string{"1.0.0"}, Source: team.Channels}
	planned, err := shop.PlanPromotion(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(shop.store.byDigest) != 0 {
		t.Error("a plan copies")
	}
	h := shop.commit(t, planned, nil)
	if len(shop.store.byDigest) != 2 || h.SignedBy == team.Keys.IDs()[0] {
		t.Errorf("%d artifacts, signed by %s", len(shop.store.byDigest), h.SignedBy)
	}
	if want := []string{"stable-1", "stable", "loki:1.1.0", "loki:1.0.0", "stable-2", "stable"}; !slices.Equal(shop.store.writes, want) {
		t.Errorf("artifacts must be there before the document that lists them: %v", shop.store.writes)
	}
	if a, err := shop.Verify(t.Context(), "stable", 0); err != nil || len(a.Problems) > 0 {
		t.Error(a.Problems, err)
	}
}

func TestPromoteAllTakesWhatIsHigherAndRipe(t *testing.T) {
	d := newDesk(t)
	d.init(t, "ea")
	d.init(t, "stable")
	for _, m := range []string{"loki", "mimir", "tempo"} {
		d.store.add(artifact.Meta{Name: m, Version: "1.0.0"})
		d.promote(t, Promotion{Module: m, Version: "1.0.0", To: "ea"})
	}
	d.promote(t, Promotion{Module: "tempo", From: "ea", To: "stable"})
	d.now = d.now.Add(time.Hour)
	d.store.add(artifact.Meta{Name: "mimir", Version: "1.1.0"})
	d.promote(t, Promotion{Module: "mimir", Version: "1.1.0", To: "ea"})
	all := Promotion{From: "ea", To: "stable", Promotion: catalog.Promotion{MinSoak: time.Hour}}
	p, err := d.PlanAll(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "mimir 1.1.0") || !slices.Equal(p.After.Names(), []string{"loki", "tempo"}) {
		t.Error(p.Warnings, p.After.Names())
	}
	d.commit(t, p, nil)
	if _, err := d.PlanAll(t.Context(), all); !errors.Is(err, catalog.ErrNoChange) || !strings.Contains(err.Error(), "mimir 1.1.0") {
		t.Error(err)
	}
}

// TestALostRaceIsNoticed: a second publisher writes at every request of the first.
func TestALostRaceIsNoticed(t *testing.T) {
	// How many requests one Commit has.
	d := newDesk(t)
	d.init(t, "ea")
	p, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	requests := 0
	d.store.before = func(string, string) error { requests++; return nil }
	d.commit(t, p, nil)

	for at := range requests {
		d := newDesk(t)
		d.init(t, "ea")
		second := *d.Channels
		p, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := second.Plan(t.Context(), "ea", catalog.SetLifetime(2*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		var theirErr error
		d.store.before = func(string, string) error {
			if n++; n == at+1 {
				d.store.before = nil
				_, theirErr = second.Commit(context.WithoutCancel(t.Context()), theirs)
			}
			return nil
		}
		_, err = d.Commit(t.Context(), p)
		d.store.before = nil
		lost := 0
		for _, e := range []error{err, theirErr} {
			if errors.Is(e, ErrLostRace) {
				lost++
			} else if e != nil {
				t.Error(e)
			}
		}
		h, headErr := d.Head(t.Context(), "ea")
		if headErr != nil {
			t.Fatal(headErr)
		}
		if lost == 0 {
			t.Errorf("both wrote, the second at request %d, and nobody was told", at)
		}
		ours := bytes.Equal(h.Bytes, p.Bytes)
		if err == nil != ours && lost == 1 {
			t.Errorf("request %d: told %v, and the channel is ours: %v", at, err, ours)
		}
	}
}

func TestWhatFailsHalfWayIsNotInForceAndStopsNobodyForLong(t *testing.T) {
	d := newDesk(t)
	first := d.init(t, "ea")
	broken := errors.New("connection reset")
	d.store.before = func(kind, tag string) error {
		if kind == "push" && tag == "ea" {
			return broken
		}
		return nil
	}
	p, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), p); !errors.Is(err, broken) || !strings.Contains(err.Error(), "written as ea-2") {
		t.Error(err)
	}
	d.store.before = nil
	if h, err := d.Head(t.Context(), "ea"); err != nil || h.Manifest != first.Manifest {
		t.Error("the channel moved", err)
	}
	if _, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour)); !errors.Is(err, ErrLostRace) || !strings.Contains(err.Error(), "try again in 5m0s") {
		t.Error(err)
	}
	d.now = d.now.Add(abandoned)
	p, err = d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
	h := d.commit(t, p, err)
	if h.Seq != 3 {
		t.Error("the number of an unfinished document was taken again:", h.Seq)
	}
	heads, err := d.History(t.Context(), "ea", 0)
	if err != nil || len(heads) != 2 || heads[1].Seq != 1 {
		t.Error("the history does not pass over it:", len(heads), err)
	}
}

func TestHistoryTellsOfWhatIsMissingAndReplaced(t *testing.T) {
	d := newDesk(t)
	d.init(t, "ea")
	for range 3 {
		p, err := d.Plan(t.Context(), "ea")
		d.commit(t, p, err)
	}
	removed := maps.Clone(d.store.channels)
	delete(d.store.channels, "ea-2")
	heads, err := d.History(t.Context(), "ea", 0)
	if err == nil || len(heads) != 2 || !strings.Contains(err.Error(), "seq 3 follows") {
		t.Error(len(heads), err)
	}
	d.store.channels = removed
	d.store.channels["ea-2"] = d.store.channels["ea-3"]
	if heads, err = d.History(t.Context(), "ea", 0); err == nil || !strings.Contains(err.Error(), "somebody moved the tag") {
		t.Error(len(heads), err)
	}
	if a, err := d.Verify(t.Context(), "ea", 0); err != nil || len(a.Problems) != 1 {
		t.Error(a.Problems, err)
	}
	if heads, err = d.History(t.Context(), "ea", 2); err != nil || len(heads) != 2 {
		t.Error("the newest two are in order", len(heads), err)
	}
}

func TestVerifyTellsOfExpiryAndMissingArtifacts(t *testing.T) {
	d := newDesk(t)
	d.init(t, "ea")
	ref := d.store.add(artifact.Meta{Name: "loki", Version: "1.0.0"})
	d.promote(t, Promotion{Module: "loki", Version: "1.0.0", To: "ea"})
	p, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
	d.commit(t, p, err)
	delete(d.store.byDigest, ref.Digest)
	d.now = d.now.Add(time.Hour)
	a, err := d.Verify(t.Context(), "ea", 0)
	if err != nil || len(a.Problems) != 2 || !strings.Contains(a.Problems[0], "expired at 2026-03-01T13:00:00Z") || !strings.Contains(a.Problems[1], "loki 1.0.0") {
		t.Error(a.Problems, err)
	}
	var text bytes.Buffer
	a.Write(&text)
	if strings.Count(text.String(), "problem:") != 2 {
		t.Error(text.String())
	}
}

func TestAChannelBeginsOnce(t *testing.T) {
	d := newDesk(t)
	d.init(t, "ea")
	if _, err := d.PlanInit(t.Context(), catalog.Beginning{Channel: "ea"}); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Error(err)
	}
	delete(d.store.channels, "ea") // the tag is lost, the history is not
	d.now = d.now.Add(time.Hour)
	if _, err := d.PlanInit(t.Context(), catalog.Beginning{Channel: "ea"}); err == nil || !strings.Contains(err.Error(), "--seq 2") {
		t.Error(err)
	}
	p, err := d.PlanInit(t.Context(), catalog.Beginning{Channel: "ea", Seq: 2})
	if h := d.commit(t, p, err); h.Seq != 2 {
		t.Error(h.Seq)
	}
}

func TestAKeyThatNobodyTrustsWritesNothing(t *testing.T) {
	d := newDesk(t)
	d.init(t, "ea")
	d.Sign = WithKey(newDesk(t).key)
	p, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), p); !errors.Is(err, catalog.ErrSignature) || len(d.store.writes) != 2 {
		t.Error(err, d.store.writes)
	}
	d.Sign = nil
	if _, err := d.Commit(t.Context(), p); err == nil || !strings.Contains(err.Error(), "--key") {
		t.Error(err)
	}
}

func TestAPlanIsShownAsAPatch(t *testing.T) {
	d := newDesk(t)
	p, err := d.PlanInit(t.Context(), catalog.Beginning{Channel: "ea"})
	if err != nil || !strings.HasPrefix(p.Patch(), "--- /dev/null\n+++ ea-1\n") {
		t.Error(p.Patch(), err)
	}
	d.commit(t, p, nil)
	d.store.add(artifact.Meta{Name: "loki", Version: "1.0.0"})
	p, err = d.PlanPromotion(t.Context(), Promotion{Module: "loki", Version: "1.0.0", To: "ea"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--- ea-1\n+++ ea-2\n", "-  \"seq\": 1,", "+  \"seq\": 2,", "+      \"version\": \"1.0.0\","} {
		if !strings.Contains(p.Patch(), want) {
			t.Errorf("%q is not in:\n%s", want, p.Patch())
		}
	}
}

func TestSignCommand(t *testing.T) {
	key := newDesk(t).key
	document := []byte("a document")
	signature, err := catalog.Sign(document, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sig"), signature, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sig64"), []byte(base64.StdEncoding.EncodeToString(signature)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ command, want string }{
		"that answers in DER":    {"cat >" + dir + "/seen; cat " + dir + "/sig", ""},
		"that answers in base64": {"cat >" + dir + "/seen; cat " + dir + "/sig64", ""},
		"that fails":             {"exit 3", "exit status 3"},
		"that says nothing":      {"cat >/dev/null", "0 bytes"},
		"that floods":            {"cat >/dev/null; head -c 1000 /dev/zero", "1000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := WithCommand(test.command)(t.Context(), document)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("expected %q, got %v", test.want, err)
				}
				return
			}
			if err != nil || !bytes.Equal(got, signature) {
				t.Errorf("%x %v", got, err)
			}
			if seen, err := os.ReadFile(filepath.Join(dir, "seen")); err != nil || !bytes.Equal(seen, document) {
				t.Errorf("the command was given %q (%v)", seen, err)
			}
		})
	}
}

func TestNewKeyOverwritesNothing(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "release")
	id, err := NewKey(prefix)
	if err != nil {
		t.Fatal(err)
	}
	private, err := os.ReadFile(prefix + ".key")
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(prefix + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key, err := catalog.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := catalog.ParseKeys([]string{string(public)})
	if err != nil || keys.IDs()[0] != id || catalog.PublicOf(key).IDs()[0] != id {
		t.Error("the files are of two keys", err)
	}
	if info, err := os.Stat(prefix + ".key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if _, err := NewKey(prefix); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	if again, err := os.ReadFile(prefix + ".key"); err != nil || !bytes.Equal(again, private) {
		t.Error("the key was overwritten", err)
	}
}
