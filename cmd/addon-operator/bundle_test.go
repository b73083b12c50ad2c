package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

func TestBundlesOfTheCommandLine(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	dir := t.TempDir()
	from, to := testkit.Registry(t), testkit.Registry(t)
	root, mirror := "oci://"+from.Host+"/addons", "oci://"+to.Host+"/mirror"
	pushed, err := output(t, "module", "push", "../../modules/102-cert-manager-issuers", root)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(pushed)
	ours, oursPublic := newKey(t, dir, "ours")
	_, theirs := newKey(t, dir, "theirs")
	ref := catalog.Ref{Version: words[1], Digest: words[2]}
	text, err := catalog.Encode(catalog.Document{Channel: "stable", Seq: 1, CreatedAt: time.Unix(1e9, 0).UTC(),
		Modules: map[string]catalog.Entry{words[0]: {Ref: ref, PromotedAt: time.Unix(1e9, 0).UTC()}}})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := catalog.Sign(text, ours)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.PushChannel(t.Context(), registry.Remote{URL: root}, "stable", 1, text, signature, ""); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "b.tar")
	if _, err := output(t, "bundle", "save", "--channel", "stable", "-o", file, "--verify-key", theirs, root); err == nil {
		t.Error("a bundle was saved whose document nobody we know has signed")
	}
	said, err := output(t, "bundle", "save", "--channel", "stable", "-o", file, "--verify-key", oursPublic, root)
	if err != nil || said != "module "+pushed+"channel stable, seq 1\n" {
		t.Fatal(said, err)
	}
	if _, err := output(t, "bundle", "load", file, "--to", mirror, "--verify-key", theirs); err == nil {
		t.Error("a bundle was loaded whose document nobody we know has signed")
	}
	if _, err := output(t, "bundle", "load", file, "--to", mirror); err != nil {
		t.Fatal(err)
	}
	if got, err := registry.ReadChannel(t.Context(), registry.Remote{URL: mirror}, "stable"); err != nil || string(got.Document) != string(text) {
		t.Error(err)
	}
	if ok, err := registry.Exists(t.Context(), registry.Remote{URL: mirror}, words[0], words[2]); !ok || err != nil {
		t.Error(ok, err)
	}
	if _, err := output(t, "bundle", "load", file); err == nil || !strings.Contains(err.Error(), `"to" not set`) {
		t.Errorf("without --to: %v", err)
	}
}

// newKey makes a key and writes its public part; it answers both.
func newKey(t *testing.T, dir, name string) (private *ecdsa.PrivateKey, public string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := catalog.EncodePublicKey(&private.PublicKey)
	public = filepath.Join(dir, name+".pub")
	if err = errors.Join(err, os.WriteFile(public, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return private, public
}
