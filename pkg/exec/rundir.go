package exec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const dirPrefix = "operator-"

// runDir is the directory of this process. The lock on its file tells other
// operators that it is in use; the kernel drops it when the process ends.
type runDir struct {
	path string
	lock *os.File
}

func newRunDir(cfg Config) (*runDir, error) {
	root, err := filepath.Abs(cfg.TempDir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := passable(root, cfg.Credential); err != nil {
		return nil, err
	}
	// One start at a time, so that none takes another's half-made directory for a dead one.
	starting, err := lockFile(filepath.Join(root, ".lock"), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer starting.Close()
	if err := removeDead(root, cfg); err != nil {
		cfg.Logger.Warn("cannot remove all files of operators that are gone", "directory", root, "error", err)
	}
	// MkdirTemp makes it 0700.
	path, err := os.MkdirTemp(root, dirPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return nil, err
	}
	if err := passable(path, cfg.Credential); err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	lock, err := lockFile(filepath.Join(path, "lock"), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return &runDir{path: path, lock: lock}, nil
}

// passable lets the hooks' user go through a directory, but not see what is in it.
func passable(dir string, to *Credential) error {
	if to == nil {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o001 == 0 {
		return os.Chmod(dir, mode|0o011)
	}
	return nil
}

func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// removeDead ends the processes and removes the files of operators whose lock is
// free.
func removeDead(root string, cfg Config) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), dirPrefix) {
			continue
		}
		lock, err := lockFile(filepath.Join(path, "lock"), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sweep{dir: path}.run()
		if cfg.Credential != nil {
			sweep{dir: path, credential: cfg.Credential}.run()
		}
		if !cfg.KeepTempFiles {
			errs = append(errs, removeTree(path))
		}
		errs = append(errs, lock.Close())
	}
	return errors.Join(errs...)
}

func (d *runDir) remove(keepFiles bool) error {
	var err error
	if !keepFiles {
		err = removeTree(d.path)
	}
	return errors.Join(err, d.lock.Close())
}
