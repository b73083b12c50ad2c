package exec

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// C-010: any program works, and one that does not says why.
func TestAFileThatCannotBeStartedSaysWhyAndWhatToDo(t *testing.T) {
	loaderless := func(t *testing.T) []byte {
		program, err := os.ReadFile("/bin/ls")
		if err != nil {
			t.Skip(err)
		}
		at := bytes.Index(program, []byte("/ld-"))
		if at < 0 {
			t.Skip("/bin/ls needs no loader")
		}
		copy(program[at:], "/no-")
		return program
	}
	for name, c := range map[string]struct {
		text []byte
		mode os.FileMode
		want string
	}{
		"a script without an interpreter": {[]byte("echo hello\n"), 0o755, "begin it with #!/usr/bin/env bash"},
		"an empty file":                   {nil, 0o755, "the file is empty: begin it with #!/usr/bin/env bash"},
		"an interpreter without a name":   {[]byte("#!\necho\n"), 0o755, "names no interpreter"},
		"an interpreter that is absent":   {[]byte("#! /no/such/python3 -u\n"), 0o755, "its interpreter /no/such/python3 does not exist here"},
		"lines that end as on Windows":    {[]byte("#!/bin/bash\r\necho\r\n"), 0o755, "its lines end as on Windows"},
		"a byte order mark":               {[]byte("\xef\xbb\xbf#!/bin/bash\n"), 0o755, "a byte order mark"},
		"a program for another processor": {append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 100)...), 0o755, "another processor"},
		"a program without its loader":    {loaderless(t), 0o755, "its loader /lib64/no-"},
		"a file that is not executable":   {[]byte("#!/bin/bash\n"), 0o644, "it is not executable: chmod +x"},
		"an interpreter of that kind":     {[]byte("#!/etc/passwd\n"), 0o755, "its interpreter /etc/passwd is not executable"},
		"a directory as interpreter":      {[]byte("#!/etc\n"), 0o755, "its interpreter /etc is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "hook")
			if err := os.WriteFile(path, c.text, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			for _, limits := range []Limits{{}, {OpenFiles: 100}} {
				r, _ := newRunner(t, func(cfg *Config) { cfg.Limits = limits })
				_, loadErr := r.LoadOne(t.Context(), hook.Standalone, "", path)
				_, runErr := r.Bind(hookOf(path))(t.Context(), hook.Input{})
				for _, err := range []error{loadErr, runErr} {
					var failed *hook.RunError
					if !errors.As(err, &failed) || !strings.Contains(failed.Cause, "cannot be started: ") || !strings.Contains(failed.Cause, c.want) {
						t.Errorf("got %v, want %q", err, c.want)
					}
				}
			}
		})
	}
	t.Run("a volume that forbids programs", func(t *testing.T) {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, "size=64k"); err != nil {
			t.Skipf("needs the right to mount: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
		r, _ := newRunner(t, nil)
		_, err := r.Bind(hookOf(script(t, dir, "hook.sh", "true")))(t.Context(), hook.Input{})
		if err == nil || !strings.Contains(err.Error(), "mounted noexec") {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzInterpreter(f *testing.F) {
	f.Add([]byte("#! /usr/bin/env bash\r\n"))
	f.Add([]byte("#!\t\n"))
	f.Add([]byte("#!/a\x00b c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if name, _ := interpreterIn(text); strings.ContainsAny(name, " \t\n\x00") {
			t.Errorf("%q", name)
		}
	})
}
