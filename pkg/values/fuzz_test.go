package values

import "testing"

func FuzzDecodeYAML(f *testing.F) {
	f.Add([]byte("a: &x {b: 1}\nc: *x"), []byte("a: null"))
	f.Add([]byte("a: {b: [1, 0x10, 1e3, .inf, yes, 2001-01-01]}\n<<: {z: 1}"), []byte("a: {b: {c: '1'}}"))
	f.Add([]byte(`{"a":{"b":1e400,"c":9223372036854775807}}`), []byte("? [a]\n: b"))
	f.Fuzz(func(t *testing.T, below, above []byte) {
		var docs []Map
		for _, text := range [][]byte{below, above} {
			v, err := DecodeYAML(text)
			m, ok := v.(Map)
			if err != nil || !ok {
				return
			}
			s := Must(m)
			again, err := Decode(s.JSON())
			if err != nil {
				t.Fatalf("%q became %s: %v", text, s.JSON(), err)
			}
			if Must(again.(Map)).Digest() != s.Digest() || Must(Clone(m).(Map)).Digest() != s.Digest() {
				t.Errorf("%s does not survive", s.JSON())
			}
			docs = append(docs, m)
		}
		before := Must(docs[0]).Digest() + Must(docs[1]).Digest()
		both := Merge(docs[0], docs[1])
		if Must(Merge(both, docs[1])).Digest() != Must(both).Digest() {
			t.Errorf("merging %q twice is not the same", above)
		}
		Must(Select(both, Leaves(both)))
		if Must(docs[0]).Digest()+Must(docs[1]).Digest() != before {
			t.Errorf("merging changed %q or %q", below, above)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"cert-manager", "a", "a-1", "a1b-2c", "node-local-dns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != nil {
			return
		}
		if err := CheckKey(Key(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := Name(Key(name)); got != name {
			t.Errorf("%s became %s", name, got)
		}
	})
}
