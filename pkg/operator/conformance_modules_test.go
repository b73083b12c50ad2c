package operator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The hooks of testdata/conformance/operator, as global hooks and hooks of modules.
func TestConformanceOfModules(t *testing.T) {
	t.Parallel()
	c := newConformance(t, "operator")
	c.Config.ProxyJSONLogs = true // C-113
	c.webhooks("conf-modules")
	c.prepareModules()
	c.start()
	for _, m := range c.modules() {
		if !slices.Contains([]string{"conf-badconfig", "conf-jqstart", "conf-waiting"}, m) {
			c.wants(m, "Reconciled", "True") // Ready it is when no hook fails, and some fail for now
		}
	}
	t.Run("areas", func(t *testing.T) {
		for name, area := range map[string]func(*testing.T, *conformance){
			"discovery": conformDiscovery, "configuration": conformConfiguration, "environment": conformEnvironment,
			"contexts": conformContexts, "monitors": conformMonitors, "queues": conformQueues,
			"objects": conformObjects, "metrics": conformMetrics, "first generation": conformV0, "webhooks": conformModuleWebhooks,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				area(t, c.on(t))
			})
		}
	})
	t.Run("C-023, C-128: switched off and on again", func(t *testing.T) { conformSwitching(c.on(t)) })
}

// prepareModules makes what the hooks find when they start.
func (c *conformance) prepareModules() {
	c.t.Helper()
	for _, ns := range []string{"environment", "contexts", "monitors", "queues", "objects", "metrics", "v0"} {
		c.namespace("conf-"+ns, nil)
	}
	yes := map[string]string{"conf-selectors": "yes"}
	c.namespace("conf-selectors", yes)
	c.namespace("conf-selectors-2", nil)
	c.namespace("conf-selectors-3", yes)
	c.namespace("conf-module-webhooks", map[string]string{"conf-module-webhooks": "yes"})
	c.namespace("conf-monitors-1", map[string]string{"conf-monitors": "yes"})
	c.namespace("conf-monitors-2", nil)
	c.crd("confthings", "ConfThing")
	c.crd("confshareds", "ConfShared")
	c.thing("confthings", "ConfThing", "conf-objects", "thing", 7)

	c.put("conf-contexts", "full", "", "colour", "red")
	c.put("conf-contexts", "filtered", "", "colour", "red")
	c.put("conf-contexts", "lean", "", "colour", "red", "size", "1")
	c.put("conf-contexts", "results-0", "")
	c.put("conf-contexts", "results-1", "", "list", "a")
	c.put("conf-contexts", "results-2", "", "list", "a,b")
	c.put("conf-contexts", "group-first", "", "n", "1")
	c.put("conf-contexts", "group-second", "", "n", "2")
	c.put("conf-contexts", "events-1", "", "n", "1")
	c.put("conf-contexts", "number", "", "n", "1")
	c.put("conf-contexts", "unchanged", "", "shown", "1", "hidden", "1")
	c.put("conf-contexts", "jqstart", "", "n", "one")
	c.prepareSelectors()
	c.put("conf-monitors-1", "a", "monitors")
	c.put("conf-monitors-2", "b", "monitors")
	c.put("conf-monitors", "locked", "locked", "n", "1")
	c.put("conf-monitors", "silent", "silent", "n", "1")
	for _, name := range []string{"kept", "replaced", "deleted", "deleted-in-background", "deleted-alone", "jq-patched", "merge-patched", "json-patched"} {
		c.put("conf-objects", name, "", "by", "user", "old", "1")
	}
	c.settings(map[string]string{"confEnvironment": "sizes: [3]\n"})
}

func (c *conformance) prepareSelectors() {
	c.t.Helper()
	for _, ns := range []string{"conf-selectors", "conf-selectors-2", "conf-selectors-3"} {
		for name, size := range map[string]string{"a": "big", "b": "small", "c": ""} {
			c.put(ns, name, "selectors")
			if size != "" {
				c.label(ns, name, "size", size)
			}
		}
	}
}

