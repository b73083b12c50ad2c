package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What scripts and CI rely on: 0 when all is well, 1 for what was found, 2 for a wrong command line.
func TestStatusOfTheHookCommands(t *testing.T) {
	root := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good/hooks/x.sh", "#!/bin/sh\nset -e\n[ \"$1\" != --config ] || echo '{configVersion: v1, onStartup: 1}'\n")
	bad := file("bad/hooks/x.sh", "#!/bin/sh\nset -e\n[ \"$1\" != --config ] || { echo '{configVersion: v1, onStartup: x}'; exit; }\n")
	fails := file("fails/hooks/x.sh", "#!/bin/sh\nset -e\n[ \"$1\" != --config ] || { echo '{configVersion: v1, onStartup: 1}'; exit; }\nexit 3\n")
	passing := file("good/x.case.yaml", "hook: hooks/x.sh\nwant: {}\n")
	failing := file("fails/x.case.yaml", "hook: hooks/x.sh\nwant: {}\n")
	stdout := os.Stdout
	quiet, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = quiet
	t.Cleanup(func() { os.Stdout = stdout; _ = quiet.Close() })
	for _, test := range []struct {
		status int
		args   []string
	}{
		{0, []string{"lint", good}},
		{0, []string{"lint", "-o", "json", root + "/good"}},
		{1, []string{"lint", bad}},
		{2, []string{"lint"}},
		{2, []string{"lint", root + "/none"}},
		{2, []string{"lint", "-o", "xml", good}},
		{2, []string{"lint", "--nonsense", good}},
		{2, []string{"lint", "--module", "Not_A_Name", good}},
		{2, []string{"lint", "--global", "--standalone", good}},
		{0, []string{"run", good}},
		{2, []string{"run", good, "--cluster", "--objects", passing}},
		{2, []string{"run", good, "--binding", "onStartup", "--schedule", "x"}},
		{1, []string{"run", fails}},
		{1, []string{"run", bad}},
		{1, []string{"run", good, "--binding", "none"}},
		{2, []string{"run", good, "--apply"}},
		{2, []string{"run", good, "--event", "Changed"}},
		{2, []string{"run", good, "--objects", root + "/none"}},
		{2, []string{"run"}},
		{0, []string{"test", passing}},
		{0, []string{"test", "-run", "good", root}},
		{1, []string{"test", failing}},
		{2, []string{"test", root + "/bad"}},
		{2, []string{"test", "-run", "(", root}},
		{2, []string{"test", "-run", "no such case", root}},
	} {
		err := run(append([]string{"hook"}, test.args...))
		status := 0
		if err != nil {
			status = 1
			if coded := (interface{ ExitCode() int })(nil); errors.As(err, &coded) {
				status = coded.ExitCode()
			}
		}
		if status != test.status {
			t.Errorf("hook %v: status %d (%v), want %d", test.args, status, err, test.status)
		}
	}
}
