package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hostile makes archives that Pack never would.
type hostile struct {
	t   testing.TB
	out bytes.Buffer
	zip *gzip.Writer
	tar *tar.Writer
}

func newHostile(t testing.TB) *hostile {
	h := &hostile{t: t}
	h.zip = gzip.NewWriter(&h.out)
	h.tar = tar.NewWriter(h.zip)
	return h
}

func (h *hostile) add(header tar.Header, text string) *hostile {
	header.Size = int64(len(text))
	if header.Typeflag == 0 {
		header.Typeflag = tar.TypeReg
	}
	if err := h.tar.WriteHeader(&header); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.tar.Write([]byte(text)); err != nil {
		h.t.Fatal(err)
	}
	return h
}

func (h *hostile) bytes() []byte {
	if h.tar.Close() != nil || h.zip.Close() != nil {
		h.t.Fatal("cannot close the archive")
	}
	return h.out.Bytes()
}

func plain(t testing.TB, names ...string) []byte {
	h := newHostile(t)
	for _, n := range names {
		h.add(tar.Header{Name: n}, "x")
	}
	return h.bytes()
}

func small() limits {
	return limits{packed: 10_000, unpacked: 20_000, file: 2_000, files: 10, depth: 3, path: 60}
}

func TestHostileArchivesAreRefusedAndLeaveNothing(t *testing.T) {
	meta := Meta{Name: "web", Version: "1.0.0", Weight: 10}
	special := func(kind byte, name, link string) []byte {
		h := newHostile(t)
		if err := h.tar.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: 0o777}); err != nil {
			t.Fatal(err)
		}
		return h.bytes()
	}
	many := make([]string, 11)
	for i := range many {
		many[i] = fmt.Sprintf("hooks/%d", i)
	}
	truncated := plain(t, "hooks/a", "hooks/b")
	for name, c := range map[string]struct {
		meta         *Meta
		chart, files []byte
		want         string
	}{
		"an absolute path":                           {files: plain(t, "/etc/passwd"), want: "stays below its directory"},
		"a path upwards":                             {files: plain(t, "../x"), want: "stays below its directory"},
		"a path upwards in its middle":               {files: plain(t, "hooks/../../x"), want: "stays below its directory"},
		"a path that goes and comes back":            {files: plain(t, "hooks/../x"), want: "shortest form"},
		"a path with a dot":                          {files: plain(t, "./x"), want: "shortest form"},
		"a path with two slashes":                    {files: plain(t, "hooks//x"), want: "shortest form"},
		"the directory itself":                       {files: plain(t, "."), want: "shortest form"},
		"a backslash":                                {files: plain(t, `..\x`), want: "backslashes"},
		"a zero byte in a PAX name":                  {files: plain(t, "a\nb"), want: "without control characters"},
		"a name that is not UTF-8":                   {files: plain(t, "a\xff"), want: "UTF-8"},
		"a long path":                                {files: plain(t, strings.Repeat("a", 61)), want: "1 to 60 bytes"},
		"a deep path":                                {files: plain(t, "a/b/c/d/e"), want: "at most 3 directories"},
		"a symbolic link":                            {files: special(tar.TypeSymlink, "hooks", "/etc"), want: "plain files only"},
		"a hard link":                                {files: special(tar.TypeLink, "x", "/etc/passwd"), want: "plain files only"},
		"a device":                                   {files: special(tar.TypeChar, "x", ""), want: "plain files only"},
		"a pipe":                                     {files: special(tar.TypeFifo, "x", ""), want: "plain files only"},
		"a directory":                                {files: special(tar.TypeDir, "hooks/", ""), want: "plain files only"},
		"a file twice":                               {files: plain(t, "x", "x"), want: "another file"},
		"a file twice in another case":               {files: plain(t, "Enabled", "enabled"), want: "another case"},
		"a file in both layers":                      {chart: plain(t, "web/x"), files: plain(t, "x"), want: "another file"},
		"a file that is a directory as well":         {files: plain(t, "x", "x/y"), want: `a file "x" as well`},
		"a directory that is a file as well":         {files: plain(t, "x/y", "X"), want: "another file or directory"},
		"a chart file beside the chart":              {files: plain(t, "Chart.yaml"), want: "belongs into the chart layer"},
		"a chart of another name":                    {chart: plain(t, "other/x"), want: "expected a path below web/"},
		"a chart whose directory is a prefix":        {chart: plain(t, "web2/x"), want: "expected a path below web/"},
		"a chart that is the directory":              {chart: plain(t, "web"), want: "expected a path below web/"},
		"a way up below the chart's name":            {chart: plain(t, "web/../../x"), want: "stays below its directory"},
		"too many files":                             {files: plain(t, many...), want: "at most 10 files"},
		"a big file":                                 {files: newHostile(t).add(tar.Header{Name: "x"}, strings.Repeat("\x00", 2001)).bytes(), want: "at most 2000 bytes in a file"},
		"much in small files":                        {files: manyOf(t, 2000), want: "at most 20000 unpacked"},
		"much between files":                         {files: zeros(t, 1<<20), want: ""},
		"big layers":                                 {files: bytes.Repeat([]byte("x"), 10_001), want: "at most 10000 bytes in all layers"},
		"no archive":                                 {files: []byte("x"), want: "expected a gzipped tar archive"},
		"an archive that ends early":                 {files: truncated[:len(truncated)/2], want: "expected a gzipped tar archive"},
		"no name":                                    {meta: &Meta{Version: "1.0.0"}, want: "module"},
		"a name that is a path":                      {meta: &Meta{Name: "../x", Version: "1.0.0"}, want: "module"},
		"a name that looks like a setting":           {meta: &Meta{Name: "x-enabled", Version: "1.0.0"}, want: "looks like a setting"},
		"no version":                                 {meta: &Meta{Name: "x"}, want: "expected a version"},
		"a negative weight":                          {meta: &Meta{Name: "x", Version: "1.0.0", Weight: -1}, want: "weight"},
		"a name of a place on disk in its dir name ": {meta: &Meta{Name: "a/b", Version: "1.0.0"}, want: "module"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			a := Artifact{Meta: meta, Chart: c.chart, Files: c.files}
			if c.meta != nil {
				a.Meta = *c.meta
			}
			if a.Chart == nil {
				a.Chart = plain(t)
			}
			if a.Files == nil {
				a.Files = plain(t)
			}
			path, err := unpack(a, filepath.Join(dir, "in"), small())
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v and %q, expected %s", err, path, c.want)
			}
			left, _ := filepath.Glob(filepath.Join(dir, "in", "*"))
			hidden, _ := filepath.Glob(filepath.Join(dir, "in", ".*"))
			beside, _ := filepath.Glob(filepath.Join(dir, "*"))
			if len(left)+len(hidden) > 0 || len(beside) > 1 {
				t.Errorf("it left %v %v %v", left, hidden, beside)
			}
		})
	}
}

