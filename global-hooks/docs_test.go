package hooks_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// step is one bash block of a page, with the text block behind it, if any: what it prints.
type step struct{ script, output string }

var stepBlock = regexp.MustCompile("(?s)\n```bash\n(.*?\n)```\n(?:\n```text\n(.*?)```\n)?")

// TestStepsOfTheDocs follows docs/write-a-discovery-hook.md literally, in a copy of what its steps touch.
func TestStepsOfTheDocs(t *testing.T) {
	const inside = "STEPS_OF_THE_DOCS"
	if os.Getenv(inside) != "" || testing.Short() {
		t.Skip("runs this package's tests itself")
	}
	t.Parallel()
	page, err := os.ReadFile("../docs/write-a-discovery-hook.md")
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for _, block := range stepBlock.FindAllStringSubmatch(string(page), -1) {
		steps = append(steps, step{script: block[1], output: block[2]})
	}
	if len(steps) < 5 {
		t.Fatalf("found %d steps in the page", len(steps))
	}
	root := copyOfCheckout(t)
	for _, s := range steps {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", s.script)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("step\n%s\n%v\n%s%s", s.script, err, out, stderrOf(err))
		}
		if s.output == "" {
			continue
		}
		if diff := cmp.Diff(s.output, withoutTestResult(string(out))); diff != "" {
			t.Fatalf("step\n%s\nprints (-page +real):\n%s", s.script, diff)
		}
	}
}

// withoutTestResult leaves out the line of go test, which tells how long it took.
func withoutTestResult(out string) string {
	return regexp.MustCompile(`(?m)^ok\s+\S+\s+\S+\n`).ReplaceAllString(out, "")
}

func copyOfCheckout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"global-hooks", "cmd/discover-api", "pkg", "testdata/nodes"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join("..", dir))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
