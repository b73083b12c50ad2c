// Command gen writes the CustomResourceDefinitions of cert-manager into ../crds, out of cert-manager's published Go API types.
// The version is the one of the requirement in go.mod; descriptions are left out, which makes the files ten times smaller.
//
//	go -C modules/101-cert-manager/gen run .          # write
//	go -C modules/101-cert-manager/gen run . -verify  # exit 1 and name the files that differ
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	// The packages whose types are read, imported so that go.mod pins them.
	_ "github.com/cert-manager/cert-manager/pkg/apis/acme/v1"
	_ "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"golang.org/x/tools/go/packages"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-tools/pkg/crd"
	"sigs.k8s.io/controller-tools/pkg/genall"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
	"sigs.k8s.io/yaml"
)

const header = "# Generated from cert-manager's Go API types by modules/101-cert-manager/gen. Do not edit.\n"

func main() {
	dir := flag.String("dir", "../crds", "directory of the CRD files")
	verify := flag.Bool("verify", false, "compare instead of writing")
	flag.Parse()
	if err := run(*dir, *verify); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(dir string, verify bool) error {
	files, err := generate(
		"github.com/cert-manager/cert-manager/pkg/apis/acme/v1",
		"github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1",
	)
	if err != nil {
		return err
	}
	if verify {
		return compare(dir, files)
	}
	return write(dir, files)
}

// memory collects what a generator writes, by file name.
type memory map[string]*bytes.Buffer

// Open implements genall.OutputRule.
func (m memory) Open(_ *loader.Package, path string) (io.WriteCloser, error) {
	buf := &bytes.Buffer{}
	m[path] = buf
	return nopCloser{buf}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// generate returns the CRDs of the packages as YAML by file name.
func generate(paths ...string) (map[string][]byte, error) {
	noDescriptions := 0
	gen := crd.Generator{MaxDescLen: &noDescriptions}
	roots, err := loader.LoadRoots(paths...)
	if err != nil {
		return nil, fmt.Errorf("loading API packages: %w", err)
	}
	out := memory{}
	ctx := &genall.GenerationContext{
		Collector:  &markers.Collector{Registry: &markers.Registry{}},
		Roots:      roots,
		Checker:    &loader.TypeChecker{NodeFilters: []loader.NodeFilter{gen.CheckFilter()}},
		OutputRule: out,
	}
	if err := gen.RegisterMarkers(ctx.Collector.Registry); err != nil {
		return nil, fmt.Errorf("registering markers: %w", err)
	}
	if err := gen.Generate(ctx); err != nil {
		return nil, fmt.Errorf("generating CRDs: %w", err)
	}
	// Type errors are expected: the loader reads only what the schemas need.
	if loader.PrintErrors(roots, packages.TypeError) {
		return nil, errors.New("the API packages have errors, see above")
	}
	return clean(out)
}

// clean drops what depends on the generator and not on the types.
func clean(out memory) (map[string][]byte, error) {
	files := make(map[string][]byte, len(out))
	for path, buf := range out {
		var def apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(buf.Bytes(), &def); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		def.Annotations = nil
		for i := range def.Spec.Versions {
			for j := range def.Spec.Versions[i].AdditionalPrinterColumns {
				def.Spec.Versions[i].AdditionalPrinterColumns[j].Description = ""
			}
		}
		text, err := marshal(def)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files[filepath.Base(path)] = append([]byte(header), text...)
	}
	return files, nil
}

// marshal leaves out the empty status, which is the API server's.
func marshal(def apiextensionsv1.CustomResourceDefinition) ([]byte, error) {
	text, err := yaml.Marshal(def)
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	delete(doc, "status")
	return yaml.Marshal(doc)
}

func write(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	stale, err := existing(dir)
	if err != nil {
		return err
	}
	for name, text := range files {
		delete(stale, name)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	for name := range stale {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func compare(dir string, files map[string][]byte) error {
	found, err := existing(dir)
	if err != nil {
		return err
	}
	var differ []string
	for name, text := range files {
		if !bytes.Equal(found[name], text) {
			differ = append(differ, name)
		}
		delete(found, name)
	}
	for name := range found {
		differ = append(differ, name)
	}
	if len(differ) == 0 {
		return nil
	}
	sort.Strings(differ)
	return fmt.Errorf("%s: not what the API types say: %s; run without -verify", dir, strings.Join(differ, ", "))
}

// existing returns the files in dir by name.
func existing(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(entries))
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		files[entry.Name()] = text
	}
	return files, nil
}
