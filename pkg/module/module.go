// Package module is a module as it lies in its directory (section 8.1 of the
// contract), read into a Descriptor that does not change.
package module

import (
	"time"

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
	// HooksDigest covers the files that hooks may use: all but those of the chart, the
	// schemas and the definition; "" without hooks, hex SHA-256.
	HooksDigest string
	// EnabledScript is the absolute path of an executable `enabled` file, "" without one (C-336).
	EnabledScript string
	CRDs          []CRD
	Schemas       schema.Set
	// Health are the module's own checks, beside the readiness of its objects.
	Health []HealthCheck
	// Drift are fields of the release's objects that others may change.
	Drift []DriftRule
	// Adopt says what becomes of objects that are there before the release is.
	Adopt Adoption
	// OnFailure says what follows a failed upgrade.
	OnFailure FailurePolicy
	// Release is what is told of this version when it is published.
	Release Release
	// Origin is where its files come from; the zero value is the modules directories.
	Origin Origin
	// Warnings are things the author should mend that do not stop the module.
	Warnings []string
}

// Origin is the artifact that a module was unpacked from.
type Origin struct {
	// Source is the name of the ModuleSource, Channel the one that was followed.
	Source, Channel string
	// Artifact is the manifest digest, sha256:<64 hex>.
	Artifact string
	// ServiceAccount, in the operator's namespace, is who Helm and the module's hooks act as; "" is the operator.
	ServiceAccount string
}

// Requirement is one entry of module.yaml's requires. Which modules are on a
// cycle of requirements, Cycles tells.
type Requirement struct {
	Module string `json:"module"`
	// Version is a semver range such as ">=1.2"; empty accepts any.
	Version string `json:"version,omitempty"`
}

// HealthCheck is one entry of module.yaml's health. Exactly one of CEL, HTTP and Hook is set.
type HealthCheck struct {
	// Name is shown in status.
	Name string
	// Objects choose what CEL looks at: every object of the release with this group, kind and, if set, name.
	Group, Kind, ObjectName string
	// CEL is an expression over `object` that answers bool (https://cel.dev). An object for which it
	// is false, or fails, is not healthy.
	CEL string
	// HTTP is a URL that must answer 2xx; NamespaceVariable in it is the namespace of the module's objects.
	HTTP string
	// Hook is the path of an executable below the module's directory. It is run with binding context
	// "health" and exits 0 when healthy. It is no hook otherwise, also when it lies in hooks/.
	Hook string
	// Interval is the time between two looks of HTTP and Hook; Timeout bounds one.
	Interval, Timeout time.Duration
}

// DriftRule is one entry of module.yaml's drift.ignore: fields that are not repaired.
type DriftRule struct {
	// Group, Kind and ObjectName choose objects; an empty name means all of the kind.
	Group, Kind, ObjectName string
	// Paths are JSON pointers (RFC 6901) into the object, "*" standing for any one element.
	Paths []string
}

// Adoption is a policy for objects that exist before the first install (module.yaml: adopt).
type Adoption string

const (
	// AdoptUnowned, the default, takes objects over that no release and no controller owns.
	AdoptUnowned Adoption = ""
	// AdoptNever refuses to install over any object that exists.
	AdoptNever Adoption = "never"
	// AdoptAlways takes over what other releases own as well.
	AdoptAlways Adoption = "always"
)

// FailurePolicy is what follows an upgrade that failed (module.yaml: onFailure).
type FailurePolicy string

const (
	// KeepFailed, the default, leaves what was applied and tries again.
	KeepFailed FailurePolicy = ""
	// RollBack applies the last deployed revision with the values it had, and tries again on a change of inputs.
	RollBack FailurePolicy = "rollback"
)

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
	// GlobalDigest covers the two, GlobalHooksDigest the files of global hooks; hex SHA-256.
	GlobalDigest, GlobalHooksDigest string
	// GlobalHooksDir is the absolute path of the folder of global hooks in force, GlobalHooks that of the hooks
	// themselves (GlobalHooks of it), GlobalOrigin where they come from.
	GlobalHooksDir, GlobalHooks string
	GlobalOrigin                Origin
	// Libraries are the absolute paths of library charts that modules depend on.
	Libraries []string
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
