package hook

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// DefaultQueue is the lane of bindings that name none (C-184).
const DefaultQueue = "main"

var (
	standaloneOrders = []Binding{OnStartup}
	globalOrders     = []Binding{OnStartup, BeforeAll, AfterAll}
	moduleOrders     = []Binding{OnStartup, BeforeHelm, AfterHelm, BeforeDeleteHelm, AfterDeleteHelm}
)

// ParseConfig reads what a hook printed for --config (sections 1.2 to 1.7 of the
// contract): one document of YAML or JSON. Its error is an *Invalid that lists
// all violations, or says why the text is neither YAML nor JSON.
func ParseConfig(output []byte, owner Owner) (Spec, error) {
	const what = "hook configuration"
	c := &checker{}
	doc, err := configDocument(c, output)
	if err != nil {
		return Spec{}, fmt.Errorf("%s: config unmarshal: %w", what, err)
	}
	var spec Spec
	version, err := configVersion(doc)
	switch {
	case err != nil:
		return Spec{}, &Invalid{What: what, Violations: []string{err.Error()}}
	case version == "v1":
		spec = c.v1(doc, owner)
	default:
		spec = c.v0(doc, owner)
	}
	if err := c.err(what); err != nil {
		return Spec{}, err
	}
	spec.Version = version
	spec.Warnings = c.warnings
	return spec, nil
}

// configDocument is the first document of output that says something (C-024).
func configDocument(c *checker, output []byte) (any, error) {
	if v, err := values.Decode(output); err == nil {
		return v, nil
	}
	var found any
	for _, text := range splitYAML(output) {
		v, err := values.DecodeYAML(text)
		switch {
		case err != nil && found == nil:
			return nil, err
		case err == nil && v == nil:
		case found != nil:
			c.warn("the output holds more than one document; all but the first are ignored")
			return found, nil
		default:
			found = v
			if err := afterYAML(text); err != nil {
				c.warn("ignored %s", oneLine(err))
			}
		}
	}
	if found == nil {
		return map[string]any{}, nil
	}
	return found, nil
}

// configVersion is "v0" when the document names none (C-025).
func configVersion(doc any) (string, error) {
	m, _ := doc.(map[string]any)
	v, ok := m["configVersion"]
	if !ok {
		return "v0", nil
	}
	version, ok := v.(string)
	switch {
	case !ok:
		return "", fmt.Errorf("configVersion: string value is expected for key 'configVersion', such as v1; got %s", show(v))
	case version != "v0" && version != "v1":
		return "", fmt.Errorf("configVersion: 'configVersion' value '%s' is unsupported: use v1", version)
	}
	return version, nil
}

func ordersOf(owner Owner) []Binding {
	switch {
	case owner.IsStandalone():
		return standaloneOrders
	case owner.IsGlobal():
		return globalOrders
	}
	return moduleOrders
}

// rootKeys are the keys that the owner's hooks may have; where a key is the
// other owner's, the list in the message shows it (C-033).
func rootKeys(owner Owner, more ...string) []string {
	keys := append([]string{"configVersion"}, more...)
	for _, b := range ordersOf(owner) {
		keys = append(keys, string(b))
	}
	return keys
}

func (c *checker) orders(root node, owner Owner) map[Binding]float64 {
	out := map[Binding]float64{}
	for _, b := range ordersOf(owner) {
		if n, ok := root.number(string(b)); ok {
			out[b] = n
		}
	}
	return out
}

func (c *checker) v1(doc any, owner Owner) Spec {
	allowed := rootKeys(owner, append([]string{"settings", "schedule", "kubernetes"}, webhookKeys...)...)
	root, ok := c.object("", doc, allowed)
	if !ok {
		return Spec{}
	}
	if len(root.m) < 2 {
		c.fail("", "should have at least 2 properties: configVersion and a binding")
	}
	spec := Spec{Orders: c.orders(root, owner)}
	c.settings(root, &spec)
	root.children("schedule", 1, scheduleKeys, func(i int, e node) { spec.Schedules = append(spec.Schedules, c.schedule(i, e)) })
	root.children("kubernetes", 1, kubernetesKeys, func(i int, e node) { spec.Kubernetes = append(spec.Kubernetes, c.kubernetes(i, e)) })
	c.webhooks(root, &spec)
	c.effectiveSnapshots(&spec)
	return spec
}

