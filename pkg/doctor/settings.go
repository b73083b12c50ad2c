package doctor

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// settingsMap: the ConfigMap is there, every key can be read, every key is of a module.
func settingsMap(f Facts) []Finding {
	if f.Settings == nil {
		if f.unread(f.settingsName()) {
			return nil
		}
		severity, problem := Warning, "does not exist: no module is on but by defaults and hooks"
		if len(f.Releases) > 0 {
			severity, problem = Error, "does not exist although modules are installed: the last decisions stand, and no setting can be changed"
		}
		return []Finding{{severity, f.settingsName(), problem, "the operator's settings",
			"put it back from your repository or a backup; deploy/configmap.yaml is one to begin with"}}
	}
	parsed := settings.Parse(f.Settings.Data, nil, settings.Settings{})
	var out []Finding
	for _, p := range parsed.Problems {
		out = append(out, Finding{Error, f.settingsName() + " key " + p.Key, p.Message, "a key that can be read; until then its last valid value stays in force",
			f.edit()})
	}
	return append(out, f.unknownKeys(parsed)...)
}

func (f Facts) edit() string {
	return fmt.Sprintf("kubectl -n %s edit configmap %s", f.Namespace, f.ConfigMap)
}

// unread says whether something is missing from the facts because it could not be read.
func (f Facts) unread(what string) bool {
	return slices.ContainsFunc(f.Unread, func(u Unread) bool { return u.What == what })
}

func (f Facts) unknownKeys(s settings.Settings) []Finding {
	if len(f.Modules) == 0 {
		return nil // nobody has told yet which modules there are
	}
	keys := map[string]string{} // key > section
	for section := range s.Sections {
		keys[section] = section
	}
	for section := range s.Enabled {
		keys[section+"Enabled"] = section
	}
	var out []Finding
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		section := keys[key]
		if section == "global" || f.knows(section) {
			continue
		}
		out = append(out, Finding{Warning, f.settingsName() + " key " + key, "names module " + values.Name(section) + ", which is in no modules directory: it is ignored",
			"the name of a module in camelCase" + f.nearest(section), "correct its spelling or remove it: " + f.edit()})
	}
	return out
}

func (f Facts) knows(section string) bool {
	if _, ok := f.Schemas[section]; ok {
		return true
	}
	name := values.Name(section)
	_, shown := f.module(name)
	_, broken := f.Broken[name]
	return shown || broken
}

// nearest proposes the module that was perhaps meant.
func (f Facts) nearest(section string) string {
	for _, m := range f.Modules {
		key := values.Key(m.Name)
		if strings.EqualFold(strings.NewReplacer("-", "", "_", "").Replace(section), strings.NewReplacer("-", "", "_", "").Replace(key)) ||
			strings.HasPrefix(key, section) || strings.HasPrefix(section, key) {
			return ", perhaps " + key
		}
	}
	return ""
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// secretLeaves: secret values are in the Secret alone. It can be told only where the modules' schemas are at hand.
func secretLeaves(f Facts) []Finding {
	if f.Settings == nil || len(f.Schemas) == 0 {
		return nil
	}
	out := f.leavesIn(f.Settings.Data, "")
	var applied struct {
		Data map[string]string `json:"data"`
	}
	if err := json.Unmarshal([]byte(f.Settings.Annotations[lastApplied]), &applied); err == nil {
		out = append(out, f.leavesIn(applied.Data, " of annotation "+lastApplied)...)
	}
	return out
}

func (f Facts) leavesIn(data map[string]string, where string) []Finding {
	var out []Finding
	sections := settings.Parse(data, nil, settings.Settings{}).Sections
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		paths := secretPaths(f.Schemas[section], sections[section])
		if len(paths) == 0 {
			continue
		}
		out = append(out, Finding{Error, f.settingsName() + " key " + section + where, "holds secret values at " + strings.Join(paths, ", ") +
			": whoever may read ConfigMaps can read them", "secret values in Secret " + f.Namespace + "/" + f.ConfigMap + "-values alone",
			"a running operator moves them there by itself: see why none does; then replace these secrets, for they were readable"})
	}
	return out
}

