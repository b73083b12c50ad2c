package registry

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	blobPrefix = "blobs/sha256/"
	// maxEntries bounds the files of a bundle.
	maxEntries = 100_000
)

// writeTar makes a tar of a layout, without anything of the machine: the same layout gives the same bytes.
func writeTar(file, dir string) error {
	return replace(absolute(file), func(out *os.File) error {
		w := tar.NewWriter(out)
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { // in order of names
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			return writeTarFile(w, filepath.ToSlash(name), path)
		})
		return errors.Join(err, w.Close())
	})
}

func writeTarFile(w *tar.Writer, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// readTar unpacks a layout: the two files that every layout has, and blobs that are what their names say.
func readTar(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	in := tar.NewReader(f)
	seen := map[string]bool{}
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errNotBundle, err)
		}
		if h.Typeflag == tar.TypeDir {
			continue // blobs/ and the like, as other tools write them; nothing is made of it
		}
		if h.Typeflag != tar.TypeReg || seen[h.Name] || len(seen) >= maxEntries {
			return fail(errIntegrity, "%.200q: expected at most %d plain files, each once", h.Name, maxEntries)
		}
		seen[h.Name] = true
		if err := readTarFile(dir, h, in); err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
	}
	if !seen[indexFile] || !seen[ocispec.ImageLayoutFile] {
		return fmt.Errorf("%w: it has no %s or no %s", errNotBundle, indexFile, ocispec.ImageLayoutFile)
	}
	return nil
}

func readTarFile(dir string, h *tar.Header, in io.Reader) error {
	if h.Name == indexFile || h.Name == ocispec.ImageLayoutFile {
		text, err := readBounded(in, maxManifest)
		if err != nil {
			return err
		}
		return writeWhole(filepath.Join(dir, h.Name), text)
	}
	hex, ok := strings.CutPrefix(h.Name, blobPrefix)
	if digest := "sha256:" + hex; ok && checkDigest(digest) == nil {
		return writeBlob(filepath.Join(dir, "blobs", "sha256", hex), digest, in)
	}
	return fail(errIntegrity, "expected %s, %s or %s followed by 64 hexadecimal digits", ocispec.ImageLayoutFile, indexFile, blobPrefix)
}
