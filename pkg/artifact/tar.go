package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"
)

// Modes of files in an archive; nothing else of a mode is kept.
const (
	plainMode = 0o644
	execMode  = 0o755
)

// archive is a gzipped tar of the files, by path, without anything of the machine it is made on.
func archive(prefix string, files []packed) ([]byte, error) {
	slices.SortFunc(files, func(a, b packed) int { return strings.Compare(a.path, b.path) })
	var out bytes.Buffer
	zip := gzip.NewWriter(&out) // no name and time in its header
	w := tar.NewWriter(zip)
	var total int64
	for _, f := range files {
		text, err := f.content()
		if err != nil {
			return nil, err
		}
		if total += int64(len(text)); total > defaultLimits().unpacked {
			return nil, fmt.Errorf("expected at most %d bytes in all files; leave out what the module does not need to run", defaultLimits().unpacked)
		}
		if err := writeFile(w, prefix+f.path, f.exec, text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writeFile(w *tar.Writer, name string, exec bool, text []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: plainMode, Size: int64(len(text))} // times are 1970
	if exec {
		h.Mode = execMode
	}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err := w.Write(text)
	return err
}
