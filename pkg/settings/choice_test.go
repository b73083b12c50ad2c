package settings

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestVersionsAreTextAsTheUserWroteIt(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for text, want := range map[string]string{
		"1.10": "1.10", `"1.10"`: "1.10", "'1.10'\n": "1.10", " 1.10 # pinned": "1.10", "1": "1", "1.0e3.0": "", "~1.14": "~1.14", ">=1.14 <2": ">=1.14 <2",
		">= 1.14, < 2": ">= 1.14, < 2", "*": "*", "1.x || 2.x": "1.x || 2.x", digest: digest, "!!str 1.10": "1.10", "|\n  1.10\n": "1.10",
		"latest": "", "~": "", "true": "", "- 1.10": "", "sha256:abc": "", ">=1.14 <2 # comment": "",
	} {
		s := Parse(map[string]string{"certManagerVersion": text}, nil, Settings{})
		if got := s.Choices["certManager"].Version; got != want {
			t.Errorf("%q: got %q, expected %q (%v)", text, got, want, s.Problems)
		}
		if (want == "") != (len(s.Problems) == 1) || len(s.Sections) > 0 {
			t.Errorf("%q: %+v", text, s)
		}
	}
}

func TestTheTypeOfTheValueDecidesWhatAKeyIs(t *testing.T) {
	s := Parse(map[string]string{
		"globalChannel": "ea", "globalUpdate": "Manual", "a": "x: 1", "aChannel": "stable", "aSource": "embedded",
		"releaseChannel": "z: 2", "dataSource": "", "kubeVersion": "# nothing yet\n", "kubeVersionVersion": "1.10", "bSource": "corp",
	}, nil, Settings{})
	if d := cmp.Diff(map[string]values.Map{"a": {"x": int64(1)}, "releaseChannel": {"z": int64(2)}, "dataSource": {}, "kubeVersion": {}}, s.Sections); d != "" {
		t.Error(d)
	}
	want := map[string]source.Choice{"global": {Channel: "ea", Update: source.Manual}, "a": {Channel: "stable", Source: "embedded"}, "kubeVersion": {Version: "1.10"}, "b": {Source: "corp"}}
	if d := cmp.Diff(want, s.Choices); d != "" || len(s.Problems) > 0 {
		t.Error(d, s.Problems)
	}
}

func TestAChoiceThatCannotBeUsedKeepsItsLastValidValue(t *testing.T) {
	good := Parse(map[string]string{"aChannel": "ea", "aVersion": "1.0", "aUpdate": "Manual", "aSource": "corp"}, nil, Settings{})
	bad := Parse(map[string]string{"aChannel": "stable-184", "aVersion": "newest", "aUpdate": "manual", "aSource": "Corp!", "bUpdate": "Never"}, nil, good)
	if d := cmp.Diff(good.Choices, bad.Choices); d != "" {
		t.Error(d)
	}
	wants := map[string]string{"aChannel": "aChannel", "aVersion": "expected a version such as", "aUpdate": "expected Auto, AutoPatch or Manual", "aSource": "ModuleSource", "bUpdate": "correct the value or remove bUpdate"}
	if len(bad.Problems) != len(wants) {
		t.Error(bad.Problems)
	}
	for _, p := range bad.Problems {
		if !strings.Contains(p.Message, wants[p.Key]) {
			t.Errorf("%s: %q does not say %q", p.Key, p.Message, wants[p.Key])
		}
	}
	// A key that is taken away takes its choice with it.
	if left := Parse(map[string]string{"aUpdate": "?"}, nil, bad); left.Choices["a"] != (source.Choice{Update: source.Manual}) {
		t.Errorf("%+v", left.Choices)
	}
	if d := cmp.Diff([]string{"aChannel", "aSource", "aVersion"}, Changed(good, Parse(map[string]string{"aUpdate": "Manual"}, nil, Settings{}))); d != "" {
		t.Error(d)
	}
}

func remembered() source.Memory {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	rel := source.Release{Module: "m", Version: "1.1.0", Digest: "sha256:ab", Source: "corp", Channel: "ea", Phase: source.Deployed, Since: at, ReadySince: at, Doc: 3, PromotedAt: at}
	return source.Memory{
		Marks: map[string]source.Mark{"oci://host/root ea": {Seq: 3, Digest: "sha256:cd", Manifest: "sha256:ef"}},
		Tracks: map[string]source.Track{"m": {Current: &rel, Previous: &source.Release{Module: "m", Version: "1.0.0", Phase: source.Superseded}, Good: "d",
			Rejected: []source.Rejected{{Version: "1.2.0", Digest: "sha256:01", Reason: "Unhealthy", Values: "v", Time: at}}, History: []source.Release{rel}}},
		Layers: map[string]values.Map{"m": {"password": "hunter22", "n": int64(1) << 60}, "m/good": {}, "global": {"x": []any{1.5}}},
	}
}

func TestWhatIsRememberedOfChannelsSurvivesAndSectionsAreInTheSecretOnly(t *testing.T) {
	f := facts()
	f.Channels = remembered()
	public, private, err := f.Encode(isPassword)
	if err != nil {
		t.Fatal(err)
	}
	for key, text := range public {
		if strings.Contains(text, "hunter") {
			t.Errorf("a section is in the ConfigMap, key %s: %s", key, text)
		}
	}
	for key := range private {
		if !IsFact(key) {
			t.Errorf("%s is not known as a fact", key)
		}
	}
	got, problems := DecodeFacts(public, private)
	if d := cmp.Diff(f, got, cmpopts.EquateEmpty()); d != "" || problems != nil {
		t.Error(d, problems)
	}
	// Facts of another version are found out again; what was seen of channels cannot be.
	public[factsVersionKey] = "0"
	got, problems = DecodeFacts(public, private)
	if d := cmp.Diff(f.Channels, got.Channels, cmpopts.EquateEmpty()); d != "" || len(problems) != 1 || len(got.Sets) > 0 {
		t.Error(d, problems)
	}
	// One key that cannot be read concerns itself.
	private["channels.m"] = []byte(`{"m": "hunter22"}`)
	public["channels"] = "["
	got, problems = DecodeFacts(public, private)
	if len(got.Channels.Layers) != 1 || len(problems) != 3 || got.Channels.Marks != nil {
		t.Errorf("%+v %v", got.Channels, problems)
	}
	for _, p := range problems {
		if strings.Contains(p.Message, "hunter") {
			t.Errorf("a section is shown: %s", p.Message)
		}
	}
}

func FuzzDecodeChannels(f *testing.F) {
	public, private := map[string]string{}, map[string][]byte{}
	if err := encodeChannels(remembered(), public, private); err != nil {
		f.Fatal(err)
	}
	f.Add(public["channels"], private["channels.m"])
	f.Add("null", []byte("null"))
	f.Add(`{"tracks": {"m": null}}`, []byte(`{"m": null, "m/good": {}}`))
	f.Fuzz(func(t *testing.T, text string, secret []byte) {
		m, _ := decodeChannels(map[string]string{"channels": text}, map[string][]byte{"channels.m": secret})
		public, private := map[string]string{}, map[string][]byte{}
		if err := encodeChannels(m, public, private); err != nil {
			return // a year that JSON does not have
		}
		again, problems := decodeChannels(public, private)
		if problems != nil {
			t.Errorf("%v: %s %s", problems, public, private)
		}
		if d := cmp.Diff(m, again, cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0)); d != "" {
			t.Error(d)
		}
	})
}
