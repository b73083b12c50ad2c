package module

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// errUnreadable marks a module directory that is empty or cannot be read, as
// when a volume is not mounted: what it would say is unknown.
var errUnreadable = errors.New("directory cannot be read")

// defaultVersion is the version of a module that states none.
const defaultVersion = "0.0.0"

// readModule reads one module's directory into a Descriptor.
func readModule(c candidate, opts LoadOptions, libs *libraries) (*Descriptor, error) {
	m := &Descriptor{Name: c.name, Key: values.Key(c.name), Dir: c.dir}
	tree, err := readTree(c.dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if len(tree.files) == 0 {
		return nil, fmt.Errorf("%w: %s is empty; put a chart, hooks or values there, or remove it", errUnreadable, c.dir)
	}
	m.Warnings = append(m.Warnings, tree.warnings...)
	chart, err := readChart(filepath.Join(c.dir, chartFile))
	if err != nil {
		return nil, err
	}
	if m.Digest, err = libs.digest(tree, chart); err != nil {
		return nil, err
	}
	if err := readDefinition(m, c, chart, opts); err != nil {
		return nil, err
	}
	if opts.Strict && !tree.has(valuesFile) {
		return nil, fmt.Errorf("%s: expected a values.yaml with the key %s, for strict checks are on", c.dir, m.Key)
	}
	m.Static, err = ownStatic(c, m.Key, filepath.Join(c.dir, valuesFile), tree.has(valuesFile), m)
	if err != nil {
		return nil, err
	}
	m.layout(tree)
	if m.HooksDir != "" {
		if m.HooksDigest, err = tree.sum(ofHooks); err != nil {
			return nil, err
		}
	}
	if m.Schemas, err = readSchemas(filepath.Join(c.dir, "openapi")); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(c.dir, "openapi"), err)
	}
	for _, w := range m.Schemas.Warnings {
		m.warn("openapi/%s", w)
	}
	m.CRDs, err = readCRDs(m, tree, opts.CRDFilterPrefixes)
	return m, err
}

// layout notes which parts the module has (C-286, C-336).
func (d *Descriptor) layout(t *tree) {
	d.HasChart = t.has(chartFile) || isDir(filepath.Join(d.Dir, "templates"))
	if hooks := filepath.Join(d.Dir, "hooks"); isDir(hooks) {
		d.HooksDir = hooks
	}
	script, ok := t.files["enabled"]
	switch {
	case !ok && isDir(filepath.Join(d.Dir, "enabled")):
		d.warn("enabled is a directory and is ignored: expected an executable file")
	case ok && !script.exec:
		d.warn("enabled is not executable and is ignored, as if the module had none; chmod +x it")
	case ok:
		d.EnabledScript = filepath.Join(d.Dir, "enabled")
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// readCRDs reads the documents of crds/**/*.yaml in the order of the paths (C-345, C-346).
func readCRDs(m *Descriptor, t *tree, skip []string) ([]CRD, error) {
	var out []CRD
	for _, rel := range t.sorted() {
		base := filepath.Base(rel)
		filtered := slices.ContainsFunc(skip, func(p string) bool { return strings.HasPrefix(base, p) })
		if !strings.HasPrefix(rel, "crds/") || filtered {
			continue
		}
		if !strings.HasSuffix(base, ".yaml") {
			m.warn("%s is not read: expected a name that ends in .yaml", rel)
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, rel))
		if err != nil {
			return nil, err
		}
		docs, err := parseCRDs(rel, text)
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	seen := map[string]string{}
	for _, crd := range out {
		if first, ok := seen[crd.Name]; ok {
			return nil, fmt.Errorf("%s: CustomResourceDefinition %s is already in %s; keep one", crd.File, crd.Name, first)
		}
		seen[crd.Name] = crd.File
	}
	return out, nil
}

// parseCRDs splits a file into documents, each of which must be a
// CustomResourceDefinition of apiextensions.k8s.io/v1 (C-346).
func parseCRDs(file string, text []byte) ([]CRD, error) {
	var out []CRD
	docs, err := splitDocuments(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i, doc := range docs {
		v, err := values.DecodeYAML(doc)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: expected YAML: %w", file, i+1, err)
		}
		if v == nil {
			continue
		}
		crd, err := asCRD(file, v)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", file, i+1, err)
		}
		out = append(out, crd)
	}
	return out, nil
}

func asCRD(file string, v any) (CRD, error) {
	apiVersion, _ := values.Get(v, "apiVersion")
	kind, _ := values.Get(v, "kind")
	if apiVersion != "apiextensions.k8s.io/v1" || kind != "CustomResourceDefinition" {
		return CRD{}, fmt.Errorf("expected a CustomResourceDefinition of apiextensions.k8s.io/v1, got kind %v of %v;"+
			" move it out of crds/ or prefix the file name with _", kind, apiVersion)
	}
	name, _ := values.Get(v, "metadata", "name")
	s, _ := name.(string)
	if s == "" {
		return CRD{}, errors.New("CustomResourceDefinition without metadata.name")
	}
	text, err := json.Marshal(v)
	if err != nil {
		return CRD{}, err
	}
	return CRD{File: file, Name: s, Text: text}, nil
}

func splitDocuments(text []byte) ([][]byte, error) {
	r := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var out [][]byte
	for {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, doc)
	}
}
