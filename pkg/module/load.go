package module

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// LoadOptions is how the process wants its modules read.
type LoadOptions struct {
	// UnnumberedWeight is the weight of a directory without a numeric prefix
	// whose module.yaml gives none either (C-281).
	UnnumberedWeight int
	// CRDFilterPrefixes: files of crds/ whose name starts with one are passed
	// over. Nil means DefaultCRDFilterPrefixes (C-345).
	CRDFilterPrefixes []string
	// GlobalHooksDir has the schemas of `global` in its openapi directory; "" for none (C-310).
	GlobalHooksDir string
	// Strict makes a values.yaml mandatory in every module (C-285).
	Strict bool
	// Libraries lets LoadOne follow file:// dependencies of charts out of the module's directory, as Load does.
	Libraries bool
}

// DefaultCRDFilterPrefixes are the prefixes of file names in crds/ that hold no CRD (C-345).
func DefaultCRDFilterPrefixes() []string { return []string{"doc-", "_"} }

// maxNameLength is Helm's limit for the name of a release, which is the module's (C-287).
const maxNameLength = 53

// valuesFile is the name of static values, both of a directory of modules and of one module.
const valuesFile = "values.yaml"

// Load reads every module of dirs, in the order of MODULES_DIR (C-280 to C-286,
// C-295, C-297, C-310, C-336, C-345).
//
// It fails on what concerns all modules: a directory of modules that does not
// exist, common or global values that are not usable, an invalid global schema.
// What concerns one module goes to Set.Broken and stops no other.
func Load(dirs []string, opts LoadOptions) (*Set, error) {
	if opts.CRDFilterPrefixes == nil {
		opts.CRDFilterPrefixes = DefaultCRDFilterPrefixes()
	}
	set := &Set{GlobalHooksDir: opts.GlobalHooksDir, GlobalHooks: GlobalHooks(opts.GlobalHooksDir), GlobalStatic: values.Map{}, Broken: map[string]error{}, Incomplete: len(dirs) == 0}
	var err error
	if set.GlobalSchema, err = globalSchema(opts.GlobalHooksDir); err != nil {
		return nil, err
	}
	for _, w := range set.GlobalSchema.Warnings {
		set.warn("global schema: %s", w)
	}
	found, commons, err := scan(set, dirs)
	if err != nil {
		return nil, err
	}
	readAll(set, found, opts)
	flags, err := static(set, commons, found)
	if err != nil {
		return nil, err
	}
	for _, m := range set.Modules {
		if on, ok := flags[m.Key]; ok {
			m.StaticEnabled = &on
		}
	}
	slices.SortFunc(set.Modules, byWeightAndName)
	if set.GlobalDigest, err = globalDigest(set.GlobalStatic, opts.GlobalHooksDir); err != nil {
		return nil, err
	}
	if opts.GlobalHooksDir != "" {
		// What it says counts when the folder is published, not here.
		if g, err := ReadGlobal(opts.GlobalHooksDir); err != nil {
			set.warn("%v", err)
		} else {
			set.Warnings = append(set.Warnings, g.Warnings...)
		}
	}
	set.GlobalHooksDigest, err = globalHooksDigest(opts.GlobalHooksDir)
	return set, err
}

// WithGlobal is the set with the global hooks and schemas of another directory. What the modules
// directories say of global stays.
func (s *Set) WithGlobal(dir string, origin Origin) (*Set, error) {
	out := *s
	out.GlobalHooksDir, out.GlobalHooks, out.GlobalOrigin = dir, GlobalHooks(dir), origin
	var err error
	if out.GlobalSchema, err = globalSchema(dir); err != nil {
		return nil, err
	}
	if out.GlobalDigest, err = globalDigest(s.GlobalStatic, dir); err != nil {
		return nil, err
	}
	out.GlobalHooksDigest, err = globalHooksDigest(dir)
	return &out, err
}

// GlobalHooks is where the hooks of a folder of global hooks lie: in its directory hooks, or else beside the
// schemas (C-007).
func GlobalHooks(dir string) string {
	if sub := filepath.Join(dir, "hooks"); dir != "" && isDir(sub) {
		return sub
	}
	return dir
}

// globalHooksDigest covers everything that global hooks may use.
func globalHooksDigest(dir string) (string, error) {
	if dir == "" || !isDir(dir) {
		return "", nil
	}
	t, err := readTree(dir)
	if err != nil {
		return "", fmt.Errorf("global hooks directory: %w", err)
	}
	return t.sum(ofHooks)
}

// globalDigest covers the common static values of `global` and the files of its schema.
func globalDigest(static values.Map, hooksDir string) (string, error) {
	text, err := json.Marshal(static)
	if err != nil {
		return "", fmt.Errorf("static values of global: %w", err)
	}
	if hooksDir != "" {
		for _, name := range []string{"config-values.yaml", valuesFile} {
			file, err := readOptional(filepath.Join(hooksDir, "openapi", name))
			if err != nil {
				return "", err
			}
			text = fmt.Appendf(text, "\n%s %d\n%s", name, len(file), file)
		}
	}
	return values.Digest(text), nil
}

