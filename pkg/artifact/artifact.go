// Package artifact is a module, or the global hooks, as one OCI artifact: what its layers
// hold, how a directory becomes layers, and how layers of strangers become files again.
//
// A module's artifact is a Helm chart in OCI form (https://helm.sh/docs/topics/registries/)
// with two layers more, which Helm passes over:
//
//	config  application/vnd.cncf.helm.config.v1+json                    the fields of Chart.yaml
//	layer   application/vnd.cncf.helm.chart.content.v1.tar+gzip         the chart, libraries vendored
//	layer   application/vnd.addon-operator.module.v1+json               Meta
//	layer   application/vnd.addon-operator.files.v1.tar+gzip            everything else of the directory
//
// Packing the same directory gives the same bytes, and so the same digest, on every machine.
// Unpacking trusts nothing: sizes are bounded before bytes are read, and a name that leaves
// the directory, a link, a device or a file twice is an error that names it.
package artifact

import "github.com/addon-operator/addon-operator/pkg/module"

// Media types of the parts of an artifact.
const (
	HelmConfigType = "application/vnd.cncf.helm.config.v1+json"
	ChartType      = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	MetaType       = "application/vnd.addon-operator.module.v1+json"
	FilesType      = "application/vnd.addon-operator.files.v1.tar+gzip"
)

// GlobalName is the name of the artifact of a folder of global hooks; no module may have it.
const GlobalName = "global"

// Meta is the layer of MetaType: what must be known of a version before it is unpacked.
type Meta struct {
	// Name is the module's kebab-case name, or GlobalName.
	Name    string `json:"name"`
	Version string `json:"version"` // semver 2.0.0
	Weight  int    `json:"weight"`
	// Requires is what must hold before this version may be applied.
	Requires Requires `json:"requires,omitzero"`
	// UpgradeFrom is a semver range of versions that may be upgraded to this one
	// directly; empty accepts any. Others walk the path of the channel document.
	UpgradeFrom string `json:"upgradeFrom,omitempty"`
	// Rollback is "safe" (the default) or "unsafe": then a failure stops and waits for a human.
	Rollback string `json:"rollback,omitempty"`
	// Disruptive versions are not applied by update mode AutoPatch, nor at a time outside of windows
	// even when urgent.
	Disruptive bool     `json:"disruptive,omitempty"`
	Provides   Provides `json:"provides,omitzero"`
	// Images are the container images of the chart by digest, as name@sha256:…; a bundle carries them.
	Images []string `json:"images,omitempty"`
	// NoChart: Chart.yaml was made for Helm's sake, the module has none.
	NoChart bool `json:"noChart,omitempty"`
}

// Requires is what a version needs. Ranges are semver ranges as of github.com/Masterminds/semver.
type Requires struct {
	Kubernetes string               `json:"kubernetes,omitempty"`
	Operator   string               `json:"operator,omitempty"`
	Modules    []module.Requirement `json:"modules,omitempty"`
	// Facts are dotted paths that must exist in the global values, as global.discovery.cloud.zones.
	Facts []string `json:"facts,omitempty"`
}

// Provides is what a version brings to the cluster.
type Provides struct {
	// CRDs are their names, as certificates.cert-manager.io.
	CRDs []string `json:"crds,omitempty"`
}

// Unsafe says that the version must not be rolled back by itself.
func (m Meta) Unsafe() bool { return m.Rollback == rollbackUnsafe }

// Artifact is a packed module in memory.
type Artifact struct {
	Meta Meta
	// Config is JSON; Chart and Files are gzipped tar archives.
	Config, Chart, Files []byte
}
