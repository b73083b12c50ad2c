package converge

import (
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// DESIGN 4, fuse: who fights about what, secrets masked, old changes forgotten.
func TestContestsNameHooksPathsAndValues(t *testing.T) {
	schemas, err := schema.Load(nil, []byte("type: object\nproperties: {password: {type: string, x-secret: true}}\nadditionalProperties: true\n"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(&module.Set{Modules: []*module.Descriptor{{Name: "a", Key: "a", Schemas: schemas}}}, settings.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	owner := hook.Owner{Module: "a"}
	now := time.Now()
	var c changes
	write := func(name, path string, value any) {
		t.Helper()
		id := hook.ID{Owner: owner, Name: name}
		ops := []values.Op{{Op: "add", Path: path, Value: value}}
		before := st.Section(owner)
		if _, err := st.Commit(id, "", ops); err != nil {
			t.Fatal(err)
		}
		c.note(id, before, st.Section(owner), ops, now)
	}
	contests := func() string { return c.contests(now.Add(-time.Minute), owner) }
	write("x.sh", "/a/once", "here")
	if got := contests(); got != "" {
		t.Errorf("one change is no contest: %s", got)
	}
	for range 2 {
		write("x.sh", "/a/net", values.Map{"mode": "on", "same": "s"})
		write("y.sh", "/a/net/mode", "off")
	}
	if got, want := contests(), `a.net.mode became "on" by a/x.sh and "off" by a/y.sh`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	write("x.sh", "/a/password", "first")
	write("x.sh", "/a/password", "second")
	if got, want := contests(), `a.net.mode became "on" by a/x.sh and "off" by a/y.sh; a.password became `+schema.Masked+` by a/x.sh`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for n := range 2 * changesKept {
		write("x.sh", "/a/n", int64(n))
	}
	if n := len(c.of[owner]); n != changesKept {
		t.Errorf("%d changes are kept, expected %d", n, changesKept)
	}
	if got, want := contests(), `a.n became 125, 126, 127 by a/x.sh`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	now = now.Add(time.Hour)
	if got := contests(); got != "" {
		t.Errorf("what was long ago is no cause: %s", got)
	}
	c.forget(owner)
	if len(c.of) != 0 {
		t.Error("a module that is removed leaves its changes")
	}
}
