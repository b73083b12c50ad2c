package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// newRun makes the directory of a run with its files.
func (r *Runner) newRun(files []file) (string, error) {
	dir := filepath.Join(r.dir.path, strconv.FormatInt(r.runs.Add(1), 10))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", roomless(dir, err)
	}
	for _, f := range files {
		if err := r.writeFile(filepath.Join(dir, f.name), f.text); err != nil {
			r.endRun(dir)
			return "", roomless(dir, fmt.Errorf("write %s: %w", f.name, pathless(err)))
		}
	}
	// The directory goes over last, so that nobody changes it under our hands.
	if err := r.giveAway(dir); err != nil {
		r.endRun(dir)
		return "", err
	}
	return dir, nil
}

func (r *Runner) writeFile(path string, text []byte) error {
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	return r.giveAway(path)
}

// giveAway makes the hooks' user the owner.
func (r *Runner) giveAway(path string) error {
	c := r.cfg.Credential
	if c == nil {
		return nil
	}
	return os.Lchown(path, int(c.UID), int(c.GID))
}

func (r *Runner) endRun(dir string) {
	if r.cfg.KeepTempFiles {
		_ = os.Remove(filepath.Join(dir, kubeconfigFile)) // a token is no use for debugging
		return
	}
	if err := removeTree(dir); err != nil {
		r.cfg.Logger.Warn("cannot remove the files of a hook run", "error", err)
	}
}

// removeTree removes a directory in which a hook may have closed others to us.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			_ = openDirectory(path)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// openDirectory lets its owner in. It follows no link: a link's target is not the hook's to open.
func openDirectory(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o700)
}

// roomless names the way out when there is no room for files.
func roomless(dir string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: free some in %s, or let --tmp-dir name another directory", err, filepath.Dir(filepath.Dir(dir)))
	}
	return err
}

// leastRoom is what a volume must have free for a file to be trusted that was
// written to it; it is more than what the end of the run itself sets free.
const leastRoom = 32 << 10

// roomIn is an error when the volume of a run's files is full: many a hook does not
// notice that it could not write, and what it left looks like less, or nothing.
func roomIn(dir string) error {
	if !isFull(dir) {
		return nil
	}
	// The numbers do not tell what is set aside for whom; a file does. It lies beside
	// the run's directory, where the hook cannot have put a link in its way.
	probe := dir + ".room"
	err := os.WriteFile(probe, make([]byte, leastRoom), 0o600)
	_ = os.Remove(probe)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return roomless(dir, unix.ENOSPC)
	}
	return nil
}

func isFull(dir string) bool {
	var volume unix.Statfs_t
	err := unix.Statfs(dir, &volume)
	return err == nil && volume.Blocks > 0 && volume.Bavail*uint64(volume.Bsize) < leastRoom
}

const (
	// watchEvery is how often a running hook's files are measured: at the speed of
	// memory it writes about 100 MiB meanwhile.
	watchEvery = 50 * time.Millisecond
	// filesAllowed is how many files a run may make in its directory.
	filesAllowed = 10000
)

// diskWatch ends a run that writes too much into the directory of its files.
type diskWatch struct {
	dir string
	// free is the size of what was there at the start, limit what may be added.
	free, limit int64
	// files is how many it may hold.
	files int
}

func (w diskWatch) run(ctx context.Context, end context.CancelCauseFunc) {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		if what := w.excess(); what != "" {
			end(&excess{what})
			return
		}
		// Many files take long to look at; at most a twentieth of a core goes into that.
		timer.Reset(max(watchEvery, 20*time.Since(began)))
	}
}

func (w diskWatch) excess() string {
	var blocks int64
	files := 0
	_ = filepath.WalkDir(w.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir // gone meanwhile, or closed to us
		}
		if files++; files > w.files {
			return fs.SkipAll
		}
		if info, err := e.Info(); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok && !e.IsDir() {
				blocks += stat.Blocks // what it takes on disk, whatever its length says
			}
		}
		return nil
	})
	switch {
	case files > w.files:
		return fmt.Sprintf("made more than %d files in the directory of its run", w.files)
	case blocks*512 > w.free+w.limit:
		return fmt.Sprintf("wrote more than %s into its files", size(w.limit))
	}
	return ""
}

// outputs are the files of a finished run.
type outputs struct {
	limit      int64
	credential *Credential
	names      map[string]string
}

// has tells whether the run was given a file by that variable.
func (o outputs) has(env string) bool { return o.names[env] != "" }

// read returns the content of the file that the variable names. The hook may have
// put anything in its place, so that it is looked at before it is trusted.
func (o outputs) read(env string) ([]byte, error) {
	f, err := os.OpenFile(o.names[env], os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("the hook removed the file: expected it to be there, be it empty")
	case errors.Is(err, unix.ELOOP):
		return nil, errors.New("it became a link: expected a regular file; write into it, or move a file there")
	case errors.Is(err, unix.ENXIO):
		return nil, errors.New("it became a socket or device: expected a regular file")
	case err != nil:
		return nil, pathless(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = o.acceptable(info)
	}
	if err != nil || info.Size() == 0 {
		return nil, pathless(err)
	}
	limit := o.limitOf(env)
	if info.Size() > limit {
		return nil, &excess{fmt.Sprintf("it holds %s: at most %s are read", size(info.Size()), size(limit))}
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = &excess{"it holds more than " + size(limit)}
	}
	return text, pathless(err)
}

// metricsLimit is lower than that of other outputs: a sample in memory takes many
// times the room of its text.
const metricsLimit = 8 << 20

func (o outputs) limitOf(env string) int64 {
	if env == envMetrics {
		return min(o.limit, metricsLimit)
	}
	return o.limit
}

func (o outputs) acceptable(info fs.FileInfo) error {
	switch info.Mode().Type() {
	case 0:
	case fs.ModeDir:
		return errors.New("it became a directory: expected a regular file")
	case fs.ModeNamedPipe:
		return errors.New("it became a named pipe: expected a regular file")
	default:
		return errors.New("it became a socket or device: expected a regular file")
	}
	// The hooks' user could link another's file here, for us to read it out.
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && o.credential != nil && stat.Uid != o.credential.UID {
		return fmt.Errorf("it belongs to uid %d: expected the hook's own file (uid %d)", stat.Uid, o.credential.UID)
	}
	return nil
}
