package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everNew is what differs from run to run: keys, and so signatures and digests of documents, and times.
var everNew = regexp.MustCompile(`sha256:[0-9a-f]{12,64}|\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z|\bwhich is [0-9a-z]+|\btry again in [0-9a-z]+`)

// sameSecond are lines of a difference that are not there when two documents were made in one second.
var sameSecond = regexp.MustCompile(`(?m)^[-+ ] *"(createdAt|expiresAt)".*\n`)

// TestStepsOfPublishAModule follows publish-a-module.md literally, with a directory as the registry.
func TestStepsOfPublishAModule(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	page, err := os.ReadFile("publish-a-module.md")
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := t.TempDir(), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "addon-operator"), "../cmd/addon-operator").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	root := "oci-layout://" + filepath.Join(dir, "registry")
	same := func(text string) string {
		text = sameSecond.ReplaceAllString(strings.ReplaceAll(text, root, "oci://registry.example.com/modules"), "")
		return everNew.ReplaceAllStringFunc(text, func(s string) string { return s[:3] + "…" })
	}
	steps := toolStep.FindAllStringSubmatch(string(page), -1)
	if len(steps) < 12 {
		t.Fatalf("found %d steps in the page", len(steps))
	}
	for _, s := range steps {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", "exec 2>&1\n"+s[1])
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "ADDON_OPERATOR_ROOT="+root)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("step\n%s\n%v\n%s", s[1], err, out)
		}
		if diff := cmp.Diff(same(s[2]), same(string(out))); diff != "" {
			t.Errorf("step\n%s\nprints (-page +real):\n%s", s[1], diff)
		}
	}
}