// settings reads the limits of a hook; each of its keys may be left out.
func (c *checker) settings(root node, spec *Spec) {
	s, ok := root.child("settings", []string{"executionMinInterval", "executionBurst", "timeout"})
	if !ok {
		return
	}
	spec.MinInterval = s.duration("executionMinInterval")
	spec.Timeout = s.duration("timeout")
	spec.Burst = s.count("executionBurst")
	if spec.MinInterval > 0 && spec.Burst == 0 {
		spec.Burst = 1
	}
}

func (n node) duration(key string) time.Duration {
	v, ok := n.m[key]
	if !ok {
		return 0
	}
	text, _ := v.(string)
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		n.c.fail(join(n.path, key), "is invalid: expected a duration above zero such as 30s or 5m, got %s", show(v))
		return 0
	}
	return d
}

// count is a positive whole number, or a string that holds one (C-035).
func (n node) count(key string) int {
	v, ok := n.m[key]
	if !ok {
		return 0
	}
	var i int64
	switch v := v.(type) {
	case int64:
		i = v
	case string:
		i, _ = strconv.ParseInt(strings.TrimSpace(v), 10, 32)
	}
	if i < 1 || i > 1<<30 {
		n.c.fail(join(n.path, key), "is invalid: expected a whole number above zero, got %s", show(v))
		return 0
	}
	return int(i)
}

var scheduleKeys = []string{"name", "crontab", "allowFailure", "includeSnapshotsFrom", "queue", "group"}

func (c *checker) schedule(i int, e node) Schedule {
	s := Schedule{Route: c.route(e, "schedule"), Crontab: e.text("crontab")}
	if !e.require("crontab") {
		return s
	}
	if _, isText := e.m["crontab"].(string); isText {
		if _, err := ParseCrontab(s.Crontab); err != nil {
			c.fail(fmt.Sprintf("invalid schedule config [%d]:", i), "%v", err)
		}
	}
	return s
}

// route reads what schedule and kubernetes bindings have in common.
func (c *checker) route(e node, defaultName string) Route {
	r := Route{
		Name:         e.text("name"),
		Queue:        e.text("queue"),
		Group:        e.text("group"),
		Snapshots:    e.texts("includeSnapshotsFrom", 1),
		AllowFailure: e.flag("allowFailure", false),
	}
	if r.Name == "" {
		r.Name = defaultName
	}
	if r.Queue == "" {
		r.Queue = DefaultQueue
	}
	return r
}

// effectiveSnapshots checks the names that bindings ask for (C-052) and adds the
// kubernetes bindings of their group (C-053).
func (c *checker) effectiveSnapshots(spec *Spec) {
	count := map[string]int{}
	groups := map[string][]string{}
	for _, k := range spec.Kubernetes {
		count[k.Name]++
		if k.Group != "" {
			groups[k.Group] = append(groups[k.Group], k.Name)
		}
	}
	resolve := func(kind string, i int, r *Route) {
		for _, name := range r.Snapshots {
			path := fmt.Sprintf("%s[%d].includeSnapshotsFrom:", kind, i)
			switch n := count[name]; {
			case n == 0:
				c.fail(path, "'%s' binding name not found among the kubernetes bindings of this hook", name)
			case n > 1:
				c.fail(path, "there are %d '%s' binding names: give each its own", n, name)
			}
		}
		var all []string
		for _, name := range append(slices.Clone(r.Snapshots), groups[r.Group]...) {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		r.Snapshots = all
	}
	for i := range spec.Schedules {
		resolve("schedule", i, &spec.Schedules[i].Route)
	}
	for i := range spec.Kubernetes {
		resolve("kubernetes", i, &spec.Kubernetes[i].Route)
	}
	place := map[string]int{} // indexes count within the list that the author wrote
	for i := range spec.Admissions {
		key := spec.Admissions[i].key()
		resolve(key, place[key], &spec.Admissions[i].Route)
		place[key]++
	}
	for i := range spec.Conversions {
		resolve(conversionKey, i, &spec.Conversions[i].Route)
	}
}
