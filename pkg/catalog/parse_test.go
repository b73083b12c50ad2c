package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// digest is a valid digest made of one hex digit.
func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func ref(version, c string) Ref { return Ref{Version: version, Digest: digest(c)} }

// sample uses every field.
func sample() Document {
	return Document{
		Channel: "stable", Seq: 184, Previous: digest("f"), CreatedAt: noon, ExpiresAt: noon.Add(720 * time.Hour),
		Rollout: Rollout{Waves: 4, Interval: Duration(6 * time.Hour)},
		Modules: map[string]Entry{
			"prometheus": {
				Ref: ref("2.7.1", "a"), PromotedAt: noon.Add(-time.Hour), From: "ea", Urgency: Security,
				Path: []Ref{ref("2.5.0", "b"), ref("2.6.4", "c")}, Available: []Ref{ref("2.6.4", "c")},
				Yanked:      []Yanked{{Version: "2.7.0", Digest: digest("d"), Reason: "loses <data> & more"}},
				Annotations: map[string]string{"ticket": "OPS-1"},
			},
			"cert-manager": {Ref: ref("1.14.0-rc.1+build.5", "e"), PromotedAt: noon},
		},
		Global:      &Entry{Ref: ref("1.9.0", "9"), PromotedAt: noon, Rollback: true},
		Annotations: map[string]string{"by": "release team"},
	}
}

func encode(t testing.TB, d Document) []byte {
	t.Helper()
	out, err := Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEncodeIsReadBackAsItWas(t *testing.T) {
	data := encode(t, sample())
	d, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), d); diff != "" {
		t.Error(diff)
	}
	if again := encode(t, d); string(again) != string(data) {
		t.Errorf("the same document has other bytes:\n%s\n%s", data, again)
	}
	if !strings.Contains(string(data), "loses <data> & more") || !strings.HasSuffix(string(data), "}\n") || !strings.Contains(string(data), "\n  \"seq\": 184") {
		t.Errorf("not as people read it:\n%s", data)
	}
}

func TestEncodeGivesOneFormForOneMeaning(t *testing.T) {
	a, b := sample(), sample()
	elsewhere := time.FixedZone("elsewhere", 3600)
	b.CreatedAt = b.CreatedAt.In(elsewhere).Add(300 * time.Millisecond)
	e := b.Modules["prometheus"]
	e.Available = []Ref{ref("2.5.1", "1"), ref("2.6.4", "c"), ref("2.6.10", "2")}
	b.Modules["prometheus"] = e
	e.Available = []Ref{ref("2.6.10", "2"), ref("2.6.4", "c"), ref("2.5.1", "1")}
	a.Modules["prometheus"] = e
	if x, y := encode(t, a), encode(t, b); string(x) != string(y) {
		t.Error(cmp.Diff(string(x), string(y)))
	}
	if e := b.Modules["prometheus"]; e.Available[0].Version != "2.5.1" {
		t.Error("Encode changed its argument")
	}
}

