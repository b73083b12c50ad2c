package helm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/testkit"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestMain(m *testing.M) {
	code := testkit.Run(m)
	if err := goleak.Find(
		// testkit keeps the thread that started the control plane, whose life depends on it.
		goleak.IgnoreAnyFunction("github.com/addon-operator/addon-operator/pkg/testkit.Start.func1"),
		// Connections that the tests' clients keep for another request.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/internal/http2.(*ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http/internal/http2.(*ClientConn).readLoop"),
	); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// files are the contents of a module's directory by path.
type files map[string]string

func (f files) write(t testing.TB, dir string) {
	t.Helper()
	for name, text := range f {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// aModule writes a module to a directory of its own, below one that may hold charts/.
func aModule(t testing.TB, name string, f files) *module.Descriptor {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "modules", "100-"+name)
	f.write(t, dir)
	return &module.Descriptor{Name: name, Key: values.Key(name), Dir: dir, Digest: digestOf(f), HasChart: true}
}

// withFiles is m after an edit of its files.
func withFiles(t testing.TB, m *module.Descriptor, f files) *module.Descriptor {
	t.Helper()
	f.write(t, m.Dir)
	out := *m
	out.Digest = digestOf(f) + m.Digest
	return &out
}

func digestOf(f files) string {
	var b strings.Builder
	for k, v := range f {
		b.WriteString(k + v)
	}
	return values.Digest([]byte(b.String()))
}

func snapshot(t testing.TB, yaml string) values.Snapshot {
	t.Helper()
	v, err := values.DecodeYAML([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := v.(values.Map)
	s, err := values.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// offline is a client without a cluster.
func offline(t testing.TB) *Client {
	t.Helper()
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request(t testing.TB, m *module.Descriptor, yaml string) installed.Request {
	t.Helper()
	return installed.Request{Module: m, Namespace: "apps", Values: snapshot(t, yaml)}
}
