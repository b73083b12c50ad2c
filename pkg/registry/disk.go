package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// temporary is the beginning of names of files that are not complete yet.
const temporary = ".tmp-"

// writeBlob writes what has that digest: it is there whole, and on the disk, or not at all.
func writeBlob(path, want string, from io.Reader) error {
	return replace(path, func(f *os.File) error {
		h := sha256.New()
		if _, err := io.Copy(io.MultiWriter(f, h), from); err != nil {
			return err
		}
		if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != want {
			return fail(errIntegrity, "expected content of digest %s, got %s", want, got)
		}
		return nil
	})
}

func writeWhole(path string, text []byte) error {
	return replace(path, func(f *os.File) error {
		_, err := io.Copy(f, bytes.NewReader(text))
		return err
	})
}

func replace(path string, fill func(*os.File) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), temporary)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	err = fill(f)
	if err == nil {
		err = errors.Join(f.Chmod(0o644), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
