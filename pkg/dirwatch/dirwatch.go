// Package dirwatch tells when files below some directories have changed and come
// to rest.
//
// The kernel tells of changes at once (inotify(7)). What it cannot tell of, a
// remote file system, a link above that leads elsewhere now, or more directories
// than it watches, is found by looking at names, sizes and times every now and then.
package dirwatch

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Config is what to watch.
type Config struct {
	// Dirs are watched with everything below, links followed.
	Dirs []string
	// Rest is how long nothing may change before changed is called; default 500 ms.
	Rest time.Duration
	// Rescan is the time between two looks without the kernel's help; default 30 s.
	Rescan time.Duration
	Logger *slog.Logger
}

// maxDepth bounds how deep directories are followed, for links may lead in circles.
const maxDepth = 32

// Run calls changed whenever something below the directories changed and has come
// to rest since. It returns nil when ctx has ended.
func Run(ctx context.Context, cfg Config, changed func(ctx context.Context)) error {
	if cfg.Rest <= 0 {
		cfg.Rest = 500 * time.Millisecond
	}
	if cfg.Rescan <= 0 {
		cfg.Rescan = 30 * time.Second
	}
	w := watch{cfg: cfg}
	if err := w.open(); err != nil {
		cfg.Logger.Warn("the kernel does not tell of changed files; looking at them every now and then", "every", cfg.Rescan, "error", err)
	}
	defer w.close()
	w.seen = w.look()
	rescan := time.NewTicker(cfg.Rescan)
	defer rescan.Stop()
	rest := time.NewTimer(cfg.Rest)
	rest.Stop()
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.events():
			if ok {
				rest.Reset(cfg.Rest)
			}
		case err := <-w.errors():
			cfg.Logger.Warn("changes of files may have been missed; looking at all of them", "error", err)
			rest.Reset(cfg.Rest)
		case <-rescan.C:
			if w.look() != w.seen {
				rest.Reset(cfg.Rest)
			}
		case <-rest.C:
			w.seen = w.look() // before: what changes meanwhile is found the next time
			changed(ctx)
		}
	}
}

// watch is the state of Run.
type watch struct {
	cfg    Config
	kernel *fsnotify.Watcher // nil when the kernel does not help
	full   bool              // the kernel watches no more
	seen   uint64
}

func (w *watch) open() error {
	kernel, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	w.kernel = kernel
	return nil
}

func (w *watch) close() {
	if w.kernel != nil {
		_ = w.kernel.Close()
	}
}

func (w *watch) events() chan fsnotify.Event {
	if w.kernel == nil {
		return nil
	}
	return w.kernel.Events
}

func (w *watch) errors() chan error {
	if w.kernel == nil {
		return nil
	}
	return w.kernel.Errors
}

// look walks the directories, has the kernel watch each of them, and answers a
// number that differs when a name, a size, a mode or a time does.
func (w *watch) look() uint64 {
	sum := fnv.New64a()
	var walk func(dir string, depth int)
	walk = func(dir string, depth int) {
		w.add(dir)
		entries, err := os.ReadDir(dir)
		if err != nil {
			fmt.Fprintf(sum, "%s %v\n", dir, err)
			return
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			info, err := os.Stat(path)
			if err != nil {
				fmt.Fprintf(sum, "%s %v\n", path, err)
				continue
			}
			if info.IsDir() {
				fmt.Fprintf(sum, "%s/\n", path)
				if depth < maxDepth {
					walk(path, depth+1)
				}
				continue
			}
			fmt.Fprintf(sum, "%s %d %v %d\n", path, info.Size(), info.Mode()&fs.ModePerm, info.ModTime().UnixNano())
		}
	}
	for _, dir := range w.cfg.Dirs {
		walk(dir, 0)
	}
	return sum.Sum64()
}

func (w *watch) add(dir string) {
	if w.kernel == nil {
		return
	}
	if err := w.kernel.Add(dir); err != nil && !w.full && !os.IsNotExist(err) {
		w.full = true
		w.cfg.Logger.Warn("the kernel watches no more directories; raise fs.inotify.max_user_watches to see changes of files at once",
			"directory", dir, "lookingEvery", w.cfg.Rescan, "error", err)
	}
}
