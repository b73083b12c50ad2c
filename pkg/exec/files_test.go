package exec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// left lists what runs have not removed.
func left(t *testing.T, r *Runner) []string {
	t.Helper()
	entries, err := os.ReadDir(r.dir.path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.Name() != "lock" {
			out = append(out, e.Name())
		}
	}
	return out
}

// C-108.
func TestMalformedDataInEachOutputFileNamesItsVariable(t *testing.T) {
	contents := map[string]string{
		"no JSON":      `{{{`,
		"binary":       `\x00\xff\xfe\x80{`,
		"a wrong type": `[[3]]`,
	}
	for env, path := range map[string]string{
		envValuesPatch: "$VALUES_JSON_PATCH_PATH", envConfigPatch: "$CONFIG_VALUES_JSON_PATCH_PATH", envOperations: "$KUBERNETES_PATCH_PATH",
		envMetrics: "$METRICS_PATH", envAdmission: "$VALIDATING_RESPONSE_PATH", envConversion: "$CONVERSION_RESPONSE_PATH",
	} {
		for name, content := range contents {
			t.Run(env+", "+name, func(t *testing.T) {
				t.Parallel()
				r, _ := newRunner(t, nil)
				h := hookOf(script(t, t.TempDir(), "hook.sh", `printf '`+content+`' > `+path))
				h.Spec = hook.Spec{Admissions: make([]hook.Admission, 1), Conversions: make([]hook.Conversion, 1)}
				out, err := r.Bind(h)(t.Context(), hook.Input{})
				var failed *hook.RunError
				if !errors.As(err, &failed) || !strings.HasPrefix(failed.Cause, "bad "+env+": ") || strings.Contains(failed.Cause, "\n") || strings.Count(failed.Cause, "_PATH") > 1 {
					t.Errorf("got %v", err)
				}
				if out.Samples != nil || out.Admission != nil || len(left(t, r)) > 0 {
					t.Errorf("got %+v, left %v", out, left(t, r))
				}
			})
		}
	}
}

func TestWhatComesInPlaceOfAnOutputFileIsNotRead(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"name":"m","set":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ script, cause string }{
		"a link to a file":     {"ln -sf " + secret + " $METRICS_PATH", "it became a link"},
		"a link to a device":   {"ln -sf /dev/zero $METRICS_PATH", "it became a link"},
		"a link to nothing":    {"ln -sf /nowhere $METRICS_PATH", "it became a link"},
		"a named pipe":         {"rm $METRICS_PATH; mkfifo $METRICS_PATH", "it became a named pipe"},
		"a directory":          {"rm $METRICS_PATH; mkdir $METRICS_PATH", "it became a directory"},
		"a device":             {"rm $METRICS_PATH; mknod $METRICS_PATH c 1 5 || ln -s /dev/zero $METRICS_PATH", "it became a "},
		"a removed directory":  {"rm -r $(dirname $METRICS_PATH)", "the hook removed the file"},
		"a sparse file":        {"truncate -s 1G $METRICS_PATH", "it holds 1 GiB: at most 8 MiB are read"},
		"more than metrics do": {"head -c 9M /dev/zero > $METRICS_PATH", "it holds 9 MiB: at most 8 MiB are read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newRunner(t, nil)
			_, err := bind(t, r, c.script)(t.Context(), hook.Input{})
			var failed *hook.RunError
			if !errors.As(err, &failed) || !strings.Contains(failed.Cause, "bad METRICS_PATH: "+c.cause) {
				t.Errorf("got %v, want %s", err, c.cause)
			}
			if l := left(t, r); len(l) > 0 {
				t.Errorf("left: %v", l)
			}
		})
	}
	r, _ := newRunner(t, nil)
	out, err := bind(t, r, `echo '{"name":"m","set":2}' > $METRICS_PATH.new; mv $METRICS_PATH.new $METRICS_PATH`)(t.Context(), hook.Input{})
	if err != nil || len(out.Samples) != 1 {
		t.Errorf("a file moved there: got %+v, %v", out, err)
	}
}

