package module

import (
	"fmt"
	"path/filepath"
)

// File is one file of a directory.
type File struct {
	// Path is below the directory, with slashes.
	Path string
	Exec bool
}

// Files are the regular files of a module's directory by path, as Load sees them: symbolic
// links followed; what is neither a file nor a directory, and links that lead nowhere, left out.
func Files(dir string) ([]File, error) {
	t, err := readTree(dir)
	if err != nil {
		return nil, err
	}
	out := make([]File, 0, len(t.files))
	for _, path := range t.sorted() {
		out = append(out, File{Path: path, Exec: t.files[path].exec})
	}
	return out, nil
}

// LoadOne reads one module from its directory NNN-name, by the rules of Load but without
// common values. Charts that it depends on must lie in its charts/, as they do in an unpacked
// artifact; LoadOptions.Libraries says otherwise.
func LoadOne(dir string, opts LoadOptions) (*Descriptor, error) {
	if opts.CRDFilterPrefixes == nil {
		opts.CRDFilterPrefixes = DefaultCRDFilterPrefixes()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	parts := dirName.FindStringSubmatch(filepath.Base(dir))
	if parts == nil {
		return nil, fmt.Errorf("module directory %q: expected a name such as 500-hello", dir)
	}
	c := candidate{dir: dir, name: parts[2], common: &common{}}
	if err := c.setWeight(parts[1]); err != nil {
		return nil, fmt.Errorf("module directory %s: %w", dir, err)
	}
	if err := CheckName(c.name); err != nil {
		return nil, err
	}
	m, err := readModule(c, opts, &libraries{sealed: !opts.Libraries})
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", c.name, err)
	}
	return m, nil
}
