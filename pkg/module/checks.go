package module

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/drift"
	"github.com/addon-operator/addon-operator/pkg/health"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Defaults of health checks that are not expressions.
const (
	defaultInterval = 30 * time.Second
	minInterval     = time.Second
	httpTimeout     = 5 * time.Second
	hookTimeout     = 30 * time.Second
)

// NamespaceVariable in the URL of a health check stands for the namespace of the module's objects.
const NamespaceVariable = "{{namespace}}"

// entry reads the keys of one element of a list and keeps the first error.
type entry struct {
	m    values.Map
	seen []string
	err  error
}

func (e *entry) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *entry) text(key string) string {
	e.seen = append(e.seen, key)
	v, ok := e.m[key]
	if !ok || v == nil {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		e.fail("%s: expected text, got %v; quote it", key, v)
	}
	return strings.TrimSpace(s)
}

func (e *entry) duration(key string, otherwise time.Duration) time.Duration {
	text := e.text(key)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minInterval {
		e.fail("%s: expected a duration from %s such as 30s or 5m, got %q", key, minInterval, text)
	}
	return d
}

// end reports keys that nobody reads.
func (e *entry) end() error {
	for _, key := range slices.Sorted(maps.Keys(e.m)) {
		if !slices.Contains(e.seen, key) {
			e.fail("expected the keys %s; %s is none of them", strings.Join(e.seen, ", "), key)
		}
	}
	return e.err
}

// healthChecks reads `health`: a list of checks, each with cel, http or hook.
func (d *definition) healthChecks() []HealthCheck {
	var out []HealthCheck
	list, _ := d.list("health")
	names := map[string]bool{}
	for i, v := range list {
		m, ok := v.(values.Map)
		if !ok {
			d.fail("health", "[%d]: expected {name: …} with cel, http or hook, got %v", i, v)
			return nil
		}
		c, err := healthCheck(&entry{m: m})
		if err == nil && names[c.Name] {
			err = fmt.Errorf("name: there are two checks %q; give each its own", c.Name)
		}
		if err != nil {
			d.fail("health", "[%d]: %v", i, err)
			return nil
		}
		names[c.Name] = true
		out = append(out, c)
	}
	return out
}

func healthCheck(e *entry) (HealthCheck, error) {
	c := HealthCheck{Name: e.text("name"), CEL: e.text("cel"), HTTP: e.text("http"), Hook: e.text("hook")}
	given := 0
	for _, text := range []string{c.CEL, c.HTTP, c.Hook} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		e.fail("expected exactly one of cel, http and hook")
	}
	switch {
	case c.CEL != "":
		c.Kind, c.Group, c.ObjectName = e.text("kind"), e.text("group"), e.text("objectName")
		if c.Kind == "" {
			e.fail("kind: expected the kind of the objects that the expression is about, such as Certificate")
		}
		if _, err := health.Compile(c.CEL); err != nil {
			e.fail("cel: %w", err)
		}
	case c.HTTP != "":
		e.check(checkURL(c.HTTP))
		c.Interval, c.Timeout = e.duration("interval", defaultInterval), e.duration("timeout", httpTimeout)
	default:
		if c.Hook != "" && !filepath.IsLocal(c.Hook) {
			e.fail("hook: expected the path of a file below the module's directory such as hooks/healthy.sh, got %q", c.Hook)
		}
		c.Interval, c.Timeout = e.duration("interval", defaultInterval), e.duration("timeout", hookTimeout)
	}
	c.Name = cmp.Or(c.Name, c.HTTP, c.Hook, c.Kind)
	return c, e.end()
}

// healthFiles finds the executables of checks: below the module's directory, or
// else below its hooks directory.
func (d *definition) healthFiles(dir string, checks []HealthCheck) {
	for i, c := range checks {
		if c.Hook == "" || d.err != nil {
			continue
		}
		path := filepath.Clean(c.Hook)
		info, err := os.Stat(filepath.Join(dir, path))
		if errors.Is(err, fs.ErrNotExist) {
			path = filepath.Join("hooks", path)
			info, err = os.Stat(filepath.Join(dir, path))
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.fail("health", "[%d]: hook: expected the file %s in the module's directory or in hooks/; there is none", i, c.Hook)
		case err != nil:
			d.fail("health", "[%d]: hook: %v", i, err)
		case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
			d.fail("health", "[%d]: hook: %s is not executable: chmod +x it", i, path)
		}
		checks[i].Hook = path
	}
}

func (e *entry) check(err error) {
	if err != nil {
		e.fail("%w", err)
	}
}

// httpURL has a scheme, a host and maybe a port, a path and a query.
var httpURL = regexp.MustCompile(`^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?([/?][^\s#]*)?$`)

func checkURL(text string) error {
	if !httpURL.MatchString(strings.ReplaceAll(text, NamespaceVariable, "namespace")) {
		return fmt.Errorf("http: expected a URL such as http://thing.%s.svc/healthz, without credentials, got %q", NamespaceVariable, text)
	}
	return nil
}

// driftRules reads `drift: {ignore: [{group, kind, name, paths}]}`.
func (d *definition) driftRules() []DriftRule {
	v, ok := d.get("drift")
	if !ok {
		return nil
	}
	m, _ := v.(values.Map)
	list, ok := m["ignore"].([]any)
	if !ok || len(m) != 1 {
		d.fail("drift", "expected {ignore: [{group, kind, name, paths}]}, got %v", v)
		return nil
	}
	var out []DriftRule
	for i, e := range list {
		r, err := driftRule(e)
		if err != nil {
			d.fail("drift", "ignore[%d]: %v", i, err)
			return nil
		}
		out = append(out, r)
	}
	return out
}

func driftRule(v any) (DriftRule, error) {
	m, ok := v.(values.Map)
	if !ok {
		return DriftRule{}, fmt.Errorf("expected {group, kind, name, paths}, got %v", v)
	}
	e := &entry{m: m}
	r := DriftRule{Group: e.text("group"), Kind: e.text("kind"), ObjectName: e.text("name")}
	if r.Kind == "" {
		e.fail("kind: expected the kind of the objects, such as Deployment")
	}
	e.seen = append(e.seen, "paths")
	paths, _ := m["paths"].([]any)
	if len(paths) == 0 {
		e.fail("paths: expected a list of JSON pointers such as [%s]", drift.Replicas)
	}
	for _, p := range paths {
		text, _ := p.(string)
		if _, err := drift.Parse(text); err != nil {
			e.fail("paths: %w", err)
		}
		r.Paths = append(r.Paths, text)
	}
	return r, e.end()
}
