package publish

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// desk is a publisher with a clock that the test moves.
type desk struct {
	*Channels
	*shelf
	key *ecdsa.PrivateKey
	now time.Time
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{shelf: newShelf(t), key: key, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	d.Channels = &Channels{Remote: d.remote, Keys: catalog.PublicOf(key), Sign: WithKey(key), Now: func() time.Time { return d.now }}
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
	old := d.add(t, "loki", "1.0.0", "")
	d.promote(t, Promotion{Module: "loki", Version: "1.0.0", To: "ea"})
	d.promote(t, Promotion{Module: "loki", From: "ea", To: "stable"})
	d.now = d.now.Add(time.Hour)
	recent := d.add(t, "loki", "1.1.0", "")
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
	if at, err := d.At(ctx, "stable", 4); err != nil || at.Manifest != heads[0].Manifest || at.Manifest != h.Manifest {
		t.Error("the channel and its history are of two minds", err)
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
	sign := func(t *testing.T, document []byte, key *ecdsa.PrivateKey) []byte {
		t.Helper()
		out, err := catalog.Sign(document, key)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, test := range map[string]struct {
		harm func(t *testing.T, d *desk, ea Head)
		want string
	}{
		"another key": {func(t *testing.T, d *desk, ea Head) { d.write(t, "ea", 2, ea.Bytes, sign(t, ea.Bytes, stranger.key)) }, "signature does not match"},
		"an altered document": {func(t *testing.T, d *desk, ea Head) {
			d.write(t, "ea", 7, bytes.Replace(ea.Bytes, []byte(`"seq": 1`), []byte(`"seq": 7`), 1), ea.Signature)
		}, "signature does not match"},
		"a document of another channel": {func(t *testing.T, d *desk, _ Head) { d.move(t, "channels/manifests/stable", "channels/manifests/ea") }, "of channel stable: somebody moved the tag"},
		"no channel":                    {func(t *testing.T, d *desk, _ Head) { d.request(t, http.MethodDelete, "channels/manifests/ea", nil) }, "channel init ea"},
		"a signed text that is none": {func(t *testing.T, d *desk, _ Head) {
			d.write(t, "ea", 2, []byte("{}"), sign(t, []byte("{}"), d.key))
		}, "channel document"},
		"a module in its place": {func(t *testing.T, d *desk, _ Head) {
			d.add(t, "loki", "1.0.0", "")
			d.move(t, "modules/loki/manifests/1.0.0", "channels/manifests/ea")
		}, "channels:ea"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			ea := d.init(t, "ea")
			d.init(t, "stable")
			test.harm(t, d, ea)
			writes := len(d.tagged())
			_, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected %q, got %v", test.want, err)
			}
			if _, err := d.Verify(t.Context(), "ea", 0); err == nil {
				t.Error("verified")
			}
			if len(d.tagged()) != writes {
				t.Error("something was written")
			}
		})
	}
}

func TestPromotionLooksAtTheArtifact(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(t *testing.T, d *desk)
		want string
	}{
		"that was not pushed": {func(*testing.T, *desk) {}, "module push"},
		"of another name": {func(t *testing.T, d *desk) {
			d.add(t, "mimir", "1.0.0", "")
			d.move(t, "modules/mimir/manifests/1.0.0", "modules/loki/manifests/1.0.0")
		}, "holds module mimir"},
		"of another version": {func(t *testing.T, d *desk) {
			d.add(t, "loki", "2.0.0", "")
			d.move(t, "modules/loki/manifests/2.0.0", "modules/loki/manifests/1.0.0")
		}, "holds version 2.0.0"},
		"that is a channel": {func(t *testing.T, d *desk) { d.move(t, "channels/manifests/ea", "modules/loki/manifests/1.0.0") }, "loki 1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.init(t, "ea")
			test.set(t, d)
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
		d.add(t, "loki", v, "")
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
	one := d.add(t, "loki", "1.0.0", "")
	two := d.add(t, "loki", "2.0.0", "")
	d.add(t, "loki", "3.0.0", "release: {upgradeFrom: '>=2.0.0 <3.0.0'}\n")
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
		team.add(t, "loki", v, "")
		team.promote(t, Promotion{Module: "loki", Version: v, To: "ea"})
	}
	p := Promotion{Module: "loki", From: "ea", To: "stable", Path: []string{"1.0.0"}, Source: team.Channels}
	planned, err := shop.PlanPromotion(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(shop.tagged()) != 2 {
		t.Error("a plan copies", shop.tagged())
	}
	if h := shop.commit(t, planned, nil); h.SignedBy == team.Keys.IDs()[0] {
		t.Error("signed by the other side")
	}
	if want := []string{"channels:stable-1", "channels:stable", "modules/loki:1.1.0", "modules/loki:1.0.0", "channels:stable-2", "channels:stable"}; !slices.Equal(shop.tagged(), want) {
		t.Errorf("artifacts must be there before the document that lists them: %v", shop.tagged())
	}
	team.Down()
	if a, err := shop.Verify(t.Context(), "stable", 0); err != nil || len(a.Problems) > 0 {
		t.Error(a.Problems, err)
	}
}

func TestPromoteAllTakesWhatIsHigherAndRipe(t *testing.T) {
	d := newDesk(t)
	d.init(t, "ea")
	d.init(t, "stable")
	for _, m := range []string{"loki", "mimir", "tempo"} {
		d.add(t, m, "1.0.0", "")
		d.promote(t, Promotion{Module: m, Version: "1.0.0", To: "ea"})
	}
	d.promote(t, Promotion{Module: "tempo", From: "ea", To: "stable"})
	d.now = d.now.Add(time.Hour)
	d.add(t, "mimir", "1.1.0", "")
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

// TestALostRaceIsNoticed: a second publisher writes ahead of every request of the first, in turn.
func TestALostRaceIsNoticed(t *testing.T) {
	d := newDesk(t)
	d.init(t, "ea")
	p, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	d.hook(func(string, string) bool { requests.Add(1); return false })
	d.commit(t, p, nil)
	if requests.Load() < 5 {
		t.Fatal("requests are not counted")
	}
	for at := range requests.Load() {
		t.Run(fmt.Sprintf("ahead of request %d", at), func(t *testing.T) { lostRace(t, at) })
	}
}

func lostRace(t *testing.T, at int32) {
	d := newDesk(t)
	d.init(t, "ea")
	p, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	var theirErr error
	where := ""
	d.hook(func(method, path string) bool {
		if n.Add(1) == at+1 {
			where = method + " " + path
			_, theirErr = d.Commit(context.WithoutCancel(t.Context()), theirs)
		}
		return false
	})
	_, err = d.Commit(t.Context(), p)
	d.Intercept(nil)
	h, headErr := d.Head(t.Context(), "ea")
	if headErr != nil {
		t.Fatal(headErr)
	}
	for _, e := range []error{err, theirErr} {
		if e != nil && !errors.Is(e, ErrLostRace) {
			t.Error(where, e)
		}
	}
	ours := bytes.Equal(h.Bytes, p.Bytes)
	switch {
	case err == nil && theirErr == nil:
		t.Errorf("%s: both wrote, and nobody was told", where)
	case err == nil && !ours, theirErr == nil && ours:
		t.Errorf("%s: told %v and %v, and the channel is ours: %v", where, err, theirErr, ours)
	}
	if at, err := d.At(t.Context(), "ea", 2); err != nil || at.Manifest != h.Manifest {
		t.Errorf("%s: the history has another document than the channel (%v)", where, err)
	}
}

func TestWhatFailsHalfWayIsNotInForceAndStopsNobodyForLong(t *testing.T) {
	d := newDesk(t)
	first := d.init(t, "ea")
	d.hook(func(method, path string) bool {
		return method == http.MethodPut && strings.HasSuffix(path, "/manifests/ea")
	})
	p, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), p); err == nil {
		t.Error("written")
	}
	d.Intercept(nil)
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
	d.request(t, http.MethodDelete, "channels/manifests/ea-2", nil)
	heads, err := d.History(t.Context(), "ea", 0)
	if err == nil || len(heads) != 2 || !strings.Contains(err.Error(), "seq 3 follows") {
		t.Error(len(heads), err)
	}
	d.move(t, "channels/manifests/ea-3", "channels/manifests/ea-2")
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
	ref := d.add(t, "loki", "1.0.0", "")
	d.promote(t, Promotion{Module: "loki", Version: "1.0.0", To: "ea"})
	p, err := d.Plan(t.Context(), "ea", catalog.SetLifetime(time.Hour))
	d.commit(t, p, err)
	d.request(t, http.MethodDelete, "modules/loki/manifests/"+ref.Digest, nil)
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
	d.request(t, http.MethodDelete, "channels/manifests/ea", nil) // the tag is lost, the history is not
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
	if _, err := d.Commit(t.Context(), p); !errors.Is(err, catalog.ErrSignature) || len(d.tagged()) != 2 {
		t.Error(err, d.tagged())
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
	d.add(t, "loki", "1.0.0", "")
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