func (c *conformance) label(namespace, name, key, value string) {
	c.t.Helper()
	cm, err := c.Client.CoreV1().ConfigMaps(namespace).Get(c.ctx, name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	cm.Labels[key] = value
	if _, err := c.Client.CoreV1().ConfigMaps(namespace).Update(c.ctx, cm, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func conformDiscovery(t *testing.T, c *conformance) {
	c.parallel(t, map[string]func(*conformance){
		"C-001 … C-004, C-010, C-036, C-081: which files are hooks, in which order onStartup runs them": func(c *conformance) {
			want := []string{"020-second.sh", "010-first.sh", "a-tie/tie.sh", "b-tie/tie.sh", "venv/in-venv.sh", "linked linked.sh",
				"no-extension", "other-language.pl"}
			if got := c.lines("discovery-order"); !slices.Equal(got, want) {
				c.t.Errorf("got %q, want %q", got, want)
			}
			c.logs("level:WARN", "not executable", "forgotten.sh")
			if logs := c.log.String(); strings.Contains(logs, "notes.md") {
				c.t.Error("a file that is ignored is named in the log")
			}
		},
		"C-002, C-008, C-010, C-081: hooks of modules": func(c *conformance) {
			want := []string{"z.sh", "a.sh", "b.sh", "report.py"}
			if got := c.lines("discovery-module"); !slices.Equal(got, want) {
				c.t.Errorf("got %q, want %q", got, want)
			}
			if got, want := c.lines("discovery-python"), []string{"python3 report.py --config", "python3 report.py "}; !slices.Equal(got, want) {
				c.t.Errorf("got %q, want %q", got, want)
			}
			if got := c.lines("discovery-direct"); !slices.Equal(got, []string{"direct.py"}) {
				c.t.Errorf("got %q", got)
			}
			c.logs("level:WARN", "direct.py", "conf-direct")
		},
		"C-007, C-009, C-111: global hooks lie in hooks/, and names begin there": func(c *conformance) {
			c.logs("hello from a global hook", "hook:hooks/discovery/010-first.sh")
			c.logs("hello from a module hook", "hook:hooks/b.sh", "module:conf-discovery")
		},
	})
}

// badConfigs are what is said about each hook of the module conf-badconfig.
var badConfigs = map[string][]string{
	"exit-code.sh":           {"exit status 3", "half a configuration", "no database"},                              // C-020
	"unparsable.sh":          {"config unmarshal", `{\"configVersion\": \"v1\"`},                                    // C-020, C-024, C-025
	"version-number.sh":      {"configVersion", "string value is expected"},                                         // C-025
	"version-v2.sh":          {"'configVersion' value 'v2' is unsupported"},                                         // C-025
	"empty.sh":               {"at least 1 property"},                                                               // C-026
	"several.sh":             {"onStart", "forbidden", "kind", "is required", "Appeared", "Added Modified Deleted"}, // C-027
	"only-version.sh":        {"at least 2 properties"},                                                             // C-030
	"empty-list.sh":          {"schedule", "at least 1 item"},                                                       // C-031
	"order-text.sh":          {"beforeHelm", "ten"},                                                                 // C-032
	"global-key.sh":          {"beforeAll", "forbidden"},                                                            // C-033
	"settings.sh":            {"executionMinInterval is invalid", "executionBurst is invalid"},                      // C-035
	"startup-text.sh":        {"onStartup", "early"},                                                                // C-036
	"crontab-missing.sh":     {"crontab", "is required"},                                                            // C-040
	"schedule-key.sh":        {"timezone", "forbidden"},                                                             // C-040
	"crontab.sh":             {"invalid schedule config [1]: crontab is invalid"},                                   // C-041
	"mode.sh":                {"mode", "forbidden"},                                                                 // C-050
	"kind.sh":                {"kind", "is required"},                                                               // C-050
	"api-version.sh":         {"apiVersion is invalid"},                                                             // C-050
	"jq.sh":                  {"invalid kubernetes config [0] jqFilter: compile jqFilter"},                          // C-050
	"label-operator.sh":      {"Near", "NotIn"},                                                                     // C-050
	"field-operator.sh":      {"In", "NotEquals"},                                                                   // C-050
	"field-value.sh":         {"value", "is required"},                                                              // C-050
	"namespace-empty.sh":     {"namespace", "at least 1 property"},                                                  // C-050
	"two-names.sh":           {"metadata.name", "nameSelector.matchNames", "mutually exclusive"},                    // C-051
	"snapshots-unknown.sh":   {"'nodes' binding name not found"},                                                    // C-052
	"snapshots-ambiguous.sh": {"there are 2 'pods' binding names"},                                                  // C-052
	"snapshots-text.sh":      {"includeSnapshotsFrom"},                                                              // C-052
	"v0-key.sh":              {"kubernetes", "forbidden"},                                                           // C-070
	"v0-crontab.sh":          {"crontab is invalid"},                                                                // C-071
	"v0-event.sh":            {"event 'appear' is unsupported"},                                                     // C-072
}

func conformConfiguration(t *testing.T, c *conformance) {
	parts := map[string]func(*conformance){
		"C-021, C-024, C-030 … C-036, C-040, C-041, C-050: what is right is read": func(c *conformance) {
			if got := c.lines("config"); len(got) < 4 || !slices.Equal(got[:4], []string{"json.sh", "yaml.sh", "yaml.sh", "yaml.sh"}) {
				c.t.Errorf("got %q: expected onStartup, beforeHelm and afterHelm", got)
			}
			cwd, err := os.Getwd()
			if err != nil {
				c.t.Fatal(err)
			}
			if got := c.lines("config-environment"); !slices.Equal(got, []string{cwd, "0"}) {
				c.t.Errorf("--config ran in, and with so many of the operator's files: %q", got)
			}
		},
		"C-020, C-022: a module with bad hooks does not run, and says which": func(c *conformance) {
			c.wants("conf-badconfig", "Ready", "False", "hooks/")
			if got := c.lines("badconfig"); len(got) > 0 {
				c.t.Errorf("hooks of the module ran: %q", got)
			}
		},
	}
	for hook, texts := range badConfigs {
		parts["C-020, C-025, C-027: "+hook] = func(c *conformance) { c.conformBadConfig(hook, texts) }
	}
	c.parallel(t, parts)
}

// conformBadConfig looks for the line of the module's error that is about a hook.
func (c *conformance) conformBadConfig(hook string, texts []string) {
	c.t.Helper()
	var line string
	c.eventually(func() bool {
		for _, r := range c.logged(func(r map[string]any) bool { return r["module"] == "conf-badconfig" && r["level"] == "ERROR" }) {
			for _, l := range strings.Split(fmt.Sprint(r["error"]), "\nhook ") {
				if strings.Contains(l, "hooks/"+hook) {
					line = l
				}
			}
		}
		return line != ""
	}, "the log tells of %s", hook)
	for _, text := range texts {
		if !strings.Contains(line, text) {
			c.t.Errorf("the error does not contain %q: %s", text, line)
		}
	}
}

// look is what the hooks look.sh write.
type look struct {
	Files map[string]struct {
		Path, Mode string
		Size       int
		Dir        int
	}
	Args           int
	Cwd            string
	Values, Config map[string]any
}

func (c *conformance) look(file string) (l look) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.hasLines(file, 1)[0]), &l); err != nil {
		c.t.Fatal(err)
	}
	return l
}

