package report

import (
	"embed"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/module"
)

//go:embed modules.yaml modulesources.yaml modulereleases.yaml
var crdFiles embed.FS

// Resource is the API resource of Module, Sources that of ModuleSource, Releases that of ModuleRelease.
var (
	Resource = resource("modules")
	Sources  = resource("modulesources")
	Releases = resource("modulereleases")
)

func resource(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "addon-operator.io", Version: "v1alpha1", Resource: plural}
}

// kindOf is the kind of one of the three resources.
func kindOf(r schema.GroupVersionResource) string {
	switch r {
	case Sources:
		return "ModuleSource"
	case Releases:
		return "ModuleRelease"
	}
	return "Module"
}

// CRDs are the operator's own CustomResourceDefinitions: Module, ModuleSource and ModuleRelease, as JSON.
func CRDs() ([]module.CRD, error) {
	var out []module.CRD
	for _, r := range []schema.GroupVersionResource{Resource, Sources, Releases} {
		file := r.Resource + ".yaml"
		text, err := crdFiles.ReadFile(file)
		if err == nil {
			text, err = yaml.YAMLToJSON(text)
		}
		if err != nil {
			return nil, fmt.Errorf("the built-in CRD %s: %w", file, err)
		}
		out = append(out, module.CRD{File: file, Name: r.GroupResource().String(), Text: text})
	}
	return out, nil
}
