package sources_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/sources"
)

func parse(t *testing.T, key, spec string) (source.Source, error) {
	t.Helper()
	var s map[string]any
	if err := yaml.Unmarshal([]byte(spec), &s); err != nil {
		t.Fatal(err)
	}
	if _, ok := s["verify"]; !ok {
		s["verify"] = map[string]any{"keys": []any{key}}
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return sources.Parse(text)
}

func TestASpecIsReadWithAllItsFields(t *testing.T) {
	key := publicKey(t)
	got, err := parse(t, key, `
url: oci://registry.example.com:5000/modules/of_us
auth: {secretRef: {name: pull}}
ca: {secretRef: {name: authorities}}
plainHTTP: true
interval: 1h30m
timeout: 10s
channel: my-feature
modules: [prometheus, "ingress-*"]
update:
  mode: AutoPatch
  windows: [{cron: "  0 2  * * 6 ", duration: 4h, timeZone: Europe/Berlin}, {cron: "0 0 1 * *", duration: 1h}]
  freezes: [{from: "2026-12-20T00:00:00+01:00", to: "2027-01-03T00:00:00+01:00"}]
  soak: 0s
  timeout: 1m
  urgentIgnoresWindows: true
  leaveYanked: true
  rollbackWebhook: https://example.com/hook?token=x
serviceAccountName: corp
suspend: true`)
	want := source.Source{
		URL: "oci://registry.example.com:5000/modules/of_us", Auth: "pull", CA: "Secret/authorities/ca.crt", PlainHTTP: true, Interval: 90 * time.Minute, Timeout: 10 * time.Second,
		Channel: "my-feature", Keys: []string{key}, Modules: []string{"prometheus", "ingress-*"}, ServiceAccountName: "corp", Suspend: true,
		Update: source.Policy{Mode: source.AutoPatch, Timeout: time.Minute, UrgentIgnoresWindows: true, LeaveYanked: true, RollbackWebhook: "https://example.com/hook?token=x",
			Windows: []source.Window{{Cron: "0 2 * * 6", Duration: 4 * time.Hour, TimeZone: "Europe/Berlin"}, {Cron: "0 0 1 * *", Duration: time.Hour, TimeZone: "UTC"}},
			Freezes: []source.Freeze{{From: time.Date(2026, 12, 19, 23, 0, 0, 0, time.UTC), To: time.Date(2027, 1, 2, 23, 0, 0, 0, time.UTC)}}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestWhatIsWrongWithASpecIsNamed(t *testing.T) {
	key := publicKey(t)
	for sentence, c := range map[string]struct{ spec, want string }{
		"no URL":                      {"{}", "spec.url: expected oci://HOST"},
		"a password in the URL":       {"{url: 'oci://me:hunter22@host/root'}", "…@host/root"},
		"an upper case root":          {"{url: 'oci://host/Root'}", "spec.url"},
		"a way out of a layout":       {"{url: 'oci-layout:///srv/../etc'}", "without . and .."},
		"the whole disk as layout":    {"{url: 'oci-layout:///'}", "spec.url"},
		"no key":                      {"{url: 'oci://host/root', verify: {}}", "spec.verify.keys: no public key"},
		"a key of another kind":       {"{url: 'oci://host/root', verify: {keys: [\"-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\"]}}", "spec.verify.keys: key 1"},
		"no key at all":               {"{url: 'oci://host/root', verify: {keys: [x]}}", "spec.verify.keys: key 1"},
		"a type that is another":      {"{url: 7}", "spec: json"},
		"a Secret with a path":        {"{url: 'oci://host/root', auth: {secretRef: {name: a/b}}}", "spec.auth.secretRef.name"},
		"an authority without a name": {"{url: 'oci://host/root', ca: {secretRef: {}}}", "spec.ca: expected the name of an object"},
		"an authority's odd key":      {"{url: 'oci://host/root', ca: {secretRef: {name: a, key: ../x}}}", "spec.ca: expected a key"},
		"no authority":                {"{url: 'oci://host/root', ca: {}}", "name one of"},
		"an interval of nothing":      {"{url: 'oci://host/root', interval: 0s}", "spec.interval: expected 1s"},
		"an interval of days":         {"{url: 'oci://host/root', interval: 1d}", "spec.interval: expected a duration"},
		"a channel as a tag":          {"{url: 'oci://host/root', channel: ea-1}", "spec.channel"},
		"a pattern with a class":      {"{url: 'oci://host/root', modules: ['[a']}", "spec.modules[0]"},
		"a mode":                      {"{url: 'oci://host/root', update: {mode: auto}}", "spec.update.mode"},
		"a window in words":           {"{url: 'oci://host/root', update: {windows: [{cron: '@daily', duration: 1h}]}}", "spec.update.windows[0]: cron"},
		"a window with a zone":        {"{url: 'oci://host/root', update: {windows: [{cron: 'TZ=UTC 0 2 * *', duration: 1h}]}}", "spec.update.windows[0]: cron"},
		"a window without length":     {"{url: 'oci://host/root', update: {windows: [{cron: '0 2 * * *'}]}}", "how long the window stays open"},
		"a window of the machine":     {"{url: 'oci://host/root', update: {windows: [{cron: '0 2 * * *', duration: 1h, timeZone: Local}]}}", "IANA"},
		"a window in a file":          {"{url: 'oci://host/root', update: {windows: [{cron: '0 2 * * *', duration: 1h, timeZone: ../../etc/passwd}]}}", "IANA"},
		"a freeze of dates":           {"{url: 'oci://host/root', update: {freezes: [{from: '2026-12-20', to: '2027-01-03'}]}}", "RFC 3339"},
		"a freeze that is over":       {"{url: 'oci://host/root', update: {freezes: [{from: '2027-01-03T00:00:00Z', to: '2026-12-20T00:00:00Z'}]}}", "from must be before to"},
		"a soak of years":             {"{url: 'oci://host/root', update: {soak: 9000h}}", "spec.update.soak"},
		"a webhook of a file":         {"{url: 'oci://host/root', update: {rollbackWebhook: 'file:///x'}}", "spec.update.rollbackWebhook"},
		"a ServiceAccount":            {"{url: 'oci://host/root', serviceAccountName: 'system:admin'}", "spec.serviceAccountName"},
		"two mistakes":                {"{url: x, timeout: 1h}", "spec.timeout"},
	} {
		_, err := parse(t, key, c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: expected an error with %q, got: %v", sentence, c.want, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: the password is repeated: %v", sentence, err)
		}
	}
}

// What Parse takes, the loop can work with.
func FuzzParse(f *testing.F) {
	key, _ := json.Marshal(publicKey(f))
	for _, spec := range []string{
		`{"url": "oci://host/root", "verify": {"keys": [KEY]}}`,
		`{"url": "oci-layout:///a", "verify": {"keys": [KEY, KEY]}, "update": {"windows": [{"cron": "0 2 * * 6", "duration": "4h", "timeZone": "Europe/Berlin"}], "freezes": [{"from": "2026-12-20T00:00:00Z", "to": "2027-01-03T00:00:00Z"}]}}`,
		`{"url": "oci://[::1]:5000/a", "ca": {"configMapRef": {"name": "a"}}, "auth": {"secretRef": {"name": "b"}}, "modules": ["a*"], "interval": "1h"}`,
		`null`, `[]`, `{"verify": null, "update": {"windows": null}}`,
	} {
		f.Add([]byte(strings.ReplaceAll(spec, "KEY", string(key))))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := sources.Parse(text)
		if err != nil {
			return
		}
		if s.URL == "" || len(s.Keys) == 0 || s.Interval < time.Second || s.Timeout < time.Second || s.Update.Timeout < time.Second || s.Update.Soak < 0 {
			t.Errorf("%+v", s)
		}
		if source.CheckMode(s.Update.Mode) != nil || s.Channel != "" && catalog.CheckChannel(s.Channel) != nil {
			t.Errorf("%+v", s)
		}
		for _, w := range s.Update.Windows {
			if _, err := time.LoadLocation(w.TimeZone); err != nil || len(strings.Fields(w.Cron)) != 5 || w.Duration < time.Minute {
				t.Errorf("%+v", w)
			}
		}
		for _, z := range s.Update.Freezes {
			if !z.From.Before(z.To) {
				t.Errorf("%+v", z)
			}
		}
	})
}
