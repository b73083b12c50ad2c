package modules_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/values"
)

const prometheusDir = "300-prometheus"

func forEachPrometheusCase(t *testing.T, check func(t *testing.T, c testCase)) {
	for _, c := range loadCases(t, loadModule(t, prometheusDir)) {
		t.Run(filepath.Base(c.dir), func(t *testing.T) { check(t, c) })
	}
}

func prometheusCase(t *testing.T, name string) testCase {
	t.Helper()
	for _, c := range loadCases(t, loadModule(t, prometheusDir)) {
		if filepath.Base(c.dir) == name {
			return c
		}
	}
	t.Fatalf("there is no case %s", name)
	return testCase{}
}

// named returns the object, nil if it is not rendered.
func named(objects []object, kind, name string) object {
	for _, o := range objects {
		if o.kind() == kind && o.name() == name {
			return o
		}
	}
	return nil
}

func ofKind(objects []object, kind string) []object {
	return slices.DeleteFunc(slices.Clone(objects), func(o object) bool { return o.kind() != kind })
}

// fileOf parses a file that a ConfigMap holds.
func fileOf(t *testing.T, objects []object, configMap, key string) map[string]any {
	t.Helper()
	text := str(named(objects, "ConfigMap", configMap), "data", key)
	if text == "" {
		t.Fatalf("ConfigMap %s has no %s", configMap, key)
	}
	out := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &out); err != nil {
		t.Fatalf("ConfigMap %s, %s: %v", configMap, key, err)
	}
	return out
}

func objectsIn(items []any) []map[string]any {
	out := make([]map[string]any, 0, len(items))
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func TestPrometheusSettingsAreCheckedBeforeTheyAreUsed(t *testing.T) {
	schemas := loadModule(t, prometheusDir).Schemas
	if got := schemas.SecretPaths(); !slices.Equal(got, []string{"auth.password"}) {
		t.Errorf("want the password to be the one secret, got %v", got)
	}
	for _, test := range []struct{ sentence, section, violation string }{
		{"nothing set is fine", `{}`, ""},
		{"what the README shows is fine", `{"retention":"30d","scrapeInterval":"1m","storage":{"class":"gp3","size":"100Gi"},
			"longterm":{"retention":"2y"},"trickster":{"enabled":true},"resources":{"main":{"requests":{"cpu":1,"memory":"2Gi"}}}}`, ""},
		{"an unknown setting is named", `{"retentoin":"30d"}`, "retentoin"},
		{"an interval too long for the rules is refused", `{"scrapeInterval":"5m"}`, "scrapeInterval"},
		{"a size without a unit is refused", `{"storage":{"size":"100"}}`, "size"},
		{"a long-term interval is in minutes", `{"longterm":{"scrapeInterval":"300s"}}`, "scrapeInterval"},
		{"a short password is refused", `{"auth":{"password":"secret"}}`, "password"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			section := values.Map{}
			if err := json.Unmarshal([]byte(test.section), &section); err != nil {
				t.Fatal(err)
			}
			err := schemas.Config.Validate(schemas.Config.Default(section), "prometheus")
			if (err == nil) != (test.violation == "") || err != nil && !strings.Contains(err.Error(), test.violation) {
				t.Errorf("want %q, got %v", test.violation, err)
			}
		})
	}
	// C-313: the chart is not rendered before the hook has made a password.
	section := schemas.Values.Default(schemas.Config.Default(values.Map{}))
	if err := schemas.Helm.Validate(section, "prometheus"); err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("want a missing password to stop the render, got %v", err)
	}
}

