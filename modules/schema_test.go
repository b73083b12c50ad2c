package modules_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// Strict decoding is what an API server does with fieldValidation=Strict: unknown and doubled fields are errors.
func TestObjectsHaveNoFieldsThatTheirKindsDoNot(t *testing.T) {
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Strict: true})
	custom := loadCRDs(t)
	forEachCase(t, func(t *testing.T, c testCase) {
		for _, o := range c.objects(t) {
			if kind, ok := custom[str(o, "apiVersion")+"/"+o.kind()]; ok {
				kind.check(t, o)
				continue
			}
			text, err := yaml.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if text, err = yaml.YAMLToJSON(text); err != nil {
				t.Fatal(err)
			}
			if _, _, err := strict.Decode(text, nil, nil); err != nil {
				t.Errorf("%s: %v", o, err)
			}
		}
	})
}

// customKind is the schema of a version of a CRD.
type customKind struct {
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
}

func (k customKind) check(t *testing.T, o object) {
	t.Helper()
	for _, err := range validation.ValidateCustomResource(nil, map[string]any(o), k.validator) {
		t.Errorf("%s: %v", o, err)
	}
	options := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(clone(map[string]any(o)), k.structural, true, options) {
		t.Errorf("%s: unknown field %s", o, path)
	}
}

// loadCRDs returns the schemas of all modules' CRDs by "<apiVersion>/<kind>".
func loadCRDs(t *testing.T) map[string]customKind {
	t.Helper()
	files, err := filepath.Glob("*/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]customKind{}
	for _, file := range files {
		var def apiextensionsv1.CustomResourceDefinition
		readYAML(t, file, &def)
		for _, version := range def.Spec.Versions {
			kinds[def.Spec.Group+"/"+version.Name+"/"+def.Spec.Names.Kind] = newCustomKind(t, file, version.Schema)
		}
	}
	return kinds
}

func newCustomKind(t *testing.T, file string, in *apiextensionsv1.CustomResourceValidation) customKind {
	t.Helper()
	var out apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(in, &out, nil); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	structural, err := structuralschema.NewStructural(out.OpenAPIV3Schema)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	validator, _, err := validation.NewSchemaValidator(out.OpenAPIV3Schema)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return customKind{structural: structural, validator: validator}
}

func TestTheCRDsOfCertManagerAreOfTheVersionThatRuns(t *testing.T) {
	requirement := regexp.MustCompile(`github\.com/cert-manager/cert-manager (v\S+)`)
	text, err := os.ReadFile("101-cert-manager/gen/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	match := requirement.FindSubmatch(text)
	if match == nil {
		t.Fatal("gen/go.mod does not require cert-manager")
	}
	var chart struct{ AppVersion string }
	readYAML(t, "101-cert-manager/Chart.yaml", &chart)
	if chart.AppVersion != string(match[1]) {
		t.Errorf("Chart.yaml appVersion is %s, the CRDs are generated from %s", chart.AppVersion, match[1])
	}
}

func TestCRDsCarryNoDescriptions(t *testing.T) {
	files, err := filepath.Glob("*/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(" description: ")) {
			t.Errorf("%s has descriptions", strings.TrimPrefix(file, "./"))
		}
	}
}
