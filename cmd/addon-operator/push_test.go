package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"
	helmregistry "helm.sh/helm/v3/pkg/registry"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// output runs a command line and answers what it printed.
func output(t *testing.T, args ...string) (string, error) {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = file
	err = run(args)
	os.Stdout = stdout
	text, readErr := os.ReadFile(file.Name())
	if readErr = errors.Join(readErr, file.Close()); readErr != nil {
		t.Fatal(readErr)
	}
	return string(text), err
}

// pull does what `helm pull` does.
func pull(t *testing.T, ref, version string) string {
	t.Helper()
	client, err := helmregistry.NewClient(helmregistry.ClientOptPlainHTTP(), helmregistry.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")))
	if err != nil {
		t.Fatal(err)
	}
	p := action.NewPullWithOpts(action.WithConfig(&action.Configuration{RegistryClient: client}))
	p.Settings, p.DestDir, p.Version, p.PlainHTTP = cli.New(), t.TempDir(), version, true
	p.SetRegistryClient(client)
	if said, err := p.Run(ref); err != nil {
		t.Fatal(said, err)
	}
	found, err := filepath.Glob(filepath.Join(p.DestDir, "*.tgz"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

func TestHelmPullsWhatModulePushPushed(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	server := testkit.Registry(t)
	root := "oci://" + server.Host + "/addons"
	for _, dir := range []string{"../../modules/300-prometheus", "../../modules/101-cert-manager"} {
		packed, err := output(t, "module", "push", "--dry-run", dir, root)
		if err != nil || len(server.Requests()) > 0 {
			t.Fatal(err, server.Requests())
		}
		pushed, err := output(t, "module", "push", dir, root)
		if err != nil || pushed != packed {
			t.Fatalf("%v; a dry run printed %q, pushing %q", err, packed, pushed)
		}
		words := strings.Fields(pushed)
		if len(words) != 3 || !strings.HasPrefix(words[2], "sha256:") {
			t.Fatalf("got %q, expected name, version and digest", pushed)
		}
		c, err := loader.Load(pull(t, root+"/modules/"+words[0], words[1]))
		if err == nil {
			err = c.Validate()
		}
		if err != nil || c.Name() != words[0] || c.Metadata.Version != words[1] || len(c.Templates) == 0 || len(c.Dependencies()) != 1 {
			t.Errorf("the chart that was pulled: %v, %+v", err, c)
		}
		if got, err := registry.Resolve(t.Context(), registry.Remote{URL: root}, words[0], words[1]); err != nil || got != words[2] {
			t.Errorf("%s is there (%v), %s was printed", got, err, words[2])
		}
		server.Forget()
	}
}

func TestModulePushSaysWhatIsWrong(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	server := testkit.Registry(t)
	root := "oci://" + server.Host + "/addons"
	dir := filepath.Join(t.TempDir(), "010-web")
	write := func(text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "module.yaml"), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("version: 1.0.0")
	if _, err := output(t, "module", "push", dir, root); err != nil {
		t.Fatal(err)
	}
	write("version: 1.0.0\ndescription: changed")
	for want, args := range map[string][]string{
		"choose another version":  {dir, root},
		"oci://HOST/ROOT":         {dir, server.Host},
		"010-none":                {dir[:len(dir)-3] + "none", root},
		"--registry-config":       {dir, root, "--registry-config", dir + "/none"},
		"--ca":                    {dir, root, "--ca", dir + "/none"},
		"username password-stdin": {dir, root, "--username", "me"},
		"an absolute path":        {dir, "oci-layout://x"},
	} {
		_, err := output(t, append([]string{"module", "push"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, expected %q", args, err, want)
		}
	}
}

func TestModulePushWritesLayouts(t *testing.T) {
	root := "oci-layout://" + filepath.Join(t.TempDir(), "addons")
	dir := filepath.Join(t.TempDir(), "hooks")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "global.yaml"), []byte("version: 1.0.0"), 0o644)); err != nil {
		t.Fatal(err)
	}
	printed, err := output(t, "module", "push", dir, root)
	if err != nil || !strings.HasPrefix(printed, artifact.GlobalName+" 1.0.0 sha256:") {
		t.Fatal(printed, err)
	}
	r, err := registry.New(registry.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Artifact(t.Context(), registry.Remote{URL: root}, artifact.GlobalName, strings.Fields(printed)[2]); err != nil {
		t.Error(err)
	}
}