// nginx: ngx_crypt_ssha compares sha1(password + salt) with what stands before the salt.
func TestBasicAuthIsALineThatNginxAccepts(t *testing.T) {
	c := prometheusCase(t, "ingress")
	for _, password := range []string{"correct-horse-battery-staple", "x", "päßwörd with spaces", strings.Repeat("long", 50)} {
		values := clone(c.values)
		set(values, password, "prometheus", "auth", "password")
		secret := named(parse(t, c.mustRender(t, values)), "Secret", "prometheus-basic-auth")
		line, err := base64.StdEncoding.DecodeString(str(secret, "data", "auth"))
		if err != nil {
			t.Fatal(err)
		}
		hash, ok := strings.CutPrefix(string(line), "ops:{SSHA}")
		if !ok {
			t.Fatalf("want ops:{SSHA}..., got %s", line)
		}
		raw, err := base64.StdEncoding.DecodeString(hash)
		if err != nil || len(raw) != sha1.Size+10 {
			t.Fatalf("%s: %d bytes, %v", hash, len(raw), err)
		}
		digest := sha1.Sum(append([]byte(password), raw[sha1.Size:]...))
		if string(digest[:]) != string(raw[:sha1.Size]) {
			t.Errorf("password %q does not match its line %s", password, line)
		}
	}
}

func TestPrometheusIsReachableFromOutsideOnlyWithAPassword(t *testing.T) {
	forEachPrometheusCase(t, func(t *testing.T, c testCase) {
		objects := c.objects(t)
		for _, ingress := range ofKind(objects, "Ingress") {
			annotations := sub(ingress, "metadata", "annotations")
			grafana := ingress.name() == "prometheus-grafana"
			secret := str(annotations, "nginx.ingress.kubernetes.io/auth-secret")
			if !grafana && (annotations["nginx.ingress.kubernetes.io/auth-type"] != "basic" || named(objects, "Secret", secret) == nil) {
				t.Errorf("%s is served without a password", ingress)
			}
			for _, rule := range objectsIn(list(ingress, "spec", "rules")) {
				backend := sub(objectsIn(list(rule, "http", "paths"))[0], "backend", "service")
				if named(objects, "Service", str(backend, "name")) == nil {
					t.Errorf("%s: there is no Service %s", ingress, str(backend, "name"))
				}
			}
		}
		for _, service := range ofKind(objects, "Service") {
			if kind := str(service, "spec", "type"); kind != "" && kind != "ClusterIP" {
				t.Errorf("%s is of type %s", service, kind)
			}
		}
	})
}

func TestIngressObjectsNeedAControllerAndADomain(t *testing.T) {
	c := prometheusCase(t, "ingress")
	for name, change := range map[string]func(global map[string]any){
		"no controller": func(g map[string]any) { g["enabledModules"] = []any{"prometheus", "cert-manager-issuers"} },
		"no domain":     func(g map[string]any) { g["publicDomainTemplate"] = "" },
	} {
		t.Run(name, func(t *testing.T) {
			values := clone(c.values)
			change(sub(values, "global"))
			if got := ofKind(parse(t, c.mustRender(t, values)), "Ingress"); len(got) != 0 {
				t.Errorf("got %v", got)
			}
		})
	}
}

// volumeValues are settings between which a user, or the cluster, may move.
func volumeValues(t *testing.T) []map[string]any {
	t.Helper()
	base := clone(prometheusCase(t, "aws").values)
	set(base, false, "prometheus", "grafana", "enabled") // dashboards are most of the text
	var out []map[string]any
	for _, inUse := range []string{"", "gp3"} {
		for _, defaultClass := range []string{"", "gp3", "io2"} {
			for _, class := range []string{"", "gp3", "ssd.fast"} {
				for size, ha := range map[string]bool{"20Gi": false, "50Gi": true} {
					values := clone(base)
					set(values, defaultClass, "global", "discovery", "storage", "defaultClass")
					set(values, ha, "global", "highAvailability")
					set(values, class, "prometheus", "storage", "class")
					set(values, size, "prometheus", "storage", "size")
					if inUse != "" {
						set(values, map[string]any{
							"data-prometheus-main-0": inUse, "data-prometheus-main-1": inUse, "data-prometheus-longterm-0": inUse,
						}, "prometheus", "internal", "claims")
					}
					out = append(out, values)
				}
			}
		}
	}
	return out
}

