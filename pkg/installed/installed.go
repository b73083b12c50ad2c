// Package installed describes what the cluster holds of a module: the Helm
// release, its rendered objects and their digests. Helm's own types stay in pkg/helm.
package installed

import (
	"errors"
	"fmt"
	"time"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// ErrTerminating: the namespace is being deleted, and nothing can be made in it until it is gone.
var ErrTerminating = errors.New("is being deleted")

// Status is a Helm release status (https://pkg.go.dev/helm.sh/helm/v3/pkg/release#Status).
type Status string

const (
	Deployed        Status = "deployed"
	Failed          Status = "failed"
	Superseded      Status = "superseded"
	Uninstalling    Status = "uninstalling"
	PendingInstall  Status = "pending-install"
	PendingUpgrade  Status = "pending-upgrade"
	PendingRollback Status = "pending-rollback"
)

// Pending reports whether a Helm action was under way when it was written.
func (s Status) Pending() bool {
	return s == PendingInstall || s == PendingUpgrade || s == PendingRollback
}

// Release is the newest revision of a module's release. The zero value means
// that there is none.
type Release struct {
	Name     string
	Revision int
	Status   Status
	Updated  time.Time
	// Instance is the label addon-operator.io/instance: <namespace>.<configmap> of the operator that made it.
	Instance string
	// InputDigest and RenderDigest are labels of ours, "v1.<40 hex digits>"; empty when another tool made the release.
	InputDigest  string
	RenderDigest string
	// PredecessorChecksum is the label moduleChecksum (C-435).
	PredecessorChecksum string
	// Rejected is the input digest of an upgrade that failed and that this revision rolled back;
	// RejectedBecause is why it failed, where it is known. Empty when the revision is no rollback of ours.
	Rejected, RejectedBecause string
	// Account is the ServiceAccount of the operator's namespace that the revision was applied as, "" for the operator.
	Account string
	// Labels are all labels of the release record that are not Helm's own.
	Labels map[string]string
}

// LabelMaintenance marks a release and its objects, while their module is in maintenance
// (C-355): "true" on the release, without a value on the objects.
const LabelMaintenance = "maintenance.deckhouse.io/no-resource-reconciliation"

// LabelRemoved marks the record of a release whose objects an uninstall has deleted,
// while what follows, such as afterDeleteHelm hooks, has not ended.
const LabelRemoved = "addon-operator.io/objects-deleted"

// Removed reports whether an uninstall has deleted the release's objects and has yet to
// finish what follows.
func (r Release) Removed() bool { return r.Status == Uninstalling && r.Labels[LabelRemoved] != "" }

// Exists reports whether there is a release at all.
func (r Release) Exists() bool { return r.Revision > 0 }

// Rendered is the result of rendering a module's chart once.
type Rendered struct {
	// Manifest is the text of all objects that are not chart hooks, post-rendered.
	Manifest string
	// Hooks is the text of the chart hooks (annotation helm.sh/hook, C-441), post-rendered.
	Hooks string
	// Objects are those of Manifest, namespaces filled in.
	Objects []object.Ref
	// InputDigest and RenderDigest are as in Release.
	InputDigest  string
	RenderDigest string
	// ReadsCluster: a template called lookup, or used Capabilities.APIVersions.
	ReadsCluster bool
	// Warnings are field-validation messages of the API server.
	Warnings []string
}

// Manifested is an applied object: what the manifest sets and what the API server
// answered, both as compact JSON.
type Manifested struct {
	object.Ref
	Manifest []byte
	Live     []byte // nil when not known
	// Ignored objects do not count for readiness: chart hooks, TTL objects.
	Ignored bool
}

// Request is everything that decides the outcome of rendering and applying.
type Request struct {
	Module *module.Descriptor
	// Namespace is where the module's objects live.
	Namespace string
	// Values is {"global":…,"<camel>":…,"modules":…}.
	Values values.Snapshot
	// InputDigest is what Installer.InputDigest answered for these. Rendered has the one that
	// counts: what lookup reads is known only after the render.
	InputDigest string
	// Maintenance marks what is applied with LabelMaintenance.
	Maintenance bool
}

// Result is the outcome of an action on a release.
type Result struct {
	Release Release
	// Objects are all objects of the release with what the API server answered.
	Objects []Manifested
	// Kept are objects that an uninstall left in place (resource-policy keep).
	Kept []object.Ref
	// Warnings are field-validation messages of the API server about what was written.
	Warnings []string
}

// RolledBack is the error of an upgrade that failed and that was undone: the last deployed
// revision is in force again. These inputs are not to be tried again.
type RolledBack struct {
	// Failed is the revision that failed, To the one that was applied again.
	Failed, To int
	// Digest is the input digest of the failed revision.
	Digest string
	Cause  error
}

func (e *RolledBack) Error() string {
	return fmt.Sprintf("revision %d failed and was rolled back to revision %d: %v", e.Failed, e.To, e.Cause)
}

// Unwrap is the failure of the upgrade.
func (e *RolledBack) Unwrap() error { return e.Cause }

// Compared is one object as it is, and as applying a render would make it; both as JSON.
type Compared struct {
	object.Ref
	// Live is nil when the object is absent, Then when it would be removed.
	Live, Then []byte
	// Note is what stands in the way.
	Note string
}
