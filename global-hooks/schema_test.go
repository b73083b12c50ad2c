package hooks_test

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

// sectionSchema reads a file of openapi/ by the rules of C-311 (nothing undeclared) and C-312 (x-extend).
func sectionSchema(t *testing.T, path string) *spec.Schema {
	t.Helper()
	schema := rawSchema(t, path)
	if extend, ok := schema["x-extend"].(map[string]any); ok {
		parent := rawSchema(t, "openapi/"+extend["schema"].(string))
		properties := maps.Clone(parent["properties"].(map[string]any))
		maps.Copy(properties, schema["properties"].(map[string]any))
		schema["properties"] = properties
	}
	closeObjects(t, path, schema)
	text, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	parsed := &spec.Schema{}
	if err := json.Unmarshal(text, parsed); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return parsed
}

func rawSchema(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	schema := map[string]any{}
	if err := yaml.UnmarshalStrict(text, &schema); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return schema
}

func closeObjects(t *testing.T, path string, schema map[string]any) {
	t.Helper()
	if _, set := schema["additionalProperties"]; schema["type"] == "object" && !set {
		schema["additionalProperties"] = false
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner, ok := schema[key].(map[string]any); ok {
			closeObjects(t, path+"."+key, inner)
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, inner := range properties {
		property := inner.(map[string]any)
		if property["description"] == nil {
			t.Errorf("%s: property %s has no description", path, name)
		}
		closeObjects(t, path+"."+name, property)
	}
}

func violations(schema *spec.Schema, value any) string {
	if err := validate.AgainstSchema(schema, value, strfmt.Default); err != nil {
		return err.Error()
	}
	return ""
}

// TestAllHooksTogetherFulfilTheSchema also gives each fact on its own to the schema, as the operator does while the first hooks
// have spoken and others have not.
func TestAllHooksTogetherFulfilTheSchema(t *testing.T) {
	t.Parallel()
	schema := sectionSchema(t, "openapi/values.yaml")
	objects := nodesOf(t, `[
	  {metadata: {name: a, labels: {dedicated: ingress, node-role.kubernetes.io/control-plane: ""}},
	   spec: {providerID: "aws:///eu-central-1a/i-1", podCIDR: 10.0.0.0/24, taints: [{key: dedicated, value: ingress, effect: NoSchedule}]}}]`)
	objects = append(objects, parseObjects(t, kubeadmConfig)...)
	discovery := map[string]any{
		"apiVersions": []any{"v1", "v1/Pod"},
		"kubernetes":  map[string]any{"version": "1.36.3", "distribution": "kubernetes"},
	}
	for _, key := range factKeys(t) {
		fact := bashHook(t, key).fact(t, key, objects)
		alone := map[string]any{"discovery": map[string]any{key: fact}}
		if bad := violations(schema, alone); bad != "" {
			t.Errorf("fact %s: %s", key, bad)
		}
		discovery[key] = fact
	}
	global := map[string]any{
		"enabledModules": []any{"cert-manager"}, "highAvailability": nil, "publicDomainTemplate": "", "images": map[string]any{"registry": ""},
		"discoveryOverride": map[string]any{"cloud": map[string]any{"provider": "none"}}, "discovery": discovery,
	}
	if bad := violations(schema, global); bad != "" {
		t.Error(bad)
	}
	properties := schema.Properties["discovery"].Properties
	for key := range properties {
		if _, ok := discovery[key]; !ok {
			t.Errorf("global.discovery.%s is in the schema, but no hook states it", key)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	config, values := sectionSchema(t, "openapi/config-values.yaml"), sectionSchema(t, "openapi/values.yaml")
	tests := map[string]struct {
		schema      *spec.Schema
		value, want string
	}{
		"an empty section is fine":                 {config, `{}`, ""},
		"a port and a path of a registry are fine": {config, `{images: {registry: "registry.example.com:5000/mirror"}}`, ""},
		"high availability may be null":            {config, `{highAvailability: null}`, ""},
		"a template around the name is fine":       {config, `{publicDomainTemplate: "kube-%s.example.com"}`, ""},
		"an override is free":                      {config, `{discoveryOverride: {cloud: {provider: none}, other: [1]}}`, ""},
		"facts written by the user":                {config, `{discovery: {}}`, "discovery"},
		"enabled modules written by the user":      {config, `{enabledModules: [a]}`, "enabledModules"},
		"a template without a place for the name":  {config, `{publicDomainTemplate: example.com}`, "publicDomainTemplate"},
		"a registry that is a URL":                 {config, `{images: {registry: "https://registry.example.com"}}`, "images.registry"},
		"half a fact":                              {values, `{discovery: {cloud: {provider: aws}}}`, "region"},
		"a fact of no hook":                        {values, `{discovery: {weather: {}}}`, "weather"},
		"a version with v":                         {values, `{discovery: {kubernetes: {version: v1.36.3, distribution: eks}}}`, "version"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := violations(test.schema, fromYAML(t, test.value))
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("violations are %q, want %q among them", got, test.want)
			}
		})
	}
}