// The API server refuses a change of these fields, and the release would hang on it.
func TestNoSettingChangesAnImmutableField(t *testing.T) {
	c := prometheusCase(t, "aws")
	first := map[string]any{}
	same := func(what string, value any) {
		if before, ok := first[what]; ok && !reflect.DeepEqual(before, value) {
			t.Errorf("%s changes from %v to %v", what, before, value)
		}
		first[what] = value
	}
	for _, values := range volumeValues(t) {
		inUse := str(values, "prometheus", "internal", "claims", "data-prometheus-main-0")
		for _, o := range parse(t, c.mustRender(t, values)) {
			// Which class the first claim gets is open; from then on the hook tells it, so compare within each history.
			id := fmt.Sprintf("%s, with a claim of class %q", o, inUse)
			if inUse == "" {
				id = fmt.Sprintf("%s, default class %s, class %s", id,
					str(values, "global", "discovery", "storage", "defaultClass"), str(values, "prometheus", "storage", "class"))
			}
			switch o.kind() {
			case "StatefulSet":
				for _, field := range []string{"volumeClaimTemplates", "serviceName", "selector", "podManagementPolicy"} {
					same(id+", "+field, at(o, "spec", field))
				}
				if len(o.name()) > 52 {
					t.Errorf("%s: %d characters", o, len(o.name()))
				}
			case "PersistentVolumeClaim":
				same(id+", storageClassName", str(o, "spec", "storageClassName"))
			}
		}
	}
}

func TestVolumesComeFromTheClassInUseElseTheWantedElseTheDefault(t *testing.T) {
	c := prometheusCase(t, "aws")
	for _, test := range []struct {
		name, defaultClass, inUse, class string
		wantSet, wantClass               string
	}{
		{"no class anywhere: an emptyDir", "", "", "", "prometheus-main-ephemeral", ""},
		{"the discovered default", "gp3", "", "", "prometheus-main", "gp3"},
		{"a new default does not move a volume", "io2", "gp3", "", "prometheus-main", "gp3"},
		{"nor does its removal", "", "gp3", "", "prometheus-main", "gp3"},
		{"naming the class in use changes nothing", "io2", "gp3", "gp3", "prometheus-main", "gp3"},
		{"another class is another volume", "gp3", "gp3", "ssd.fast", "prometheus-main-ssd-fast", "ssd.fast"},
		{"a class where there is no default", "", "", "ssd.fast", "prometheus-main", "ssd.fast"},
	} {
		t.Run(test.name, func(t *testing.T) {
			values := clone(c.values)
			set(values, test.defaultClass, "global", "discovery", "storage", "defaultClass")
			set(values, test.class, "prometheus", "storage", "class")
			if test.inUse != "" {
				set(values, test.inUse, "prometheus", "internal", "claims", "data-prometheus-main-0")
			}
			objects := parse(t, c.mustRender(t, values))
			server := named(objects, "StatefulSet", test.wantSet)
			if server == nil {
				t.Fatalf("there is no StatefulSet %s", test.wantSet)
			}
			claim := named(objects, "PersistentVolumeClaim", "data-"+test.wantSet+"-0")
			if got := str(claim, "spec", "storageClassName"); got != test.wantClass {
				t.Errorf("want a claim of class %q, got %q", test.wantClass, got)
			}
			if claim != nil && str(claim, "metadata", "annotations", "helm.sh/resource-policy") != "keep" {
				t.Error("the claim would go with the release")
			}
		})
	}
}

// A setting must reach the process, and must not restart others.
func TestAChangedSettingRollsThePodsThatReadItAndNoOthers(t *testing.T) {
	c := prometheusCase(t, "trickster")
	for name, test := range map[string]struct {
		path  []string
		value any
		rolls []string
	}{
		"scrape interval":   {[]string{"scrapeInterval"}, "1m", []string{"prometheus-main", "prometheus-grafana"}},
		"retention":         {[]string{"retention"}, "3d", []string{"prometheus-main"}},
		"long-term matches": {[]string{"longterm", "match"}, []any{"up"}, []string{"prometheus-longterm"}},
		"password":          {[]string{"auth", "password"}, "another-password", []string{"prometheus-grafana"}},
		"cache size":        {[]string{"trickster", "cacheSizeMb"}, 64, []string{"prometheus-trickster"}},
	} {
		t.Run(name, func(t *testing.T) {
			values := clone(c.values)
			set(values, test.value, append([]string{"prometheus"}, test.path...)...)
			before, after := c.objects(t), parse(t, c.mustRender(t, values))
			var rolled []string
			for _, o := range after {
				if o.podTemplate() != nil && !reflect.DeepEqual(o.podTemplate(), named(before, o.kind(), o.name()).podTemplate()) {
					rolled = append(rolled, o.name())
				}
			}
			slices.Sort(rolled)
			slices.Sort(test.rolls)
			if !slices.Equal(rolled, test.rolls) {
				t.Errorf("want %v to be rolled, got %v", test.rolls, rolled)
			}
		})
	}
}

