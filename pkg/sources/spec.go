package sources

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// Defaults of a spec.
const (
	DefaultInterval      = 5 * time.Minute
	DefaultTimeout       = 30 * time.Second
	DefaultSoak          = 5 * time.Minute
	DefaultUpdateTimeout = 15 * time.Minute
)

// spec is ModuleSource.spec as it is written.
type spec struct {
	URL  string `json:"url"`
	Auth *struct {
		SecretRef struct {
			Name string `json:"name"`
		} `json:"secretRef"`
	} `json:"auth"`
	CA *struct {
		SecretRef    *keyRef `json:"secretRef"`
		ConfigMapRef *keyRef `json:"configMapRef"`
	} `json:"ca"`
	PlainHTTP bool   `json:"plainHTTP"`
	Interval  string `json:"interval"`
	Timeout   string `json:"timeout"`
	Channel   string `json:"channel"`
	Verify    struct {
		Keys                 []string `json:"keys"`
		AllowUnlistedDigests bool     `json:"allowUnlistedDigests"`
	} `json:"verify"`
	Modules            []string `json:"modules"`
	Update             update   `json:"update"`
	ServiceAccountName string   `json:"serviceAccountName"`
	Suspend            bool     `json:"suspend"`
}

type keyRef struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

type update struct {
	Mode    source.Mode `json:"mode"`
	Windows []struct {
		Cron     string `json:"cron"`
		Duration string `json:"duration"`
		TimeZone string `json:"timeZone"`
	} `json:"windows"`
	Freezes []struct {
		From string `json:"from"`
		To   string `json:"to"`
	} `json:"freezes"`
	Soak                 string `json:"soak"`
	Timeout              string `json:"timeout"`
	UrgentIgnoresWindows bool   `json:"urgentIgnoresWindows"`
	LeaveYanked          bool   `json:"leaveYanked"`
	RollbackWebhook      string `json:"rollbackWebhook"`
}

// Parse reads ModuleSource.spec from JSON, fills in defaults and checks everything that can be checked
// without a registry, so that what an older CRD let pass is refused here. Name, UID and
// Generation are left to the caller. The error names every field that is wrong.
func Parse(text []byte) (source.Source, error) {
	var in spec
	if err := json.Unmarshal(text, &in); err != nil {
		return source.Source{}, fmt.Errorf("spec: %w", err)
	}
	p := &parser{}
	out := source.Source{
		URL: in.URL, PlainHTTP: in.PlainHTTP, Channel: in.Channel, Keys: slices.Clone(in.Verify.Keys), AllowUnlistedDigests: in.Verify.AllowUnlistedDigests,
		Modules: slices.Clone(in.Modules), ServiceAccountName: in.ServiceAccountName, Suspend: in.Suspend,
		Interval: p.duration("interval", in.Interval, DefaultInterval, time.Second, 168*time.Hour),
		Timeout:  p.duration("timeout", in.Timeout, DefaultTimeout, time.Second, 10*time.Minute),
	}
	p.note("url", checkURL(in.URL))
	if in.Auth != nil {
		out.Auth = in.Auth.SecretRef.Name
		p.note("auth.secretRef.name", checkObject(out.Auth))
	}
	out.CA = p.authority(in)
	if in.Channel != "" {
		p.note("channel", catalog.CheckChannel(in.Channel))
	}
	_, err := catalog.ParseKeys(in.Verify.Keys)
	p.note("verify.keys", err)
	for i, pattern := range in.Modules {
		p.note(fmt.Sprintf("modules[%d]", i), checkPattern(pattern))
	}
	if in.ServiceAccountName != "" {
		p.note("serviceAccountName", checkObject(in.ServiceAccountName))
	}
	out.Update = p.policy(in.Update)
	return out, errors.Join(p.problems...)
}

// parser collects what is wrong.
type parser struct{ problems []error }

func (p *parser) note(field string, err error) {
	if err != nil {
		p.problems = append(p.problems, fmt.Errorf("spec.%s: %w", field, err))
	}
}

func (p *parser) duration(field, text string, none, least, most time.Duration) time.Duration {
	if text == "" {
		return none
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		p.note(field, fmt.Errorf("expected a duration such as 5m or 1h30m, got %q", text))
	case d < least || d > most:
		p.note(field, fmt.Errorf("expected %s to %s, got %s", least, most, d))
	}
	return d
}

