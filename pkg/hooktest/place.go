package hooktest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Place is where a hook lies, and so to whom it belongs.
type Place struct {
	Owner hook.Owner
	// Dir is the owner's hooks directory, absolute.
	Dir string
	// ModuleDir is the module's directory; empty for other owners.
	ModuleDir string
	// GlobalHooksDir has the schemas of global values; empty when there is none to be seen.
	GlobalHooksDir string
}

// ParseOwner reads an owner as flags and cases write it: global, standalone, or a
// module's name; empty means that the place decides.
func ParseOwner(text string) (*hook.Owner, error) {
	o := hook.Owner{Module: text}
	switch text {
	case "":
		return nil, nil
	case "global":
		o = hook.Global
	case "standalone":
		o = hook.Standalone
	default:
		if err := values.CheckName(text); err != nil {
			return nil, fmt.Errorf("owner %q: expected global, standalone or a module's name: %w", text, err)
		}
	}
	return &o, nil
}

// Locate says to whom a file or directory of hooks belongs. owner, if not nil,
// has the last word. Otherwise a directory above that looks like a module decides,
// else one that is called global-hooks; hooks of neither have no owner but their
// folder (hooks-only mode).
func Locate(path string, owner *hook.Owner) (Place, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Place{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return Place{}, err
	}
	start := path
	if !info.IsDir() {
		start = filepath.Dir(path)
	}
	found, err := guess(start)
	if err != nil || owner == nil || *owner == found.Owner {
		return found, err
	}
	p := Place{Owner: *owner, Dir: hooksAbove(start), GlobalHooksDir: found.GlobalHooksDir}
	if owner.Module != "" {
		p.ModuleDir = found.ModuleDir
		if p.ModuleDir == "" {
			p.ModuleDir = filepath.Dir(p.Dir)
		}
	}
	if owner.IsGlobal() && p.GlobalHooksDir == "" {
		p.GlobalHooksDir = withoutHooks(p.Dir)
	}
	return p, nil
}

func guess(start string) (Place, error) {
	for dir := start; ; dir = filepath.Dir(dir) {
		if name, ok := moduleName(dir); ok {
			hooks := filepath.Join(dir, "hooks")
			if _, err := os.Stat(hooks); errors.Is(err, fs.ErrNotExist) {
				return Place{}, fmt.Errorf("module %s has no directory hooks", dir)
			}
			return Place{Owner: hook.Owner{Module: name}, Dir: hooks, ModuleDir: dir,
				GlobalHooksDir: globalNear(filepath.Dir(dir))}, nil
		}
		if filepath.Base(dir) == "global-hooks" {
			return Place{Owner: hook.Global, Dir: globalHooks(dir), GlobalHooksDir: dir}, nil
		}
		if dir == filepath.Dir(dir) {
			return Place{Owner: hook.Standalone, Dir: hooksAbove(start)}, nil
		}
	}
}

var numbered = regexp.MustCompile(`^[0-9]+-(.+)$`)

// moduleName is the name of the module that dir holds (C-281).
func moduleName(dir string) (string, bool) {
	base := filepath.Base(dir)
	name := base
	if m := numbered.FindStringSubmatch(base); m != nil {
		name = m[1]
	}
	marks := []string{"module.yaml", "Chart.yaml", "templates"}
	if name != base && !underHooks(dir) {
		// A directory such as 010-name is a module when it has anything of one.
		marks = append(marks, "hooks", "openapi", "enabled")
	}
	for _, mark := range marks {
		if _, err := os.Stat(filepath.Join(dir, mark)); err == nil && values.CheckName(name) == nil && base != "hooks" {
			return name, true
		}
	}
	return "", false
}

// underHooks: a numbered directory inside a hooks directory is no module.
func underHooks(dir string) bool {
	return slices.Contains(strings.Split(filepath.ToSlash(filepath.Dir(dir)), "/"), "hooks")
}

// globalHooks is where the hooks of a global hooks directory lie (C-007).
func globalHooks(dir string) string {
	if info, err := os.Stat(filepath.Join(dir, "hooks")); err == nil && info.IsDir() {
		return filepath.Join(dir, "hooks")
	}
	return dir
}

// globalNear is the global hooks directory beside a modules directory.
func globalNear(modules string) string {
	dir := filepath.Join(filepath.Dir(modules), "global-hooks")
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return dir
	}
	return ""
}

// hooksAbove is the outermost directory called hooks from dir upwards, else dir.
func hooksAbove(dir string) string {
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
		if filepath.Base(d) == "hooks" {
			return d
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "hooks")); err == nil && info.IsDir() {
		return filepath.Join(dir, "hooks")
	}
	return dir
}

func withoutHooks(dir string) string {
	if filepath.Base(dir) == "hooks" {
		return filepath.Dir(dir)
	}
	return dir
}