func conformEnvironment(t *testing.T, c *conformance) {
	inputs := []string{"BINDING_CONTEXT_PATH", "CONFIG_VALUES_PATH", "VALUES_PATH"}
	outputs := []string{"CONFIG_VALUES_JSON_PATCH_PATH", "KUBERNETES_PATCH_PATH", "METRICS_PATH", "VALUES_JSON_PATCH_PATH"}
	parts := map[string]func(*conformance){
		"C-106: values of global hooks, of hooks of modules and of enabled scripts": func(c *conformance) {
			for file, sections := range map[string][]string{"look-global": {"global"}, "look-module": {"confEnvironment", "global"}, "look-enabled": {"confEnvironment", "global"}} {
				l := c.look(file)
				for name, values := range map[string]map[string]any{"values": l.Values, "config values": l.Config} {
					if got := sortedKeys(values); !slices.Equal(got, sections) {
						c.t.Errorf("%s of %s have %v, want %v", name, file, got, sections)
					}
				}
				if file != "look-global" {
					c.same("values of the module", l.Values["confEnvironment"], `{"colour": "blue", "sizes": [3]}`)
					c.same("config values of the module", l.Config["confEnvironment"], `{"sizes": [3]}`)
				}
				if l.Config["global"] != nil {
					c.t.Errorf("%s: a section that the ConfigMap does not have is %v, want null", file, l.Config["global"])
				}
			}
		},
		"C-104, C-107, C-108: a hook that fails has said why and done nothing": func(c *conformance) {
			c.put("conf-environment", "stderr", "")
			c.put("conf-environment", "status", "")
			c.logs("hooks/stderr.sh", "the tea is cold", "level:ERROR")
			c.logs("hooks/status.sh", "exit status 9", "level:ERROR")
			c.nothingDone("of-a-failure", "conf_of_a_failure")
			if path := c.hasLines("failed-files", 1)[0]; exists(path) {
				c.t.Errorf("%s is still there", path)
			}
		},
		"C-109: everything is checked before anything is done": func(c *conformance) {
			c.put("conf-environment", "foreign-values", "")
			c.logs("hooks/foreign-values.sh", "/confDiscovery/x", "level:ERROR")
			c.nothingDone("of-foreign-values", "conf_of_foreign_values")
			c.put("conf-environment", "failed-operation", "")
			c.logs("hooks/failed-operation.sh", "nobody", "level:ERROR")
			c.nothingDone("", "conf_of_a_failed_operation")
		},
		"C-110: time and memory are recorded": func(c *conformance) {
			for _, name := range []string{"run_user_cpu_seconds_count", "run_sys_cpu_seconds_count", "run_max_rss_bytes"} {
				pattern := regexp.MustCompile(`(?m)^addon_operator_module_hook_` + name + `\{.*hook="hooks/usage.sh".*\} [1-9]`)
				c.eventually(func() bool { return pattern.MatchString(c.get("/metrics")) }, "/metrics has %s of the hook", name)
			}
		},
		"C-111, C-112, C-113: output becomes log records": conformLog,
	}
	for file, has := range map[string][]string{
		"look-global": slices.Concat(inputs, outputs), "look-module": slices.Concat(inputs, outputs),
		"look-enabled": {"VALUES_PATH", "CONFIG_VALUES_PATH", "MODULE_ENABLED_RESULT", "MODULE_ENABLED_REASON"},
	} {
		parts["C-100, C-101, C-102, C-104, C-105: "+file] = func(c *conformance) {
			l := c.look(file)
			cwd, err := os.Getwd()
			if err != nil {
				c.t.Fatal(err)
			}
			if l.Args != 0 || l.Cwd != cwd {
				c.t.Errorf("started with %d arguments in %s", l.Args, l.Cwd)
			}
			if got := sortedKeys(l.Files); !slices.Equal(got, slices.Sorted(slices.Values(has))) {
				c.t.Errorf("it has %v, want %v", got, has)
			}
			for name, f := range l.Files {
				output := slices.Contains(outputs, name) || strings.HasPrefix(name, "MODULE_ENABLED")
				if f.Mode != "600" || f.Dir != 700 || output != (f.Size == 0) {
					c.t.Errorf("%s: %+v: expected mode 600 in a directory of mode 700, and outputs to be empty", name, f)
				}
				if exists(f.Path) {
					c.t.Errorf("%s is still there: %s", name, f.Path)
				}
				if !strings.HasPrefix(f.Path, c.Config.TempDir+"/") {
					c.t.Errorf("%s is not below %s", f.Path, c.Config.TempDir)
				}
			}
		}
	}
	for output, text := range map[string]string{"operations": "KUBERNETES_PATCH_PATH", "values": "VALUES_JSON_PATCH_PATH",
		"config": "CONFIG_VALUES_JSON_PATCH_PATH", "metrics": "METRICS_PATH"} {
		parts["C-108, C-200, C-220: malformed "+output+" fails the run"] = func(c *conformance) {
			c.put("conf-environment", "malformed-"+output, "")
			c.logs("hooks/malformed-"+output+".sh", "bad "+text, "level:ERROR")
			c.nothingDone("of-malformed-"+output, "conf_of_malformed_"+output)
		}
	}
	c.parallel(t, parts)
}