// edited is the sample's JSON after a change made to it as a generic value.
func edited(t *testing.T, change func(d map[string]any)) []byte {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal(encode(t, sample()), &d); err != nil {
		t.Fatal(err)
	}
	change(d)
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParseRefusesADocumentWithAWrongField(t *testing.T) {
	prom := func(d map[string]any) map[string]any {
		return d["modules"].(map[string]any)["prometheus"].(map[string]any)
	}
	rename := func(name string) func(d map[string]any) {
		return func(d map[string]any) { d["modules"].(map[string]any)[name] = prom(d) }
	}
	set := func(key string, v any) func(d map[string]any) { return func(d map[string]any) { d[key] = v } }
	setProm := func(key string, v any) func(d map[string]any) { return func(d map[string]any) { prom(d)[key] = v } }
	ref := func(version, c string) any { return map[string]any{"version": version, "digest": digest(c)} }
	refs := func(n int, version string) []any {
		var out []any
		for i := range n {
			out = append(out, ref(fmt.Sprintf(version, i), "b"))
		}
		return out
	}
	for name, test := range map[string]struct {
		change func(d map[string]any)
		want   []string
	}{
		"an unknown field of the document":         {set("notBefore", "x"), []string{`unknown field "notBefore"`, "upgrade this one"}},
		"an unknown field of an entry":             {setProm("requires", "x"), []string{`unknown field "modules.prometheus.requires"`}},
		"an unknown field of a listed version":     {setProm("available", []any{map[string]any{"version": "1.0.0", "digest": digest("1"), "os": "x"}}), []string{"available", "os"}},
		"a field in another case":                  {set("Seq", 3), []string{`unknown field "Seq"`}},
		"no channel":                               {set("channel", ""), []string{`channel ""`, "lower-case"}},
		"a channel in capitals":                    {set("channel", "Stable"), []string{`channel "Stable"`}},
		"a channel with a slash":                   {set("channel", "a/b"), []string{`channel "a/b"`}},
		"a channel that looks like an old one":     {set("channel", "ea-12"), []string{"tags of old documents", "ea.12"}},
		"a channel too long for a tag":             {set("channel", strings.Repeat("a", 64)), []string{"at most 63"}},
		"seq zero":                                 {set("seq", 0), []string{"seq is 0", "1 or more"}},
		"seq below zero":                           {set("seq", -4), []string{"seq is -4"}},
		"seq beyond what JSON keeps":               {set("seq", json.Number("9007199254740992")), []string{"2^53-1"}},
		"seq that is no whole number":              {set("seq", 1.5), []string{"seq"}},
		"seq as text":                              {set("seq", "184"), []string{"seq"}},
		"a first document with one before it":      {set("seq", 1), []string{"previous is set", "seq is 1"}},
		"previous that is no digest":               {set("previous", "sha256:12"), []string{"previous", "64 lower-case hex"}},
		"previous of another algorithm":            {set("previous", "sha512:"+strings.Repeat("a", 128)), []string{"previous"}},
		"no createdAt":                             {func(d map[string]any) { delete(d, "createdAt") }, []string{"createdAt is missing"}},
		"createdAt that is no time":                {set("createdAt", "yesterday"), []string{"yesterday"}},
		"createdAt in the year 1":                  {set("createdAt", "0001-02-01T00:00:00Z"), []string{"createdAt", "year"}},
		"expiry before creation":                   {set("expiresAt", "2026-01-01T00:00:00Z"), []string{"expiresAt is 2026-01-01", "after createdAt"}},
		"waves below zero":                         {set("rollout", map[string]any{"waves": -1}), []string{"rollout.waves is -1"}},
		"waves beyond sense":                       {set("rollout", map[string]any{"waves": 1001, "interval": "1h"}), []string{"rollout.waves is 1001"}},
		"waves without interval":                   {set("rollout", map[string]any{"waves": 2}), []string{"rollout.interval is missing"}},
		"interval without waves":                   {set("rollout", map[string]any{"interval": "1h"}), []string{"one wave"}},
		"interval below zero":                      {set("rollout", map[string]any{"waves": 2, "interval": "-1h"}), []string{"rollout.interval is -1h"}},
		"interval that is no duration":             {set("rollout", map[string]any{"waves": 2, "interval": "1 day"}), []string{"1 day"}},
		"interval beyond sense":                    {set("rollout", map[string]any{"waves": 2, "interval": "9999h"}), []string{"rollout.interval is 9999h"}},
		"no modules":                               {func(d map[string]any) { delete(d, "modules") }, []string{"modules is missing"}},
		"modules null":                             {set("modules", nil), []string{"modules is missing"}},
		"modules as a list":                        {set("modules", []any{}), []string{"modules"}},
		"a module named global":                    {rename("global"), []string{`"global" means the global hooks`}},
		"a module in camel case":                   {rename("certManager"), []string{`module name "certManager"`}},
		"a module that its key does not lead to":   {rename("k8s-2"), []string{`module name "k8s-2"`}},
		"a module with a path":                     {rename("../x"), []string{`module name "../x"`}},
		"a module whose name Helm refuses":         {rename(strings.Repeat("a", 54)), []string{"at most 53"}},
		"a module whose section would be a switch": {rename("audit-enabled"), []string{`"audit-enabled" ends in the word enabled`}},
		"a module that ends in source":             {rename("log-source"), []string{"ends in the word source"}},
		"a module that ends in paused-until":       {rename("a-paused-until"), []string{"ends in the word pauseduntil"}},
		"a version with a v":                       {setProm("version", "v2.7.1"), []string{"module prometheus: version", `"v2.7.1"`, "semver.org"}},
		"a version with two numbers":               {setProm("version", "2.7"), []string{"module prometheus: version"}},
		"a version too long for a tag":             {setProm("version", "1.0.0-"+strings.Repeat("a", 100)), []string{"at most 100"}},
		"no version":                               {setProm("version", ""), []string{"module prometheus: version"}},
		"a digest in capitals":                     {setProm("digest", "sha256:"+strings.Repeat("A", 64)), []string{"module prometheus: digest of version 2.7.1"}},
		"no digest":                                {setProm("digest", ""), []string{"module prometheus: digest of version 2.7.1"}},
		"no promotedAt":                            {func(d map[string]any) { delete(prom(d), "promotedAt") }, []string{"module prometheus: promotedAt is missing"}},
		"from that is no channel":                  {setProm("from", "E A"), []string{"module prometheus: from", `"E A"`}},
		"an urgency that is not known":             {setProm("urgency", "asap"), []string{"module prometheus: urgency", "normal or security"}},
		"a path that goes down":                    {setProm("path", []any{ref("2.6.4", "c"), ref("2.5.0", "b")}), []string{"module prometheus: path[1]", "ascending"}},
		"a path with a version twice":              {setProm("path", []any{ref("2.6.4", "c"), ref("2.6.4", "c")}), []string{"path[1]", "ascending"}},
		"a path that ends at the entry":            {setProm("path", []any{ref("2.7.1", "a")}), []string{"path[0]", "not lower"}},
		"a path without digest":                    {setProm("path", []any{map[string]any{"version": "1.0.0"}}), []string{"module prometheus: path[0]: digest"}},
		"a path without end":                       {setProm("path", refs(51, "1.0.%d")), []string{"path has 51"}},
		"its own version available":                {setProm("available", []any{ref("2.7.1", "a")}), []string{"available[0]", "own version"}},
		"a version available twice":                {setProm("available", []any{ref("2.6.4", "c"), ref("2.6.4", "c")}), []string{"available[1]", "twice"}},
		"an available version that is none":        {setProm("available", []any{ref("latest", "c")}), []string{"available[0]: version"}},
		"too much available":                       {setProm("available", refs(51, "1.0.%d")), []string{"available has 51"}},
		"two digests of one version":               {setProm("available", []any{ref("2.6.4", "7")}), []string{"module prometheus: version 2.6.4 has two digests"}},
		"its own version yanked":                   {setProm("yanked", []any{map[string]any{"version": "2.7.1", "reason": "x"}}), []string{"module prometheus: version 2.7.1", "yanked"}},
		"its own digest yanked":                    {setProm("yanked", []any{map[string]any{"version": "9.0.0", "digest": digest("a"), "reason": "x"}}), []string{"version 2.7.1", "yanked as 9.0.0"}},
		"an available version yanked":              {setProm("yanked", []any{map[string]any{"version": "2.6.4", "reason": "x"}}), []string{"version 2.6.4", "yanked"}},
		"a version yanked twice":                   {setProm("yanked", []any{map[string]any{"version": "1.0.0", "reason": "x"}, map[string]any{"version": "1.0.0", "reason": "y"}}), []string{"yanked[1]", "twice"}},
		"a yank without reason":                    {setProm("yanked", []any{map[string]any{"version": "1.0.0", "reason": " "}}), []string{"yanked[0]: reason"}},
		"a yank with a book as reason":             {setProm("yanked", []any{map[string]any{"version": "1.0.0", "reason": strings.Repeat("x", 1025)}}), []string{"1025 bytes"}},
		"a yanked digest that is none":             {setProm("yanked", []any{map[string]any{"version": "1.0.0", "digest": "x", "reason": "x"}}), []string{"yanked[0]: digest"}},
		"a yanked version that is none":            {setProm("yanked", []any{map[string]any{"version": "x", "reason": "x"}}), []string{"yanked[0]: version"}},
		"global without promotedAt":                {set("global", map[string]any{"version": "1.0.0", "digest": digest("a")}), []string{"global: promotedAt is missing"}},
		"annotations that are no texts":            {set("annotations", map[string]any{"a": 1}), []string{"annotations"}},
		"a book of a document":                     {set("annotations", map[string]any{"a": strings.Repeat("x", MaxDocument)}), []string{"expected at most 2097152"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(edited(t, test.change))
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range append(test.want, "channel document") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestParseTakes(t *testing.T) {
	for name, change := range map[string]func(d map[string]any){
		"a first document without previous":       func(d map[string]any) { d["seq"] = 1; delete(d, "previous") },
		"a new beginning above what was seen":     func(d map[string]any) { d["seq"] = 500; delete(d, "previous") },
		"a document that never expires":           func(d map[string]any) { delete(d, "expiresAt") },
		"no modules at all":                       func(d map[string]any) { d["modules"] = map[string]any{} },
		"global null":                             func(d map[string]any) { d["global"] = nil },
		"one wave, which is no spreading":         func(d map[string]any) { d["rollout"] = map[string]any{"waves": 1} },
		"a time in another zone":                  func(d map[string]any) { d["createdAt"] = "2026-03-01T13:00:00+01:00" },
		"a channel of a branch":                   func(d map[string]any) { d["channel"] = "my-feature_2.x" },
		"annotations that nobody has heard of":    func(d map[string]any) { d["annotations"] = map[string]any{"x/y": "z"} },
		"a name whose first word is like setting": func(d map[string]any) { d["modules"] = map[string]any{"version": d["global"]} },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(edited(t, change)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseRefusesTextThatIsNoDocument(t *testing.T) {
	good := string(encode(t, sample()))
	for name, test := range map[string]struct{ text, want string }{
		"nothing":             {"", "JSON object"},
		"null":                {"null", "JSON object"},
		"a list":              {"[]", "JSON object"},
		"half a document":     {good[:len(good)/2], "unexpected end"},
		"two documents":       {good + good, "after top-level value"},
		"a field twice":       {`{"seq":3,` + good[1:], `duplicate field "seq"`},
		"a module twice":      {strings.Replace(good, `"cert-manager": {`, `"prometheus": {`, 1), `duplicate field "modules.prometheus"`},
		"bytes that are none": {strings.Replace(good, "stable", "st\xffble", 1), "UTF-8"},
		"a deep nest":         {strings.Repeat(`{"modules":`, 20000), "depth"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected %q, got %v", test.want, err)
			}
		})
	}
}

func TestEncodeRefusesWhatParseWould(t *testing.T) {
	d := sample()
	d.Seq = 0
	if _, err := Encode(d); err == nil || !strings.Contains(err.Error(), "seq is 0") {
		t.Error(err)
	}
	d = sample()
	d.Annotations = map[string]string{"a": strings.Repeat("x", MaxDocument)}
	if _, err := Encode(d); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Error(err)
	}
}

func TestOffersAreListedOnce(t *testing.T) {
	e := sample().Modules["prometheus"]
	if got := versions(e.Offers()); !cmp.Equal(got, []string{"2.7.1", "2.6.4", "2.5.0"}) {
		t.Error(got)
	}
	if r, ok := e.Find("2.5.0"); !ok || r != ref("2.5.0", "b") {
		t.Error(r, ok)
	}
	if _, ok := e.Find("2.7.0"); ok {
		t.Error("what was yanked is offered")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(encode(f, sample()))
	f.Add([]byte(`{"channel":"ea","seq":1,"createdAt":"2026-03-01T12:00:00Z","modules":{}}`))
	f.Add([]byte(`{"channel":"ea","seq":1,"seq":2,"Seq":3,"modules":{"a":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		out, err := Encode(d)
		if err != nil {
			if len(data) > MaxDocument/8 { // indenting makes it larger
				return
			}
			t.Fatalf("parsed, and cannot be written: %v", err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("written, and cannot be read: %v\n%s", err, out)
		}
		second, err := Encode(again)
		if err != nil || string(second) != string(out) {
			t.Fatalf("two forms of one document (%v):\n%s\n%s", err, out, second)
		}
		if changes := Diff(d, again); len(changes) > 0 {
			for _, c := range changes {
				if c.Kind != Altered { // expiresAt loses fractions, lists are put in order
					t.Fatal(changes)
				}
			}
		}
		next, err := Next(out, d.CreatedAt)
		if err != nil && d.Seq < maxSeq {
			t.Fatalf("nothing can follow it: %v\n%s", err, out)
		} else if err == nil && next.Seq != d.Seq+1 {
			t.Fatal(next.Seq)
		}
	})
}