func manyOf(t *testing.T, size int) []byte {
	h := newHostile(t)
	for i := range 10 {
		h.add(tar.Header{Name: fmt.Sprint(i)}, strings.Repeat("\x00", size))
	}
	return h.bytes()
}

// zeros is an archive with much behind its end, which nobody reads.
func zeros(t *testing.T, n int) []byte {
	h := newHostile(t)
	if err := h.tar.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.zip.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := h.zip.Close(); err != nil {
		t.Fatal(err)
	}
	return h.out.Bytes()
}

func TestUnpackReplacesWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	a := Artifact{Meta: Meta{Name: "web", Version: "1.0.0", Weight: 7}, Chart: plain(t), Files: plain(t, "hooks/a")}
	if _, err := Unpack(a, dir); err != nil {
		t.Fatal(err)
	}
	a.Files = plain(t, "hooks/b")
	path, err := Unpack(a, dir)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	if !slices.Equal(got, []string{filepath.Join(path, "hooks/b")}) {
		t.Error(got)
	}
	if path != filepath.Join(dir, "007-web") {
		t.Error(path)
	}
}

func TestMetaIsChecked(t *testing.T) {
	good := `"name":"web","version":"1.0.0"`
	for text, want := range map[string]string{
		`{` + good + `,"new":{}}`: "",
		`{` + good + `,"requires":{"modules":[{"module":"a","version":">=1"}],"facts":["global.a"]}}`: "",
		`[]`:                                                                "expected JSON",
		`{"name":"Web","version":"1.0.0"}`:                                  "Web",
		`{"name":"web","version":"1.0"}`:                                    "expected a version",
		`{` + good + `,"upgradeFrom":"latest"}`:                             "upgradeFrom: expected a range",
		`{` + good + `,"rollback":"x"}`:                                     "rollback: expected safe",
		`{` + good + `,"requires":{"kubernetes":"new"}}`:                    "requires.kubernetes",
		`{` + good + `,"requires":{"modules":[{"module":"../a"}]}}`:         "requires.modules",
		`{` + good + `,"requires":{"facts":["a"]}}`:                         "requires.facts",
		`{` + good + `,"provides":{"crds":["A"]}}`:                          "provides.crds",
		`{` + good + `,"images":["http://169.254.169.254/a"]}`:              "images",
		`{` + good + `,"images":[` + strings.Repeat(`"",`, 1000) + `""]}`:   "expected at most 1000",
		`{` + good + `,"upgradeFrom":"` + strings.Repeat(" ", 1<<20) + `"}`: "expected at most 1048576 bytes",
	} {
		_, err := ParseMeta([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %v, expected %s", text, err, want)
		}
	}
}

func TestTheModuleMustBeTheOneThatIsListed(t *testing.T) {
	m := Meta{Name: "web", Version: "1.0.0"}
	if m.Expect("web", "1.0.0") != nil || m.Expect("web", "") != nil || m.Expect("db", "1.0.0") == nil || m.Expect("web", "1.0.1") == nil {
		t.Error("expected name and version to be compared")
	}
}

func FuzzParseMeta(f *testing.F) {
	f.Add([]byte(`{"name":"web","version":"1.0.0","weight":7,"requires":{"facts":["global.a"]},"images":["a.b/c@sha256:` + strings.Repeat("a", 64) + `"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMeta(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseMeta(again); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
		if !filepath.IsLocal(m.dirName()) || strings.Contains(m.dirName(), "/") {
			t.Errorf("%s is no name of a directory", m.dirName())
		}
	})
}

// FuzzUnpack: whatever names, kinds and bytes an archive has, nothing is written beside the directory.
func FuzzUnpack(f *testing.F) {
	f.Add("hooks/a", byte(tar.TypeReg), "x", []byte(nil))
	f.Add("../a", byte(tar.TypeReg), "x", []byte("\x1f\x8b"))
	f.Add("web", byte(tar.TypeSymlink), "/etc", plain(f, "x"))
	f.Fuzz(func(t *testing.T, name string, kind byte, text string, raw []byte) {
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		w := tar.NewWriter(zip)
		header := tar.Header{Typeflag: kind, Name: name, Linkname: text, Size: int64(len(text))}
		if w.WriteHeader(&header) == nil {
			_, _ = w.Write([]byte(text))
		}
		_, _ = w.Close(), zip.Close()
		for _, archive := range [][]byte{out.Bytes(), raw} {
			dir := t.TempDir()
			a := Artifact{Meta: Meta{Name: "web", Version: "1.0.0"}, Chart: plain(t), Files: archive}
			_, err := unpack(a, filepath.Join(dir, "a/b"), small())
			names, _ := filepath.Glob(filepath.Join(dir, "*/*/*"))
			if err == nil && (len(names) != 1 || filepath.Base(names[0]) != "000-web") || err != nil && len(names) > 0 {
				t.Errorf("%v, and there is %v", err, names)
			}
			beside, _ := os.ReadDir(dir)
			below, _ := os.ReadDir(filepath.Join(dir, "a"))
			if len(beside) > 1 || len(below) > 1 {
				t.Errorf("there is %v, %v beside the directory", beside, below)
			}
		}
	})
}
