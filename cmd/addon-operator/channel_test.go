package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// publisher runs commands against one root.
type publisher struct {
	root string
	dir  string // of keys and modules
}

// command runs one, and answers both outputs.
func command(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	root := &cobra.Command{Use: "addon-operator", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(moduleCommand(), channelCommand())
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// channel runs a command on the root with the key called release.
func (p publisher) channel(t *testing.T, args ...string) (string, string, error) {
	t.Helper()
	return command(t, append([]string{"channel"}, append(args, "--root", p.root, "--key", filepath.Join(p.dir, "release.key"))...)...)
}

// must runs a command that has to succeed.
func (p publisher) must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := p.channel(t, args...)
	if err != nil {
		t.Fatalf("channel %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	return out
}

// refused runs a command that has to fail with this status and these words.
func (p publisher) refused(t *testing.T, status int, words []string, args ...string) {
	t.Helper()
	_, _, err := p.channel(t, args...)
	p.failed(t, err, status, words, args)
}

func (publisher) failed(t *testing.T, err error, status int, words, args []string) {
	t.Helper()
	if err == nil {
		t.Errorf("channel %s: taken", strings.Join(args, " "))
		return
	}
	got := 1
	if coded := (interface{ ExitCode() int })(nil); errors.As(err, &coded) {
		got = coded.ExitCode()
	}
	if got != status {
		t.Errorf("channel %s: status %d, expected %d: %v", strings.Join(args, " "), got, status, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("channel %s: %q is not in: %v", strings.Join(args, " "), w, err)
		}
	}
}

// push packs and pushes a version of the module hello.
func (p publisher) push(t *testing.T, version string) {
	t.Helper()
	dir := filepath.Join(p.dir, version, "010-hello")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "version: " + version + "\ndescription: says hello\n"
	if err := os.WriteFile(filepath.Join(dir, "module.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(dir, artifact.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.PushModule(t.Context(), registry.Remote{URL: p.root}, a); err != nil {
		t.Fatal(err)
	}
}

func (p publisher) keygen(t *testing.T, name string) {
	t.Helper()
	if _, _, err := command(t, "channel", "keygen", "--out", filepath.Join(p.dir, name)); err != nil {
		t.Fatal(err)
	}
}

// document is what a channel has, as cluster and openssl see it.
func (p publisher) document(t *testing.T, channel string) catalog.Document {
	t.Helper()
	d, err := catalog.Parse([]byte(p.must(t, "show", channel, "-o", "json")))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// eachRoot runs a test against a registry and against a directory.
func eachRoot(t *testing.T, test func(t *testing.T, p publisher)) {
	t.Run("in a registry", func(t *testing.T) {
		test(t, publisher{"oci://" + testkit.Registry(t).Host + "/team/modules", t.TempDir()})
	})
	t.Run("in an image layout", func(t *testing.T) {
		test(t, publisher{"oci-layout://" + filepath.Join(t.TempDir(), "layout"), t.TempDir()})
	})
}

func TestChannelCommandsFromKeygenToRollback(t *testing.T) {
	eachRoot(t, func(t *testing.T, p publisher) {
		p.keygen(t, "release")
		p.must(t, "init", "ea", "--expires", "720h")
		p.must(t, "init", "stable", "--waves", "4", "--interval", "6h")
		p.push(t, "1.0.0")
		p.push(t, "1.1.0")
		p.must(t, "promote", "hello", "1.0.0", "--to", "ea")
		p.must(t, "promote", "hello", "1.0.0", "--from", "ea", "--to", "stable")
		p.must(t, "promote", "hello", "1.1.0", "--to", "ea", "--annotate", "ticket=OPS-7")

		before := p.must(t, "show", "stable", "-o", "json")
		p.refused(t, 1, []string{"hello 1.1.0 is in channel ea since", "at least 48h0m0s", "try again in 4"},
			"promote", "hello", "1.1.0", "--from", "ea", "--to", "stable", "--min-soak", "48h")
		patch := p.must(t, "promote", "hello", "--from", "ea", "--to", "stable", "--dry-run")
		for _, want := range []string{"--- stable-2", "+++ stable-3", `+      "version": "1.1.0"`, `+      "from": "ea"`} {
			if !strings.Contains(patch, want) {
				t.Errorf("%q is not in the patch:\n%s", want, patch)
			}
		}
		if after := p.must(t, "show", "stable", "-o", "json"); after != before {
			t.Error("a refusal or a dry run changed the channel")
		}

		out := p.must(t, "promote", "hello", "--from", "ea", "--to", "stable", "--urgency", "security", "--extend-path")
		if !strings.Contains(out, "channel stable is at seq 3") || !strings.Contains(out, "hello 1.0.0 > 1.1.0") || !strings.Contains(out, "from ea, security") {
			t.Error(out)
		}
		d := p.document(t, "stable")
		ea := p.document(t, "ea")
		if e := d.Modules["hello"]; e.Digest != ea.Modules["hello"].Digest || len(e.Available) != 1 || len(e.Path) != 1 || d.Rollout.Waves != 4 || d.Previous != catalog.Digest([]byte(before)) {
			t.Errorf("%+v", d)
		}
		if out := p.must(t, "promote", "hello", "--from", "ea", "--to", "stable"); !strings.Contains(out, "nothing to change: hello is at 1.1.0") {
			t.Error("again:", out)
		}

		p.refused(t, 1, []string{"version in force", "--yank REASON"}, "yank", "hello", "1.1.0", "--channel", "stable", "--reason", "loud")
		p.must(t, "rollback", "hello", "1.0.0", "--channel", "stable", "--yank", "too loud")
		p.must(t, "yank", "hello", "0.9.0", "--channel", "stable", "--reason", "never worked")
		p.must(t, "renew", "stable", "--expires", "240h")
		p.must(t, "rollout", "stable")
		if e := p.document(t, "stable").Modules["hello"]; e.Version != "1.0.0" || !e.Rollback || len(e.Yanked) != 2 {
			t.Errorf("%+v", e)
		}
		p.refused(t, 1, []string{"was yanked: too loud"}, "promote", "hello", "--from", "ea", "--to", "stable")

		history := p.must(t, "log", "stable")
		at := 0
		for _, want := range []string{"stable-7 ", "rollout: 4 waves, 6h0m0s apart > all at once", "stable-6 ", "expires: never > ", "stable-5 ", "0.9.0 is yanked: never worked",
			"stable-4 ", "hello 1.1.0 > 1.0.0", "1.1.0 is yanked: too loud", "stable-3 ", "hello 1.0.0 > 1.1.0", "stable-2 ", "hello 1.0.0 (", "stable-1 "} {
			i := strings.Index(history[at:], want)
			if i < 0 {
				t.Fatalf("%q is not there, or not in order:\n%s", want, history)
			}
			at += i
		}
		if short := p.must(t, "log", "stable", "-n", "1"); strings.Contains(short, "stable-6 ") || !strings.Contains(short, "rollout") {
			t.Error(short)
		}
		if out := p.must(t, "verify", "stable"); !strings.Contains(out, "documents of its history: 7, artifacts: 1\n") {
			t.Error(out)
		}
		if out := p.must(t, "diff", "stable-3", "stable-4"); !strings.Contains(out, "hello 1.1.0 > 1.0.0") {
			t.Error(out)
		}
		if out := p.must(t, "diff", "stable-3"); !strings.Contains(out, "hello 1.0.0 > 1.1.0") {
			t.Error(out)
		}
		var changes struct{ Changes []catalog.Change }
		if err := json.Unmarshal([]byte(p.must(t, "diff", "stable", "ea", "-o", "json")), &changes); err != nil || len(changes.Changes) == 0 {
			t.Error(changes, err)
		}
		if out := p.must(t, "diff", "ea", "stable", "-o", "patch"); !strings.Contains(out, "--- ea-3\n+++ stable-7") {
			t.Error(out)
		}
		if out := p.must(t, "show", "stable"); !regexp.MustCompile(`(?m)^hello +1\.0\.0 +sha256:[0-9a-f]{12} .* rollback; yanked 1\.1\.0; yanked 0\.9\.0$`).MatchString(out) {
			t.Error(out)
		}
		p.must(t, "remove", "hello", "--channel", "stable")
		if d := p.document(t, "stable"); len(d.Modules) != 0 || d.Seq != 8 {
			t.Errorf("%+v", d)
		}
	})
}

func TestChannelCommandsRefuse(t *testing.T) {
	p := publisher{"oci://" + testkit.Registry(t).Host + "/modules", t.TempDir()}
	p.keygen(t, "release")
	p.keygen(t, "stranger")
	p.must(t, "init", "ea")
	p.push(t, "1.0.0")
	p.must(t, "promote", "hello", "1.0.0", "--to", "ea")
	before := p.must(t, "show", "ea", "-o", "json")
	for name, test := range map[string]struct {
		status int
		words  []string
		args   []string
	}{
		"a channel that is there":         {1, []string{"channel ea is there already"}, []string{"init", "ea"}},
		"a channel that is not there":     {1, []string{"channel stable is not there", "channel init stable"}, []string{"promote", "hello", "--from", "ea", "--to", "stable"}},
		"a version that was not pushed":   {1, []string{"hello 3.0.0 was not pushed", "module push"}, []string{"promote", "hello", "3.0.0", "--to", "ea"}},
		"a version to go back to":         {1, []string{"0.1.0 is not offered"}, []string{"rollback", "hello", "0.1.0", "--channel", "ea"}},
		"a name that is none":             {1, []string{`channel "E A"`}, []string{"init", "E A"}},
		"an urgency that is not known":    {1, []string{"urgency"}, []string{"promote", "hello", "1.0.0", "--to", "ea", "--urgency", "now"}},
		"a yank without reason":           {2, []string{"--reason"}, []string{"yank", "hello", "1.0.0", "--channel", "ea"}},
		"a promotion to nowhere":          {2, []string{"--to"}, []string{"promote", "hello", "1.0.0"}},
		"a promotion of nothing":          {2, []string{"--all"}, []string{"promote", "--to", "ea"}},
		"all and one":                     {2, []string{"--all"}, []string{"promote", "hello", "--all", "--to", "ea", "--from", "x"}},
		"an edit of no channel":           {2, []string{"--channel"}, []string{"remove", "hello"}},
		"a soak of what is in no channel": {1, []string{"--min-soak needs --from"}, []string{"promote", "hello", "1.0.0", "--to", "ea", "--min-soak", "1h"}},
		"an output that is not known":     {2, []string{"text, json or patch"}, []string{"diff", "ea", "-o", "yaml"}},
		"two ways to sign":                {2, []string{"exclude"}, []string{"renew", "ea", "--sign-command", "true"}},
		"a flag that is not known":        {2, []string{"--froom"}, []string{"promote", "hello", "--froom", "ea"}},
	} {
		t.Run(name, func(t *testing.T) { p.refused(t, test.status, test.words, test.args...) })
	}
	key := func(name string) string { return filepath.Join(p.dir, name) }
	for name, test := range map[string]struct {
		words []string
		args  []string
	}{
		"the key of a stranger":           {[]string{"signature does not match", "--verify-key"}, []string{"renew", "ea", "--root", p.root, "--key", key("stranger.key")}},
		"a public key of a stranger":      {[]string{"signature does not match"}, []string{"show", "ea", "--root", p.root, "--verify-key", key("stranger.pub")}},
		"no key at all":                   {[]string{"no public key", "--verify-key or --key"}, []string{"show", "ea", "--root", p.root}},
		"a public key to sign":            {[]string{"is a public key"}, []string{"renew", "ea", "--root", p.root, "--key", key("release.pub")}},
		"a private key to verify":         {[]string{"is a private key"}, []string{"show", "ea", "--root", p.root, "--verify-key", key("release.key")}},
		"no key to sign":                  {[]string{"give --key"}, []string{"renew", "ea", "--root", p.root, "--verify-key", key("release.pub")}},
		"a command that signs nonsense":   {[]string{"none of those that verify"}, []string{"renew", "ea", "--root", p.root, "--verify-key", key("release.pub"), "--sign-command", "cat >/dev/null; echo hello"}},
		"a file that is not there":        {[]string{"--key", "no such file"}, []string{"renew", "ea", "--root", p.root, "--key", key("x")}},
		"a root that is none":             {[]string{"oci://"}, []string{"show", "ea", "--root", "registry.example.com", "--verify-key", key("release.pub")}},
		"a key that would be overwritten": {[]string{"exists"}, []string{"keygen", "--out", key("release")}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := command(t, append([]string{"channel"}, test.args...)...)
			p.failed(t, err, 1, test.words, test.args)
		})
	}
	if after := p.must(t, "show", "ea", "-o", "json"); after != before {
		t.Error("something was written")
	}
}

func TestChannelKeysComeFromTheEnvironment(t *testing.T) {
	p := publisher{"oci-layout://" + t.TempDir(), t.TempDir()}
	p.keygen(t, "release")
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	t.Setenv(rootVariable, p.root)
	t.Setenv(keyVariable, read("release.key"))
	if _, _, err := command(t, "channel", "init", "ea"); err != nil {
		t.Fatal(err)
	}
	t.Setenv(keyVariable, "")
	t.Setenv(verifyKeysVariable, read("release.pub"))
	if out, _, err := command(t, "channel", "show", "ea"); err != nil || !strings.Contains(out, "channel ea, seq 1") {
		t.Error(out, err)
	}
}

// TestOpensslVerifiesAChannel: with nothing but what show writes.
func TestOpensslVerifiesAChannel(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	p := publisher{"oci-layout://" + t.TempDir(), t.TempDir()}
	p.keygen(t, "release")
	p.must(t, "init", "ea")
	key := filepath.Join(p.dir, "release.key")
	if _, errs, err := command(t, "channel", "renew", "ea", "--root", p.root, "--verify-key", filepath.Join(p.dir, "release.pub"),
		"--sign-command", "openssl dgst -sha256 -sign "+key); err != nil {
		t.Fatal(err, errs)
	}
	doc, sig := filepath.Join(p.dir, "doc"), filepath.Join(p.dir, "sig")
	if err := os.WriteFile(doc, []byte(p.must(t, "show", "ea", "-o", "json", "--signature", sig)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "dgst", "-sha256", "-verify", filepath.Join(p.dir, "release.pub"), "-signature", sig, doc).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Verified OK") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPromotionFromAnotherRegistry(t *testing.T) {
	server := testkit.Registry(t)
	team := publisher{"oci://" + server.Host + "/team", t.TempDir()}
	shop := publisher{"oci-layout://" + t.TempDir(), t.TempDir()}
	team.keygen(t, "release")
	shop.keygen(t, "release")
	team.must(t, "init", "ea")
	shop.must(t, "init", "stable")
	team.push(t, "1.0.0")
	team.must(t, "promote", "hello", "1.0.0", "--to", "ea")
	args := []string{"promote", "--all", "--from", "ea", "--to", "stable", "--from-root", team.root}
	shop.refused(t, 1, []string{"signature does not match"}, args...)
	shop.must(t, append(args, "--from-verify-key", filepath.Join(team.dir, "release.pub"))...)
	server.Down()
	if out := shop.must(t, "verify", "stable"); !strings.Contains(out, "artifacts: 1\n") {
		t.Error(out)
	}
	if a, b := shop.document(t, "stable").Modules["hello"], "1.0.0"; a.Version != b || a.From != "ea" {
		t.Errorf("%+v", a)
	}
}

// TestTwoPublishersAtOnce: a second command runs between two requests of the first, wherever it writes.
func TestTwoPublishersAtOnce(t *testing.T) {
	for _, tag := range []string{"ea-2", "ea"} {
		t.Run("before channels:"+tag+" is written", func(t *testing.T) {
			server := testkit.Registry(t)
			p := publisher{"oci://" + server.Host + "/modules", t.TempDir()}
			p.keygen(t, "release")
			p.must(t, "init", "ea")
			var second error
			var done atomic.Bool
			server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/channels/manifests/"+tag) && done.CompareAndSwap(false, true) {
					_, _, second = p.channel(t, "rollout", "ea", "--waves", "2", "--interval", "1h")
				}
				return false
			})
			_, _, first := p.channel(t, "rollout", "ea", "--waves", "3", "--interval", "1h")
			waves := p.document(t, "ea").Rollout.Waves
			switch {
			case first == nil && second == nil:
				t.Error("nobody was told")
			case first == nil && waves != 3, second == nil && waves != 2:
				t.Errorf("told %v and %v, and there are %d waves", first, second, waves)
			}
			for _, err := range []error{first, second} {
				if err != nil {
					p.failed(t, err, 3, []string{"somebody else wrote the channel"}, nil)
				}
			}
			if out := p.must(t, "verify", "ea"); strings.Contains(out, "problem") {
				t.Error(out)
			}
			p.must(t, "log", "ea")
		})
	}
}

func TestGlobalHooksArePromotedLikeAModule(t *testing.T) {
	p := publisher{"oci-layout://" + t.TempDir(), t.TempDir()}
	p.keygen(t, "release")
	p.must(t, "init", "ea")
	p.must(t, "init", "stable")
	for _, version := range []string{"1.9.0", "1.10.0"} {
		dir := filepath.Join(p.dir, version, "global-hooks")
		if err := os.MkdirAll(filepath.Join(dir, "hooks"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "global.yaml"), []byte("version: "+version+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		hook := "#!/bin/sh\nset -e\n[ \"$1\" != --config ] || echo '{configVersion: v1, onStartup: 1}'\n"
		if err := os.WriteFile(filepath.Join(dir, "hooks", "zones.sh"), []byte(hook), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, errs, err := command(t, "module", "push", dir, p.root); err != nil {
			t.Fatal(err, out, errs)
		}
		p.must(t, "promote", "global", version, "--to", "ea")
		p.must(t, "promote", "global", "--from", "ea", "--to", "stable")
	}
	if g := p.document(t, "stable").Global; g == nil || g.Version != "1.10.0" || g.From != "ea" || len(g.Available) != 1 {
		t.Errorf("%+v", g)
	}
	p.must(t, "rollback", "global", "1.9.0", "--channel", "stable", "--yank", "wrong zones")
	if d := p.document(t, "stable"); d.Global.Version != "1.9.0" || !d.Global.Rollback || len(d.Modules) != 0 {
		t.Errorf("%+v", d)
	}
	p.must(t, "verify", "stable")
}

// TestKeyRotation is docs/key-rotation.md: two keys hold at the same time, then the new one only.
func TestKeyRotation(t *testing.T) {
	p := publisher{"oci://" + testkit.Registry(t).Host + "/modules", t.TempDir()}
	p.keygen(t, "release")
	p.keygen(t, "new")
	p.must(t, "init", "stable")
	key := func(name string) string { return filepath.Join(p.dir, name) }
	run := func(args ...string) (string, error) {
		out, _, err := command(t, append([]string{"channel"}, append(args, "--root", p.root)...)...)
		return out, err
	}
	if out, err := run("renew", "stable", "--key", key("new.key"), "--verify-key", key("release.pub")); err != nil || !strings.Contains(out, "renewed") {
		t.Fatal(out, err)
	}
	p.refused(t, 1, []string{"signature does not match"}, "show", "stable")
	if _, err := run("renew", "stable", "--key", key("new.key")); err != nil {
		t.Error("the new key alone:", err)
	}
	if out, err := run("log", "stable", "--verify-key", key("new.pub")); err == nil || !strings.Contains(out, "stable-2 ") || strings.Contains(out, "stable-1 ") {
		t.Error("documents of before need the old key:", out, err)
	}
	out, err := run("log", "stable", "--verify-key", key("new.pub"), "--verify-key", key("release.pub"))
	ids := regexp.MustCompile(`key (sha256:[0-9a-f]{12})`).FindAllString(out, -1)
	if err != nil || len(ids) != 3 || ids[0] != ids[1] || ids[1] == ids[2] {
		t.Error(out, err)
	}
}

// TestAChannelBeginsAgainWhereItsRegistryWasLost: above every number that clusters have seen.
func TestAChannelBeginsAgainWhereItsRegistryWasLost(t *testing.T) {
	p := publisher{"oci://" + testkit.Registry(t).Host + "/modules", t.TempDir()}
	p.keygen(t, "release")
	p.must(t, "init", "stable", "--seq", "200")
	p.push(t, "1.0.0")
	p.must(t, "promote", "hello", "1.0.0", "--to", "stable")
	if d := p.document(t, "stable"); d.Seq != 201 || d.Previous == "" {
		t.Errorf("%+v", d)
	}
	if out := p.must(t, "verify", "stable"); !strings.Contains(out, "history: 2") {
		t.Error(out)
	}
}