func TestAHookThatFillsTheDirectoryOfItsRunIsKilled(t *testing.T) {
	for name, c := range map[string]struct{ script, cause string }{
		"a large file":           {`while :; do head -c 100K /dev/zero; done > $METRICS_PATH`, "killed: it wrote more than 4 MiB into its files"},
		"another file":           {`mkdir $(dirname $METRICS_PATH)/deep; while :; do head -c 100K /dev/zero; done > $(dirname $METRICS_PATH)/deep/x`, "killed: it wrote more than 4 MiB into its files"},
		"one that ignores":       {`trap '' TERM; while :; do head -c 100K /dev/zero; done > $METRICS_PATH`, "killed: it wrote more than 4 MiB into its files"},
		"a directory it shut":    {`mkdir -m 0 $(dirname $METRICS_PATH)/shut; chmod 0 $(dirname $METRICS_PATH); exit 3`, "exit status 3"},
		"room that was not its":  {`head -c 3M /dev/zero > $(dirname $METRICS_PATH)/x; exit 4`, "exit status 4"},
		"a length that is none":  {`truncate -s 1T $(dirname $METRICS_PATH)/x; exit 5`, "exit status 5"},
		"what it was given is 8": {`[ $(stat -c %s $VALUES_PATH) = 8388608 ]; exit 6`, "exit status 6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newRunner(t, func(c *Config) { c.FilesLimit = 4 << 20 })
			_, err := bind(t, r, c.script)(t.Context(), hook.Input{Values: bytes.Repeat([]byte(" "), 8<<20)})
			var failed *hook.RunError
			if !errors.As(err, &failed) || failed.Cause != c.cause {
				t.Errorf("got %v, want %s", err, c.cause)
			}
			if l := left(t, r); len(l) > 0 {
				t.Errorf("left: %v", l)
			}
		})
	}
}

func TestTheWatchOverARunsFilesCountsThem(t *testing.T) {
	dir := t.TempDir()
	for i := range 12 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		free, limit int64
		files       int
		want        string
	}{
		{0, 12 * 8192, 20, ""}, {8192, 4096, 20, "wrote more than 4 KiB into its files"},
		{0, 12 * 8192, 5, "made more than 5 files in the directory of its run"},
	} {
		if got := (diskWatch{dir: dir, free: c.free, limit: c.limit, files: c.files}).excess(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestAFullDiskLosesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	r, _ := newRunner(t, func(c *Config) { c.TempDir = dir })
	notItsFault := func(err error, want string) {
		t.Helper()
		var failed *hook.RunError
		if err == nil || errors.As(err, &failed) || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("got %v", err)
			return
		}
		for _, want := range []string{want, "no space left on device", "free some in " + dir, "--tmp-dir"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing in %v", want, err)
			}
		}
		if l := left(t, r); len(l) > 0 {
			t.Errorf("left: %v", l)
		}
	}
	good := bind(t, r, `echo '{"name":"m","set":2}' > $METRICS_PATH`)
	_, err := good(t.Context(), hook.Input{Values: make([]byte, 1<<20)})
	notItsFault(err, "not started: write values.json")
	if out, err := good(t.Context(), hook.Input{Values: []byte("{}")}); err != nil || len(out.Samples) != 1 {
		t.Errorf("once there is room: got %+v, %v", out, err)
	}
	// A hook that does not look whether it could write.
	_, err = bind(t, r, `while head -c 1000 /dev/zero; do :; done > $(dirname $METRICS_PATH)/x 2>/dev/null; echo '{"name":"m","set":2}' > $METRICS_PATH; true`)(t.Context(), hook.Input{})
	notItsFault(err, "its result is not used, it may be incomplete")
}

func TestSizesAreReadable(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1 << 10: "1 KiB", 3 << 19: "1.5 MiB", 1 << 30: "1 GiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

// lines is a script's way to write a number of lines of 100 bytes.
func lines(n int) string {
	return fmt.Sprintf(`yes "$(printf %%099d 7)" | head -n %d`, n)
}
