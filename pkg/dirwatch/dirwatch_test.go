package dirwatch_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/dirwatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched runs a watch of dir and returns a channel that tells of changes.
func watched(t *testing.T, cfg dirwatch.Config) <-chan struct{} {
	t.Helper()
	told := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	cfg.Logger = slog.New(slog.DiscardHandler)
	go func() { ended <- dirwatch.Run(ctx, cfg, func(context.Context) { told <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return told
}

// until changes something again and again until the watch tells of it: nobody says
// when a watch has begun.
func until(t *testing.T, told <-chan struct{}, change func(n int)) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for n := 0; ; n++ {
		change(n)
		select {
		case <-told:
			return
		case <-deadline:
			t.Fatal("nobody told of the change")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func write(t *testing.T, path string, n int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, n+1), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAChangeBelowADirectoryIsTold(t *testing.T) {
	dir := t.TempDir()
	told := watched(t, dirwatch.Config{Dirs: []string{dir}, Rest: time.Millisecond, Rescan: time.Hour})
	until(t, told, func(n int) { write(t, filepath.Join(dir, "a/b/c"), n) })
	// The new directories are watched as well.
	until(t, told, func(n int) { write(t, filepath.Join(dir, "a/b/d"), n) })
	until(t, told, func(int) {
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "x"), 1)
	})
}

func TestALinkThatLeadsElsewhereIsFoundByLooking(t *testing.T) {
	root := t.TempDir()
	for n, name := range []string{"one", "two"} {
		write(t, filepath.Join(root, name, "module/file"), n)
	}
	link := filepath.Join(root, "current")
	if err := os.Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	told := watched(t, dirwatch.Config{Dirs: []string{link}, Rest: time.Millisecond, Rescan: 10 * time.Millisecond})
	until(t, told, func(n int) {
		next := filepath.Join(root, "next")
		if err := os.Symlink([]string{"two", "one"}[n%2], next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, link); err != nil {
			t.Fatal(err)
		}
	})
}

func TestADirectoryThatIsNotThereYetIsFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	told := watched(t, dirwatch.Config{Dirs: []string{dir}, Rest: time.Millisecond, Rescan: 10 * time.Millisecond})
	until(t, told, func(n int) { write(t, filepath.Join(dir, "file"), n) })
}
