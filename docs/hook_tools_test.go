package docs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var toolStep = regexp.MustCompile("(?s)\n```bash\n(.*?\n)```\n(?:\n```text\n(.*?)```\n)?")

// measured are numbers that differ from run to run.
var measured = regexp.MustCompile(`[0-9.]+ (ms|MB)`)

// TestStepsOfHookTools follows hook-tools.md literally.
func TestStepsOfHookTools(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("hook-tools.md")
	if err != nil {
		t.Fatal(err)
	}
	bin, root := t.TempDir(), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "addon-operator"), "../cmd/addon-operator").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	steps := toolStep.FindAllStringSubmatch(string(page), -1)
	if len(steps) < 8 {
		t.Fatalf("found %d steps in the page", len(steps))
	}
	for _, s := range steps {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", s[1])
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.Output()
		if err != nil {
			var exit *exec.ExitError
			_ = errors.As(err, &exit)
			t.Fatalf("step\n%s\n%v\n%s%s", s[1], err, out, exit.Stderr)
		}
		if diff := cmp.Diff(measured.ReplaceAllString(s[2], "N $1"), measured.ReplaceAllString(string(out), "N $1")); diff != "" {
			t.Errorf("step\n%s\nprints (-page +real):\n%s", s[1], diff)
		}
	}
}