func byWeightAndName(a, b *Descriptor) int {
	if a.Weight != b.Weight {
		if a.Weight < b.Weight {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Name, b.Name)
}

// candidate is a directory that should be a module.
type candidate struct {
	dir, name string
	// weight is the numeric prefix; nil without one.
	weight *int
	// common is the values file of the directory of modules it was found in.
	common *common
}

// scan lists the modules of dirs and reads their common values.
func scan(set *Set, dirs []string) ([]candidate, []*common, error) {
	var found []candidate
	var commons []*common
	taken := map[string]string{}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, nil, fmt.Errorf("modules directory %s: %w", dir, err)
		}
		entries, err := readModulesDir(set, abs)
		if err != nil {
			return nil, nil, err
		}
		common, err := readCommon(filepath.Join(abs, valuesFile))
		if err != nil {
			return nil, nil, err
		}
		commons = append(commons, common)
		before := len(found)
		for _, e := range entries {
			if c, ok := inspect(set, abs, e, taken); ok {
				c.common = common
				found = append(found, c)
			}
		}
		if len(found) == before {
			set.Incomplete = true
			set.warn("modules directory %s holds no module of its own; nothing will be purged", abs)
		}
	}
	return found, commons, nil
}

func (s *Set) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// readModulesDir fails if dir is missing (C-280); one that exists but cannot be
// listed only makes the set incomplete.
func readModulesDir(set *Set, dir string) ([]fs.DirEntry, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("modules directory %s: expected an existing directory: %w; correct MODULES_DIR", dir, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("modules directory %s: expected a directory, it is a file; correct MODULES_DIR", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		set.Incomplete = true
		set.warn("modules directory %s cannot be listed, its modules are left as they are: %v", dir, err)
	}
	return entries, nil
}

var dirName = regexp.MustCompile(`^(?:([0-9]+)-)?(.+)$`)

// inspect decides whether an entry of a directory of modules is a module.
func inspect(set *Set, parent string, e fs.DirEntry, taken map[string]string) (candidate, bool) {
	dir := filepath.Join(parent, e.Name())
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		set.Incomplete = true
		set.warn("%s is skipped: it does not lead to a directory: %v", dir, err)
		return candidate{}, false
	case !info.IsDir():
		if e.Name() != valuesFile {
			set.warn("%s is skipped: expected a directory with a module, it is a file", dir)
		}
		return candidate{}, false
	case strings.HasPrefix(e.Name(), ".") || e.Name() == "lost+found":
		set.warn("%s is skipped: not a module by its name", dir)
		return candidate{}, false
	}
	parts := dirName.FindStringSubmatch(e.Name())
	if parts == nil { // a line break in the name
		set.warn("%q is skipped: expected NNN-name", dir)
		return candidate{}, false
	}
	c := candidate{dir: dir, name: parts[2]}
	if first, ok := taken[c.name]; ok {
		set.warn("%s is skipped: module %s was already found in %s", dir, c.name, first)
		return candidate{}, false
	}
	taken[c.name] = dir
	if err := c.setWeight(parts[1]); err == nil {
		err = CheckName(c.name)
		if err == nil {
			return c, true
		}
		set.Broken[c.name] = err
	} else {
		set.Broken[c.name] = fmt.Errorf("module directory %s: %w", dir, err)
	}
	return candidate{}, false
}

func (c *candidate) setWeight(digits string) error {
	if digits == "" {
		return nil
	}
	w, err := strconv.Atoi(digits)
	if err != nil {
		return fmt.Errorf("prefix %s: expected a weight that fits an int", digits)
	}
	c.weight = &w
	return nil
}

// CheckName adds to values.CheckName what the name is used for besides.
func CheckName(name string) error {
	if err := values.CheckName(name); err != nil {
		return err
	}
	key := values.Key(name)
	if key == "global" {
		return errors.New(`module name "global": its values key is that of the global values; rename the directory`)
	}
	if len(name) > maxNameLength {
		return fmt.Errorf("module name %q: expected at most %d characters, the limit of a Helm release name; rename the directory",
			name, maxNameLength)
	}
	return nil
}

// readAll reads the modules in parallel and sorts them into Modules and Broken.
func readAll(set *Set, found []candidate, opts LoadOptions) {
	libs := &libraries{}
	read := make([]*Descriptor, len(found))
	errs := make([]error, len(found))
	var g errgroup.Group
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, c := range found {
		g.Go(func() error {
			read[i], errs[i] = readModule(c, opts, libs)
			return nil
		})
	}
	// The functions report through errs: one module never stops another.
	_ = g.Wait()
	set.Libraries = slices.Sorted(maps.Keys(libs.sums))
	for i, c := range found {
		if errs[i] == nil {
			set.Modules = append(set.Modules, read[i])
			continue
		}
		set.Broken[c.name] = fmt.Errorf("module %s: %w", c.name, errs[i])
		set.Incomplete = set.Incomplete || errors.Is(errs[i], errUnreadable)
	}
}

func globalSchema(hooksDir string) (schema.Set, error) {
	if hooksDir == "" {
		return schema.Set{}, nil
	}
	dir := filepath.Join(hooksDir, "openapi")
	out, err := readSchemas(dir)
	if err != nil {
		return schema.Set{}, fmt.Errorf("schema of the global values in %s: %w", dir, err)
	}
	return out, nil
}

func readSchemas(dir string) (schema.Set, error) {
	config, err := readOptional(filepath.Join(dir, "config-values.yaml"))
	if err != nil {
		return schema.Set{}, err
	}
	all, err := readOptional(filepath.Join(dir, valuesFile))
	if err != nil {
		return schema.Set{}, err
	}
	return schema.Load(config, all)
}

// readOptional returns nil for a file that does not exist.
func readOptional(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}
