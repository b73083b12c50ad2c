package exec

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// File is one entry of a hooks directory as discovery sees it.
type File struct {
	// Path is absolute, Name the name of the hook that it is or would be (C-006, C-009).
	// The Name of a skipped directory ends in a slash; what is in it is not listed.
	Path, Name string
	// Hook tells whether the file is run.
	Hook bool
	// Warn marks a skipped file that its author may have meant to be a hook.
	Warn bool
	// Why says in a few words why it is or is not a hook.
	Why string
}

// Find lists what is below an owner's hooks directory, sorted by path, and says of
// each entry why it is a hook or not (C-001 … C-006). It runs nothing.
func (r *Runner) Find(owner hook.Owner, dir string) ([]File, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	var out []File
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f := File{Path: path, Name: nameOf(owner, dir, path)}
		if !e.IsDir() {
			f.judge(e)
			out = append(out, f)
			return nil
		}
		if f.Why = skipsDirectory(owner, e.Name()); path == dir || f.Why == "" {
			return nil
		}
		f.Name += "/"
		out = append(out, f)
		if owner.IsStandalone() && path == filepath.Join(dir, libDir) {
			out = append(out, executablesIn(owner, dir, path)...)
		}
		return fs.SkipDir
	})
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	if err != nil {
		return out, fmt.Errorf("hooks of %s: %w", owner, err)
	}
	return out, nil
}

const libDir = "lib"

// skipsDirectory says why a directory is not entered, or nothing (C-002).
func skipsDirectory(owner hook.Owner, name string) string {
	switch {
	case strings.HasPrefix(name, "."):
		return "a hidden directory is skipped"
	case name == libDir:
		return "a directory called lib is skipped: it is for what hooks share"
	case name == "venv" && ofModule(owner):
		return "a directory called venv is skipped: it is the module's Python"
	}
	return ""
}

func ofModule(owner hook.Owner) bool { return !owner.IsGlobal() && !owner.IsStandalone() }

var skippedExtensions = []string{".yaml", ".json", ".md", ".txt"}

// judge decides on a file (C-003, C-004).
func (f *File) judge(e fs.DirEntry) {
	name, link := e.Name(), e.Type()&fs.ModeSymlink != 0
	if strings.HasPrefix(name, ".") {
		f.Why = "a hidden file is skipped"
		return
	}
	if ext := filepath.Ext(name); slices.Contains(skippedExtensions, ext) {
		f.Why = "a file that ends in " + ext + " is skipped"
		return
	}
	info, err := os.Stat(f.Path)
	f.Warn = true
	switch {
	case err != nil && link:
		to, _ := os.Readlink(f.Path)
		f.Why = fmt.Sprintf("it is a link to %s, which cannot be read: %v", to, pathless(err))
	case err != nil:
		f.Why = fmt.Sprintf("it cannot be read: %v", pathless(err))
	case info.IsDir():
		f.Why = "it is a link to a directory, and those are not followed: put the hooks here or link each of them"
	case !info.Mode().IsRegular():
		f.Why = "it is not a regular file"
	case link:
		f.Hook, f.Warn, f.Why = true, false, "a link to a file counts as executable"
	case info.Mode()&0o111 == 0:
		f.Why = "it is not executable: chmod +x makes it a hook"
	default:
		f.Hook, f.Warn, f.Why = true, false, "it is executable"
	}
}

// executablesIn lists what was put into lib and may have been meant as a hook (C-005).
func executablesIn(owner hook.Owner, dir, lib string) []File {
	var out []File
	_ = filepath.WalkDir(lib, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir // lint must not fail over what is no hook anyway
		}
		if !e.Type().IsRegular() {
			return nil
		}
		if info, err := e.Info(); err == nil && info.Mode()&0o111 != 0 {
			out = append(out, File{Path: path, Name: nameOf(owner, dir, path), Warn: true,
				Why: "it is executable but lies in lib, where no hooks are: move it out, or chmod -x"})
		}
		return nil
	})
	return out
}

// nameOf is the path from the hooks directory on (C-009); below a directory that
// is not called hooks, and without modules, the path in it (C-006).
func nameOf(owner hook.Owner, dir, path string) string {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	if filepath.Base(dir) == "hooks" && !owner.IsStandalone() {
		return filepath.Join("hooks", name)
	}
	return name
}

// hooksIn is Find for those who want hooks: the rest is logged.
func (r *Runner) hooksIn(owner hook.Owner, dir string) ([]File, error) {
	files, err := r.Find(owner, dir)
	if err != nil {
		return nil, err
	}
	var probes []string
	if r.cfg.Probes != nil {
		probes = r.cfg.Probes(owner)
	}
	var hooks []File
	for _, f := range files {
		switch {
		case slices.Contains(probes, f.Path):
			r.cfg.Logger.Debug("file is no hook", "file", f.Path, "reason", "it is a health check of the module")
		case f.Hook:
			hooks = append(hooks, f)
		case f.Warn:
			r.cfg.Logger.Warn("file is no hook", "file", f.Path, "reason", f.Why)
		default:
			r.cfg.Logger.Debug("file is no hook", "file", f.Path, "reason", f.Why)
		}
	}
	return hooks, nil
}
