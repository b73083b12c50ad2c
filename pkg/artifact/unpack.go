package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// limits bound what an archive of a stranger can cost.
type limits struct {
	// packed and unpacked are bytes of all layers together, file those of one file.
	packed, unpacked, file int64
	// files counts files and directories, depth directories above a file, path bytes of a name.
	files, depth, path int
}

// MaxPacked bounds the layers of one artifact together, in bytes.
const MaxPacked = 256 << 20

func defaultLimits() limits {
	return limits{packed: MaxPacked, unpacked: 512 << 20, file: 64 << 20, files: 20_000, depth: 32, path: 1024}
}

// Unpack writes the module's directory NNN-name, or global-hooks, below dir and answers its path.
// What was there by that name is replaced; on an error nothing is.
//
// Archives of strangers are welcome: whatever is no plain file at a path below the directory, is there twice (or
// would be where names differ by case only), or is more than the bounds allow is refused, with its name in the error.
func Unpack(a Artifact, dir string) (string, error) { return unpack(a, dir, defaultLimits()) }

func unpack(a Artifact, dir string, l limits) (string, error) {
	if err := a.Meta.check(); err != nil {
		return "", err
	}
	final := filepath.Join(dir, a.Meta.dirName())
	if err := os.MkdirAll(dir, execMode); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(dir, ".unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := a.writeTo(filepath.Join(work, "new"), l); err != nil {
		return "", fmt.Errorf("artifact of module %s %s: %w", a.Meta.Name, a.Meta.Version, err)
	}
	if err := os.Rename(final, filepath.Join(work, "old")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return final, os.Rename(filepath.Join(work, "new"), final)
}

func (m Meta) dirName() string {
	if m.Name == GlobalName {
		return globalDir
	}
	return fmt.Sprintf("%03d-%s", m.Weight, m.Name)
}

// writeTo makes dir and writes the files of both archives into it.
func (a Artifact) writeTo(dir string, l limits) error {
	if err := os.Mkdir(dir, execMode); err != nil {
		return err
	}
	// Not even a name that passed the checks can lead out of root.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return a.read(l, func(name string, exec bool, content io.Reader) error { return write(root, name, exec, content) })
}

func write(root *os.Root, name string, exec bool, content io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), execMode); err != nil {
		return err
	}
	mode := os.FileMode(plainMode)
	if exec {
		mode = execMode
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// verify reads everything and writes nothing.
func (a Artifact) verify(l limits) error {
	return a.read(l, func(_ string, _ bool, content io.Reader) error {
		_, err := io.Copy(io.Discard, content)
		return err
	})
}

// read gives every file of both archives to take, by its path below the module's directory.
func (a Artifact) read(l limits, take func(name string, exec bool, content io.Reader) error) error {
	if size := int64(len(a.Chart)) + int64(len(a.Files)); size > l.packed {
		return fmt.Errorf("expected at most %d bytes in all layers, got %d", l.packed, size)
	}
	r := &reader{limits: l, left: l.unpacked, kinds: map[string]kind{}}
	if err := r.archive(a.Chart, a.chartPath, take); err != nil {
		return fmt.Errorf("chart layer: %w", err)
	}
	if err := r.archive(a.Files, filesPath, take); err != nil {
		return fmt.Errorf("files layer: %w", err)
	}
	return nil
}

// chartPath takes the chart's name off a path; "" is to be left out.
func (a Artifact) chartPath(name string) (string, error) {
	rest, ok := strings.CutPrefix(name, a.Meta.Name+"/")
	if !ok {
		return "", fmt.Errorf("expected a path below %s/, got %q", a.Meta.Name, name)
	}
	if a.Meta.NoChart && rest == chartFile {
		return "", nil
	}
	return rest, nil
}

func filesPath(name string) (string, error) {
	if name == chartFile {
		return "", fmt.Errorf("%s belongs into the chart layer", chartFile)
	}
	return name, nil
}

type kind int

const (
	aFile kind = iota + 1
	aDirectory
)

// reader reads the archives of one artifact.
type reader struct {
	limits
	left  int64           // bytes that may still come out of archives
	kinds map[string]kind // by path in lower case
}

var errTooMuch = errors.New("more bytes than allowed")

// counted counts what comes out of an archive, its own structure too.
func (r *reader) counted(from io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if r.left <= 0 {
			return 0, fmt.Errorf("%w: expected at most %d unpacked", errTooMuch, r.unpacked)
		}
		n, err := from.Read(p[:min(int64(len(p)), r.left)])
		r.left -= int64(n)
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (r *reader) archive(text []byte, place func(string) (string, error), take func(string, bool, io.Reader) error) error {
	zip, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("expected a gzipped tar archive: %w", err)
	}
	in := tar.NewReader(r.counted(zip))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("expected a gzipped tar archive: %w", err)
		}
		if err := r.entry(h, in, place, take); err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
	}
}

func (r *reader) entry(h *tar.Header, in io.Reader, place func(string) (string, error), take func(string, bool, io.Reader) error) error {
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("expected plain files only, got one of type %q", h.Typeflag)
	}
	if h.Size > r.file {
		return fmt.Errorf("expected at most %d bytes in a file, got %d", r.file, h.Size)
	}
	if err := r.checkPath(h.Name); err != nil {
		return err
	}
	name, err := place(h.Name)
	if err != nil || name == "" {
		return err
	}
	if err := r.claim(name); err != nil {
		return err
	}
	return take(name, h.Mode&0o111 != 0, io.LimitReader(in, h.Size))
}

// checkPath wants a relative path in its shortest form, with nothing in it that a file system may take for
// something else.
func (r *reader) checkPath(name string) error {
	switch {
	case name == "" || len(name) > r.path:
		return fmt.Errorf("expected a path of 1 to %d bytes", r.path)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, `\`):
		return errors.New("expected a path in UTF-8 without control characters and backslashes")
	case !filepath.IsLocal(name) || path.Clean(name) != name || name == ".":
		return errors.New("expected a path that stays below its directory, in its shortest form")
	case strings.Count(name, "/") > r.depth:
		return fmt.Errorf("expected at most %d directories above a file", r.depth)
	}
	return nil
}

// claim notes a file and the directories above it, each of which is one of the two only.
func (r *reader) claim(name string) error {
	lower := strings.ToLower(name)
	if r.kinds[lower] != 0 {
		return errors.New("there is another file or directory of that name, maybe in another case")
	}
	r.kinds[lower] = aFile
	for dir := path.Dir(lower); dir != "."; dir = path.Dir(dir) {
		if r.kinds[dir] == aFile {
			return fmt.Errorf("there is a file %q as well", dir)
		}
		r.kinds[dir] = aDirectory
	}
	if len(r.kinds) > r.files {
		return fmt.Errorf("expected at most %d files and directories", r.files)
	}
	return nil
}