func (p *parser) authority(in spec) string {
	if in.CA == nil {
		return ""
	}
	kind, ref := "Secret", in.CA.SecretRef
	if ref == nil {
		kind, ref = "ConfigMap", in.CA.ConfigMapRef
	}
	if (in.CA.SecretRef == nil) == (in.CA.ConfigMapRef == nil) {
		p.note("ca", errors.New("name one of secretRef and configMapRef"))
		return ""
	}
	if ref.Key == "" {
		ref.Key = "ca.crt"
	}
	p.note("ca", checkObject(ref.Name))
	if !regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`).MatchString(ref.Key) {
		p.note("ca", fmt.Errorf("expected a key of the %s's data, got %q", kind, ref.Key))
	}
	return kind + "/" + ref.Name + "/" + ref.Key
}

func (p *parser) policy(in update) source.Policy {
	out := source.Policy{
		Mode: in.Mode, UrgentIgnoresWindows: in.UrgentIgnoresWindows, LeaveYanked: in.LeaveYanked, RollbackWebhook: in.RollbackWebhook,
		Soak:    p.duration("update.soak", in.Soak, DefaultSoak, 0, 168*time.Hour),
		Timeout: p.duration("update.timeout", in.Timeout, DefaultUpdateTimeout, time.Second, 24*time.Hour),
	}
	out.Mode = cmp.Or(out.Mode, source.Auto)
	p.note("update.mode", source.CheckMode(out.Mode))
	for i, w := range in.Windows {
		field := fmt.Sprintf("update.windows[%d].", i)
		one := source.Window{Cron: strings.Join(strings.Fields(w.Cron), " "), TimeZone: w.TimeZone, Duration: p.duration(field+"duration", w.Duration, 0, time.Minute, 168*time.Hour)}
		if w.Duration == "" {
			p.note(field+"duration", errors.New("expected how long the window stays open, such as 4h"))
		}
		one.TimeZone = cmp.Or(one.TimeZone, "UTC")
		if one.Duration > 0 {
			p.note(field[:len(field)-1], one.Check())
		}
		out.Windows = append(out.Windows, one)
	}
	for i, f := range in.Freezes {
		field := fmt.Sprintf("update.freezes[%d]", i)
		one := source.Freeze{From: p.time(field+".from", f.From), To: p.time(field+".to", f.To)}
		if !one.From.Before(one.To) {
			p.note(field, errors.New("from must be before to"))
		}
		out.Freezes = append(out.Freezes, one)
	}
	if u, err := url.Parse(out.RollbackWebhook); out.RollbackWebhook != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		p.note("update.rollbackWebhook", errors.New("expected an http or https URL"))
	}
	return out
}

func (p *parser) time(field, text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		p.note(field, fmt.Errorf("expected a time of RFC 3339 such as 2026-12-20T00:00:00+01:00, got %q", text))
	}
	return at.UTC()
}

// checkURL takes what package registry can open: no credentials, tags, queries or ways out of a directory.
func checkURL(text string) error {
	const host, root = `([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?`, `(/[a-z0-9]+([._-]+[a-z0-9]+)*)+`
	if directory, ok := strings.CutPrefix(text, "oci-layout://"); ok {
		if !path.IsAbs(directory) || path.Clean(directory) != directory || directory == "/" || strings.ContainsAny(directory, "?#\x00") {
			return fmt.Errorf("expected oci-layout:///ABSOLUTE/PATH without . and .., got %q", text)
		}
		return nil
	}
	if !regexp.MustCompile(`^oci://` + host + root + `$`).MatchString(text) {
		return fmt.Errorf("expected oci://HOST[:PORT]/ROOT in the characters of a repository's name, or oci-layout:///ABSOLUTE/PATH, got %q", withoutPassword(text))
	}
	return nil
}

// withoutPassword keeps what somebody wrote before an @ out of messages.
func withoutPassword(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "", text
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = "…" + rest[i:]
	}
	if scheme == "" {
		return rest
	}
	return scheme + "://" + rest
}

func checkObject(name string) error {
	if len(name) > 253 || !regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`).MatchString(name) {
		return fmt.Errorf("expected the name of an object, got %q", name)
	}
	return nil
}

func checkPattern(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil || !regexp.MustCompile(`^[a-z0-9*?-]{1,64}$`).MatchString(pattern) {
		return fmt.Errorf("expected the name of a module, with * and ? as in file names, got %q", pattern)
	}
	return nil
}
