package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// The steps check themselves; this looks at what a person sees at the end, and at what is left. The clusters are the demo's
// own, and none of them is up beside that of the other tests.
func TestTheTaleOfChannelsEndsWithARollbackAndLeavesNothingBehind(t *testing.T) {
	// Not t.TempDir: the path of a socket may have no more than 104 bytes.
	temp, err := os.MkdirTemp("", "demo-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	t.Setenv("TMPDIR", temp)
	var out bytes.Buffer
	err = run(t.Context(), options{Once: true, Channels: true, Timeout: 3 * time.Minute, Root: testkit.Root(), Out: &out})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`(?m)^1\.2\.0 +RolledBack +NotReadyInTime +sha256:[0-9a-f]{64} +version 1\.2\.0 was not Ready within 15s: .*Deployment/hello/hello`,
		`(?m)^modulerelease\S+hello-1\.2\.0-\S+ +hello +1\.2\.0 +ea +RolledBack +NotReadyInTime `,
		`(?m)^module\S+/hello +true +stable +1\.1\.0 +Deployed +True `,
		`(?m)^\$ addon-operator channel promote hello 1\.1\.0 --from ea --to stable `,
		`(?m)^error: .*expected at least 48h`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("nothing matches %s:\n%s", want, out.String())
		}
	}
	left, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	// What the demo starts inherits TMPDIR.
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range environments {
		text, err := os.ReadFile(file)
		if err == nil && bytes.Contains(text, []byte("TMPDIR="+temp)) && !strings.Contains(file, "/"+strconv.Itoa(os.Getpid())+"/") {
			t.Errorf("a process is left: %s", file)
		}
	}
}

func TestACommandThatShouldBeRefusedAndIsNotIsAnError(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &publisher{dir: t.TempDir(), binary: "/bin/echo", root: "oci://host/root", screen: newScreen(&out)}
	if err := p.run(t.Context(), "push $ADDON_OPERATOR_ROOT"); err != nil {
		t.Fatal(err)
	}
	if want := "$ addon-operator push $ADDON_OPERATOR_ROOT\npush oci://host/root\n"; out.String() != want {
		t.Errorf("got %q, expected %q", out.String(), want)
	}
	if err := p.refused(t.Context(), "48h", "48h"); err == nil {
		t.Error("a command that went well counts as refused")
	}
}
