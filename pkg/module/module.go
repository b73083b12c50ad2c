// Package module is a module as it lies in its directory (section 8.1 of the
// contract), read into a Descriptor that does not change.
package module

import (
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Descriptor is everything the operator knows of a module before it runs.
type Descriptor struct {
	// Name is the kebab-case name, Key its camelCase values key (C-281, C-290).
	Name string
	Key  string
	// Weight is the numeric prefix of the directory, or UnnumberedWeight (C-281).
	Weight int
	// Dir is the absolute path of the module's directory.
	Dir string
	// Digest covers every file of the module and of the library charts it depends on; hex SHA-256.
	Digest string
	// Version is module.yaml's, else Chart.yaml's, else "0.0.0".
	Version     string
	Description string
	// Namespace holds the module's objects; empty means the operator's own.
	Namespace string
	// PodSecurity is the "enforce" level for a namespace that the operator makes: privileged, baseline or restricted.
	PodSecurity string
	Requires    []Requirement
	// Wants names modules whose exports this one sees if they are on.
	Wants []string
	// Inputs are dotted paths of `global` below "global." that the module reads; nil means all of it.
	Inputs []string
	// Exports are dotted paths of the module's section shown to modules that require or want it.
	Exports []string
	// Static is the module's section of values.yaml: the common file's, overlaid by its own (C-295).
	Static values.Map
	// StaticEnabled is `<camel>Enabled` of the common values file, nil when absent (C-295).
	StaticEnabled *bool
	// HasChart: it has a Chart.yaml or a templates directory (C-286).
	HasChart bool
	// HooksDir is the absolute path of its hooks directory, "" without one.
	HooksDir string
	// EnabledScript is the absolute path of an executable `enabled` file, "" without one (C-336).
	EnabledScript string
	CRDs          []CRD
	Schemas       schema.Set
	// Warnings are things the author should mend that do not stop the module.
	Warnings []string
}

// Requirement is one entry of module.yaml's requires. Which modules are on a
// cycle of requirements, Cycles tells.
type Requirement struct {
	Module string
	// Version is a semver range such as ">=1.2"; empty accepts any.
	Version string
}

// CRD is one CustomResourceDefinition document of the module's crds directory (C-345, C-346).
type CRD struct {
	// File is the path below the module's directory.
	File string
	// Name is metadata.name.
	Name string
	// Text is the document as JSON.
	Text []byte
}

// Set is all modules of a process, ordered by weight and name (C-284), and the
// global static values (C-295).
type Set struct {
	Modules      []*Descriptor
	GlobalStatic values.Map
	GlobalSchema schema.Set
	// Broken are module directories that could not be read, by module name: their
	// releases are left alone.
	Broken map[string]error
	// Incomplete is true when a directory could not be read or was empty: nothing may be purged then.
	Incomplete bool
	// Warnings are things that concern no single module: skipped entries, keys nobody reads.
	Warnings []string
}

// Get returns the module of that name, or nil.
func (s *Set) Get(name string) *Descriptor {
	for _, m := range s.Modules {
		if m.Name == name {
			return m
		}
	}
	return nil
}
