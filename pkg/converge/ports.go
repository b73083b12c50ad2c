package converge

import (
	"context"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Executables runs the files of hooks directories.
type Executables interface {
	hookrun.Executables
	// Enabled runs a module's enabled script (C-337).
	Enabled(ctx context.Context, m *module.Descriptor, values, config []byte) (on bool, reason string, err error)
}

// Webhooks answers reviews of the API server and tells it of the webhooks.
type Webhooks interface {
	hookrun.Webhooks
	// Keep withdraws what earlier processes registered for owners that are not in the list.
	Keep(ctx context.Context, owners []hook.Owner) error
}

// Objects performs object operations of hooks, in order; all are attempted and the errors joined (C-206).
type Objects interface {
	// Execute acts as a ServiceAccount of the operator's namespace; "" is the operator itself.
	Execute(ctx context.Context, account string, ops []hook.Operation) error
}

// Installer acts on Helm releases. Calls for different modules may run at once.
type Installer interface {
	List(ctx context.Context) ([]installed.Release, error)
	Observe(ctx context.Context, name string) (installed.Release, error)
	InputDigest(ctx context.Context, m *module.Descriptor, namespace string, v values.Snapshot) (string, error)
	Render(ctx context.Context, req installed.Request) (installed.Rendered, error)
	// Preflight asks the API server by dry runs what it would refuse of a render.
	Preflight(ctx context.Context, req installed.Request, r installed.Rendered) error
	Install(ctx context.Context, req installed.Request, r installed.Rendered) (installed.Result, error)
	Upgrade(ctx context.Context, req installed.Request, r installed.Rendered) (installed.Result, error)
	Recover(ctx context.Context, name string) error
	Repair(ctx context.Context, name string, objs []object.Ref) (installed.Result, error)
	// Rollback goes back to the last deployed revision after an upgrade to the rejected input digest failed.
	Rollback(ctx context.Context, name, rejected, because string) (installed.Result, error)
	// RejectedBecause reads why the newest revision turned its rejected digest down.
	RejectedBecause(ctx context.Context, name string) (string, error)
	// Uninstall deletes the objects; the record stays, uninstalling, until Forget.
	Uninstall(ctx context.Context, name string) (installed.Result, error)
	Forget(ctx context.Context, name string) error
	Objects(ctx context.Context, name string) ([]installed.Manifested, error)
}

// Tracker follows the objects of releases by watches. It wakes their module
// through the callback it was made with.
type Tracker interface {
	// Configure sets health checks by expression and fields left to others; the same again does nothing.
	Configure(module string, checks []module.HealthCheck, ignore []module.DriftRule)
	// Hold says that an action on these objects begins; Track or Release ends it.
	Hold(module string, objs []object.Ref)
	Track(module string, objs []installed.Manifested)
	Release(module string)
	Forget(module string)
	// AwaitGone follows objects that are being removed until none is left.
	AwaitGone(module string, objs []object.Ref)
	Health(module string) []object.Health
	Drift(module string) []object.Drift
}

// Prober makes health checks by HTTP and hook. It wakes their module through the
// callback it was made with.
type Prober interface {
	// Configure sets the checks of a module; the same again does nothing.
	Configure(module string, checks []module.HealthCheck)
	// Renew has no results until everything was looked at again, which is at once.
	Renew(module string)
	Forget(module string)
	Results(module string) []status.Check
}

// Cluster prepares the ground for releases.
type Cluster interface {
	// EnsureCRDs applies the CRDs of a module, as the account of its origin.
	EnsureCRDs(ctx context.Context, m *module.Descriptor, labels map[string]string) error
	// CheckCRDs says what EnsureCRDs would be refused, and writes nothing.
	CheckCRDs(ctx context.Context, m *module.Descriptor, labels map[string]string) error
	EnsureNamespace(ctx context.Context, name, podSecurity, instance string) error
	RemoveNamespace(ctx context.Context, name, instance string) (removed bool, why string, err error)
}

// Settings writes config patches of hooks into the user's ConfigMap (C-327).
type Settings interface {
	Patch(ctx context.Context, section string, ops []values.Op) (settings.Settings, error)
}

// FactsKeeper keeps facts over restarts.
type FactsKeeper interface {
	SaveFacts(ctx context.Context, f settings.Facts) error
}

// Reporter shows people what happens. Calls return at once.
type Reporter interface {
	Report(m status.Module)
	// Event tells of something that happened to a module, or to the whole when module is "".
	Event(module string, warning bool, reason, message string)
}

// Meter counts and measures.
type Meter interface {
	// Samples publishes metrics of a hook (C-220); an error names a sample that cannot be.
	Samples(id hook.ID, samples []hook.Sample) error
	// Forget drops the metrics of an owner's hooks.
	Forget(owner hook.Owner)
	HookRun(r hookrun.Run)
	// Bindings is told how many bindings a loaded hook has.
	Bindings(id hook.ID, n int)
	// Compacted is told when tasks of a hook were brought together in a long lane (C-169).
	Compacted(lane string, id hook.ID)
	// QueueAction is told how long an action on a lane took (C-501).
	QueueAction(lane, action string, took time.Duration)
	ModuleRun(r ModuleRun)
	// HelmOperation is told how long a part of Helm's work took: template, check-upgrade or upgrade (C-508).
	HelmOperation(module, activation, operation string, took time.Duration)
	// ModuleDeleteFailed is told of a removal that failed and is tried again.
	ModuleDeleteFailed(module string)
	// DiscoverFailed is told that the decision about a module, or the reading of modules, failed.
	DiscoverFailed()
	// Converged is told that a convergence ended, and what it began with (C-511).
	Converged(activation string, took time.Duration)
	// MonitorMissing is told of a snapshot asked of a binding that is not watched.
	MonitorMissing(binding string)
	// ResourceAbsent is told of an object of a release that was deleted and is brought back (C-445).
	ResourceAbsent(module, resource string)
}

// ModuleRun is one finished pass of a module.
type ModuleRun struct {
	Module     string
	Activation string
	Took       time.Duration
	Helm       time.Duration
	Action     string
	Failed     bool
}