func secretPaths(s schema.Set, section values.Map) []string {
	_, hidden := s.SplitSecrets(section)
	return values.Leaves(hidden)
}

// mostBytes is what the API server accepts of the data of a ConfigMap or Secret; nearly is when to say so.
const (
	mostBytes = corev1.MaxSecretSize
	nearly    = mostBytes * 8 / 10
)

// sizes: what grows has room to.
func sizes(f Facts) []Finding {
	var out []Finding
	add := func(object string, bytes int, way string) {
		if bytes >= nearly {
			out = append(out, Finding{Warning, object, fmt.Sprintf("holds %d KiB of the %d KiB that the API server accepts: soon it cannot be written any more", bytes>>10, mostBytes>>10),
				"room to grow", way})
		}
	}
	if m := f.Settings; m != nil {
		add(f.settingsName(), bytesOf(m), "shorten its largest keys; values may lie in other objects: docs/modules.md, valuesFrom")
	}
	if m := f.Learned; m != nil {
		add(fmt.Sprintf("ConfigMap %s/%s", m.Namespace, m.Name), bytesOf(m), "find the hook whose key is the largest there and have it write less, such as names in place of whole objects")
	}
	if s := f.Secret; s != nil {
		n := 0
		for k, v := range s.Data {
			n += len(k) + len(v)
		}
		add(fmt.Sprintf("Secret %s/%s", s.Namespace, s.Name), n, "shorten the secret values of the largest key")
	}
	return out
}

func bytesOf(m *corev1.ConfigMap) int {
	n := 0
	for k, v := range m.Data {
		n += len(k) + len(v)
	}
	return n
}

// news is how long a warning counts.
const news = time.Hour

// events: what the operator said about the ConfigMap and as a whole.
func events(f Facts) []Finding {
	newest := map[string]corev1.Event{}
	for _, e := range f.Events {
		if e.Type != corev1.EventTypeWarning || f.Now.Sub(lastOf(e)) > news || saidElsewhere(e.Reason) {
			continue
		}
		if old, ok := newest[e.Reason]; !ok || lastOf(old).Before(lastOf(e)) {
			newest[e.Reason] = e
		}
	}
	var out []Finding
	for _, reason := range slices.Sorted(maps.Keys(newest)) {
		e := newest[reason]
		way := "see the operator's log at that time; if it does not come again, it is over"
		if known := eventWay(reason); known != "" {
			way = known + "; if it does not come again, it is over"
		}
		out = append(out, Finding{Warning, f.settingsName(), fmt.Sprintf("%s %s ago: %s", reason, f.age(lastOf(e)), e.Message), "no such warning", way})
	}
	return out
}

// saidElsewhere are reasons that other rules look into.
func saidElsewhere(reason string) bool {
	return reason == "UnknownKey" || reason == "ConfigInvalid" || reason == "ConfigMissing"
}

func eventWay(reason string) string {
	switch reason {
	case "ConfigContested":
		return "let one of the two give way: take the keys that hooks write out of what your GitOps tool applies, or have the hook write values in place of config values"
	case "HookFailed":
		return "run the hook by itself with `addon-operator hook run`, docs/hook-tools.md"
	case "WebhookFailed":
		return "the rights of deploy/rbac.yaml are needed, and an API server that accepts the configuration that the message names"
	case "Oscillating":
		return "find the hook that writes something new at every run, such as the time"
	}
	return ""
}

func lastOf(e corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// broken: every module's directory can be read.
func broken(f Facts) []Finding {
	var out []Finding
	for _, name := range slices.Sorted(maps.Keys(f.Broken)) {
		out = append(out, Finding{Error, "Module " + name, "its directory cannot be read: " + f.Broken[name], "a module as docs/modules.md describes it",
			"correct what the message names; its release stays as it is meanwhile"})
	}
	return out
}
