package pkg_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers are the packages of pkg/doc.go, lowest first; a package may import those
// of lower layers, and in the model its own.
func layers() map[string]int {
	out := map[string]int{}
	for layer, names := range [][]string{
		{"object", "drift", "health", "values", "redact", "schema", "hook", "module", "settings", "installed", "status", "artifact", "catalog", "source"},
		{"doctor", "enable", "explain", "order", "release", "migrate", "channel"},
		{"kube", "helm", "exec", "cron", "config", "dirwatch", "probe", "report", "metrics", "web", "webhook", "sdk", "leader", "registry", "sources"},
		{"store", "hookrun"},
		{"converge", "hooksonly", "rollout"},
		{"operator", "testkit", "hooklint", "hooktest", "publish"},
	} {
		for _, n := range names {
			out[n] = layer
		}
	}
	return out
}

const (
	model = iota
	decide
	edge
	storeLayer
	convergeLayer
	wire
)

func allowed(from, to int) bool {
	switch from {
	case model:
		return to == model
	case decide, edge:
		return to == model
	case storeLayer:
		return to == model || to == decide
	case convergeLayer:
		return to == model || to == decide || to == storeLayer
	}
	return true
}

// TestImportDirection keeps pkg/doc.go true: imports go down only, and edges know
// neither each other nor the loop.
func TestImportDirection(t *testing.T) {
	layer := layers()
	for _, p := range list(t) {
		name, ok := strings.CutPrefix(p.ImportPath, root)
		name, _, _ = strings.Cut(name, "/")
		if !ok {
			continue
		}
		from, known := layer[name]
		if !known {
			t.Errorf("package %s is not in the map of pkg/doc.go: put it into a layer here and there", p.ImportPath)
			continue
		}
		for _, i := range p.Imports {
			other, ours := strings.CutPrefix(i, root)
			other, _, _ = strings.Cut(other, "/")
			if !ours || other == name {
				continue
			}
			if !allowed(from, layer[other]) {
				t.Errorf("%s imports %s, against the direction in pkg/doc.go", p.ImportPath, i)
			}
		}
	}
}

// TestTheModelHasNoEffects: values in, values out.
func TestTheModelHasNoEffects(t *testing.T) {
	layer := layers()
	banned := []string{"net", "net/http", "os/exec", "k8s.io/client-go", "helm.sh/helm", "github.com/prometheus"}
	for _, p := range list(t) {
		name, ok := strings.CutPrefix(p.ImportPath, root)
		if l, known := layer[name]; !ok || !known || l > decide {
			continue
		}
		for _, i := range p.Imports {
			if slices.ContainsFunc(banned, func(b string) bool { return i == b || strings.HasPrefix(i, b+"/") }) {
				t.Errorf("%s imports %s: only edges have effects", p.ImportPath, i)
			}
		}
	}
}

// TestHelmStaysInItsPackage: Helm's types are seen nowhere else.
func TestHelmStaysInItsPackage(t *testing.T) {
	for _, p := range list(t) {
		if p.ImportPath == root+"helm" {
			continue
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "helm.sh/helm/") {
				t.Errorf("%s imports %s: keep Helm's types inside pkg/helm", p.ImportPath, i)
			}
		}
	}
}

const root = "github.com/addon-operator/addon-operator/pkg/"

type listed struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}