// nothingDone fails the test when a ConfigMap was made, a metric shown or a value set.
func (c *conformance) nothingDone(configMap, metric string) {
	c.t.Helper()
	if configMap != "" && c.data("conf-environment", configMap) != nil {
		c.t.Errorf("ConfigMap %s was made", configMap)
	}
	if strings.Contains(c.get("/metrics/hooks"), metric) {
		c.t.Errorf("metric %s is shown", metric)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// C-111, C-112, C-113.
func conformLog(c *conformance) {
	own := func(r map[string]any) bool { return r["hook"] == "hooks/log.sh" && r["output"] != nil }
	c.eventually(func() bool { return len(c.logged(own)) >= 7 }, "the log has what hooks/log.sh wrote")
	var got []map[string]any
	for _, r := range c.logged(own) {
		for key, want := range map[string]string{"module": "conf-environment", "binding": "afterHelm", "queue": "main"} {
			if r[key] != want {
				c.t.Errorf("%s is %v, want %s: %v", key, r[key], want, r)
			}
			delete(r, key)
		}
		if event, _ := r["event"].(string); event == "" {
			c.t.Errorf("no event: %v", r)
		}
		if id, _ := r["task.id"].(string); id == "" {
			c.t.Errorf("no task.id: %v", r)
		}
		for _, key := range []string{"time", "hook", "event", "task.id"} {
			delete(r, key)
		}
		for key, v := range r {
			if s, ok := v.(string); ok && len(s) > 1000 {
				r[key] = fmt.Sprintf("%d and %s", len(s), s[10000:])
			}
		}
		if r["output"] == "stderr" {
			c.same("line on stderr", r, `{"level": "INFO", "msg": "a line on stderr", "output": "stderr"}`)
			continue
		}
		got = append(got, r)
	}
	c.same("lines on stdout", got[:min(len(got), 6)], `[
		{"level": "INFO", "output": "stdout", "msg": "a plain line"},
		{"level": "WARN", "output": "stdout", "msg": "the disk is nearly full", "proxyJsonLog": true, "hook_disk": "sda1", "hook_used": 97},
		{"level": "INFO", "output": "stdout", "msg": "hook result", "proxyJsonLog": true, "hook_result": "nothing to say"},
		{"level": "INFO", "output": "stdout", "msg": "{not JSON at all"},
		{"level": "INFO", "output": "stdout", "msg": "long value", "proxyJsonLog": true, "hook_text": "10010 and :truncated"},
		{"level": "INFO", "output": "stdout", "msg": "in two parts", "proxyJsonLog": true, "hook_end": true, "hook_part": "10010 and :truncated"}]`)
}

// C-034, C-126, C-246: webhooks of a module and of a global hook, beside each other.
func conformModuleWebhooks(t *testing.T, c *conformance) {
	const ns = "conf-module-webhooks"
	ask := func(c *conformance, name, label string) error {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"conf": label}}, Data: map[string]string{"a": "b"}}
		_, err := c.Client.CoreV1().ConfigMaps(ns).Create(c.ctx, cm, metav1.CreateOptions{})
		return err
	}
	t.Run("C-034, C-126, C-246: a global hook", func(t *testing.T) {
		c := c.on(t)
		n := 0
		c.eventually(func() bool { // the API server asks from the moment it has seen the configuration
			n++
			name := fmt.Sprint("mutated-", n)
			return ask(c, name, "globally-mutated") == nil && c.data(ns, name)["by"] == "global hook"
		}, "the object is changed")
	})
	t.Run("C-034, C-245, C-246: a module, which takes it along", func(t *testing.T) {
		c := c.on(t)
		n := 0
		try := func() error {
			n++
			return ask(c, fmt.Sprint("reviewed-", n), "module-reviewed")
		}
		var err error
		c.eventually(func() bool { err = try(); return err != nil }, "the object is refused")
		c.denied(err, http.StatusForbidden, `admission webhook "module.conf.example.com" denied the request: not here`)
		if got := c.contexts("module-validating")[0]; got["type"] != "Validating" || got["binding"] != "module.conf.example.com" {
			t.Errorf("got %v", got)
		}
		c.edit("confWebhooksEnabled", "false")
		c.eventually(func() bool { return try() == nil }, "nobody refuses it any more")
		c.wants("conf-webhooks", "Enabled", "False")
		c.eventually(func() bool {
			_, err := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(c.ctx, "conf-modules-conf-webhooks", metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}, "the configuration is gone")
	})
}