// What client-go of each kubernetes_sd role lists and watches.
func discoveryNeeds() map[string][]string {
	return map[string][]string{
		"node":          {"core/nodes"},
		"pod":           {"core/pods"},
		"service":       {"core/services"},
		"endpointslice": {"discovery.k8s.io/endpointslices", "core/services", "core/pods"},
		"ingress":       {"networking.k8s.io/ingresses"},
	}
}

func TestMainMayDiscoverWhatItsConfigurationNames(t *testing.T) {
	forEachPrometheusCase(t, func(t *testing.T, c testCase) {
		objects := c.objects(t)
		granted := grants(objects)["prometheus-main"]
		for _, job := range objectsIn(list(fileOf(t, objects, "prometheus-main", "prometheus.yaml"), "scrape_configs")) {
			for _, sd := range objectsIn(list(job, "kubernetes_sd_configs")) {
				resources, ok := discoveryNeeds()[str(sd, "role")]
				if !ok {
					t.Errorf("job %s: unknown role %q", str(job, "job_name"), str(sd, "role"))
				}
				for _, resource := range resources {
					for _, verb := range []string{"get", "list", "watch"} {
						if !granted[verb+" "+resource] {
							t.Errorf("job %s needs %s %s", str(job, "job_name"), verb, resource)
						}
					}
				}
			}
		}
	})
}

func TestOnlyThePodsThatTalkToTheAPIServerGetAToken(t *testing.T) {
	forEachPrometheusCase(t, func(t *testing.T, c testCase) {
		objects := c.objects(t)
		granted := grants(objects)
		for _, o := range objects {
			if o.podTemplate() == nil {
				continue
			}
			account := str(o.podTemplate(), "spec", "serviceAccountName")
			token := at(named(objects, "ServiceAccount", account), "automountServiceAccountToken") != false
			if token != (granted[account] != nil) {
				t.Errorf("%s: token %v, rights %v", o, token, granted[account] != nil)
			}
		}
	})
}

func TestAnnotatedPortsAreContainerPorts(t *testing.T) {
	forEachPrometheusCase(t, func(t *testing.T, c testCase) {
		for _, o := range c.objects(t) {
			annotated := str(o.podTemplate(), "metadata", "annotations", "prometheus.io/port")
			if annotated == "" {
				continue
			}
			var ports []string
			for _, container := range containers(o.podTemplate(), "containers") {
				for _, port := range objectsIn(list(container, "ports")) {
					ports = append(ports, fmt.Sprint(port["containerPort"]))
				}
			}
			if !slices.Contains(ports, annotated) {
				t.Errorf("%s: prometheus.io/port is %s, its ports are %v", o, annotated, ports)
			}
		}
	})
}

// checkURL demands that a cluster URL names a Service of the render and its port.
func checkURL(t *testing.T, objects []object, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Error(err)
		return
	}
	name, rest, _ := strings.Cut(u.Hostname(), ".")
	service := named(objects, "Service", name)
	if service == nil || rest != service.namespace()+".svc" {
		t.Errorf("%s: there is no such Service", address)
		return
	}
	for _, port := range objectsIn(list(service, "spec", "ports")) {
		if fmt.Sprint(port["port"]) == u.Port() {
			return
		}
	}
	t.Errorf("%s: the Service has no such port", address)
}

// https://grafana.com/docs/grafana/latest/administration/provisioning/#data-sources
func TestGrafanaDataSourcesPointAtServices(t *testing.T) {
	forEachPrometheusCase(t, func(t *testing.T, c testCase) {
		objects := c.objects(t)
		if named(objects, "ConfigMap", "prometheus-grafana") == nil {
			t.Skip("Grafana is off")
		}
		file := fileOf(t, objects, "prometheus-grafana", "datasources.yaml")
		defaults := 0
		for _, source := range objectsIn(list(file, "datasources")) {
			if str(source, "type") != "prometheus" || str(source, "access") != "proxy" || str(source, "uid") == "" || str(source, "name") == "" {
				t.Errorf("incomplete data source %v", source)
			}
			if source["isDefault"] == true {
				defaults++
			}
			checkURL(t, objects, str(source, "url"))
		}
		if at(file, "apiVersion") != float64(1) || defaults != 1 {
			t.Errorf("want apiVersion 1 and one default, got %v and %d", file["apiVersion"], defaults)
		}
		for _, provider := range objectsIn(list(fileOf(t, objects, "prometheus-grafana", "dashboards.yaml"), "providers")) {
			mounted := false
			for _, mount := range objectsIn(list(containers(named(objects, "Deployment", "prometheus-grafana").podTemplate(), "containers")[0], "volumeMounts")) {
				mounted = mounted || mount["mountPath"] == at(provider, "options", "path")
			}
			if !mounted {
				t.Errorf("nothing is mounted at %v", at(provider, "options", "path"))
			}
		}
	})
}

func TestTricksterStandsInFrontOfEveryServer(t *testing.T) {
	objects := prometheusCase(t, "trickster").objects(t)
	backends := sub(fileOf(t, objects, "prometheus-trickster", "trickster.yaml"), "backends")
	for name, backend := range backends {
		if at(backends, name, "provider") != "prometheus" {
			t.Errorf("backend %s: %v", name, backend)
		}
		checkURL(t, objects, str(backends, name, "origin_url"))
	}
	for _, source := range objectsIn(list(fileOf(t, objects, "prometheus-grafana", "datasources.yaml"), "datasources")) {
		u, err := url.Parse(str(source, "url"))
		if err != nil || !strings.HasPrefix(u.Host, "prometheus-trickster.") {
			t.Errorf("%s bypasses the cache: %v %v", str(source, "name"), u, err)
			continue
		}
		// The default backend answers at /, the others below their names.
		if name := strings.Trim(u.Path, "/"); name != "" && backends[name] == nil || name == "" && at(backends, "main", "is_default") != true {
			t.Errorf("%s: there is no backend for %s", str(source, "name"), u)
		}
	}
}

// dashboard is the part of Grafana's dashboard model that the checks read.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Query any }
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Datasource  map[string]string
	Targets     []struct {
		RefID, Expr string
		Datasource  map[string]string
	}
}

func (p panel) overlaps(q panel) bool {
	a, b := p.GridPos, q.GridPos
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}

func TestDashboardsAreWhatGrafanaExpects(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(prometheusDir, "files", "dashboards", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no dashboards", err)
	}
	uids := map[string]string{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var d dashboard
			if err := json.Unmarshal(text, &d); err != nil {
				t.Fatal(err)
			}
			if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 || uids[d.UID] != "" {
				t.Errorf("uid %q, title %q, schema version %d; uids so far: %v", d.UID, d.Title, d.SchemaVersion, uids)
			}
			uids[d.UID] = file
			for i, p := range d.Panels {
				checkPanel(t, p)
				for _, q := range d.Panels[:i] {
					if q.ID == p.ID || p.overlaps(q) {
						t.Errorf("panels %q and %q share their id or their place", p.Title, q.Title)
					}
				}
			}
		})
	}
}

func checkPanel(t *testing.T, p panel) {
	t.Helper()
	if p.ID == 0 || p.Title == "" || p.GridPos.W == 0 || p.GridPos.H == 0 || p.GridPos.X+p.GridPos.W > 24 {
		t.Errorf("panel %+v lacks a field or leaves the grid", p)
	}
	if p.Type == "row" {
		return
	}
	if !slices.Contains([]string{"stat", "timeseries", "table"}, p.Type) || len(p.Targets) == 0 {
		t.Errorf("panel %q: type %q with %d queries", p.Title, p.Type, len(p.Targets))
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if target.Expr == "" || target.RefID == "" || refs[target.RefID] || target.Datasource["uid"] != "${datasource}" {
			t.Errorf("panel %q: query %+v", p.Title, target)
		}
		refs[target.RefID] = true
	}
}
