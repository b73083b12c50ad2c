package hook

import (
	"context"
	"errors"
	"fmt"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Owner is what a hook belongs to: a module by name, the global section when
// Module is empty, or nothing but its folder (Standalone).
type Owner struct {
	Module     string
	standalone bool
}

// Global is the owner of global hooks.
var Global = Owner{}

// Standalone is the owner of all hooks where there are no modules and no values
// (hooks-only mode).
var Standalone = Owner{standalone: true}

// IsGlobal reports whether the owner is the global section.
func (o Owner) IsGlobal() bool { return o == Global }

// IsStandalone reports whether the owner is a folder of hooks without modules.
func (o Owner) IsStandalone() bool { return o.standalone }

// String is the module's name, "global", or "hooks" for a folder of hooks.
func (o Owner) String() string {
	switch {
	case o.standalone:
		return "hooks"
	case o.IsGlobal():
		return "global"
	}
	return o.Module
}

// Section is the values key of the owner: camelCase module name, "global", or
// empty without values.
func (o Owner) Section() string {
	switch {
	case o.standalone:
		return ""
	case o.IsGlobal():
		return "global"
	}
	return values.Key(o.Module)
}

// ID names a hook: its owner and its path from the hooks directory on, such as
// "hooks/010-nodes.sh" (C-009); of a folder of hooks the path below it (C-006).
type ID struct {
	Owner Owner
	Name  string
}

// String is owner/name, unique in the process.
func (id ID) String() string { return id.Owner.String() + "/" + id.Name }

// Place is where an owner's hooks lie, and who they act as.
type Place struct {
	// Dir is the hooks directory, "" without one.
	Dir string
	// Account is a ServiceAccount of the operator's namespace; "" is the operator itself.
	Account string
}

// Hook is an executable with its parsed configuration.
type Hook struct {
	ID
	// Account is the ServiceAccount of the operator's namespace that its process, its object operations and
	// the watches of its bindings act as; "" is the operator itself.
	Account string
	// Path is the absolute path of the executable.
	Path string
	// Digest is the SHA-256 of the executable in hex; facts it wrote carry it.
	Digest string
	Spec   Spec
}

// Spec is what a hook's --config declares (C-030 … C-074).
type Spec struct {
	// Version is "v0" or "v1".
	Version string
	// Timeout bounds one run; 0 means the operator's default. Key settings.timeout.
	Timeout time.Duration
	// MinInterval and Burst limit how often Event and Schedule runs start (C-188). 0 means no limit.
	MinInterval time.Duration
	Burst       int
	// Orders maps each of OnStartup, BeforeAll … that the hook declared to its order (C-032, C-036).
	Orders     map[Binding]float64
	Schedules  []Schedule
	Kubernetes []Kubernetes
	// Admissions are the kubernetesValidating and kubernetesMutating bindings.
	Admissions []Admission
	// Conversions are the kubernetesCustomResourceConversion bindings.
	Conversions []Conversion
	// Warnings are things that the hook says and nobody heeds, for its author.
	Warnings []string
}

// Bindings is how many bindings the hook declared.
func (s Spec) Bindings() int {
	return len(s.Orders) + len(s.Schedules) + len(s.Kubernetes) + len(s.Admissions) + len(s.Conversions)
}

// Binding is a moment in the life of an owner at which hooks run by order.
type Binding string

const (
	OnStartup        Binding = "onStartup"
	BeforeAll        Binding = "beforeAll"
	AfterAll         Binding = "afterAll"
	BeforeHelm       Binding = "beforeHelm"
	AfterHelm        Binding = "afterHelm"
	BeforeDeleteHelm Binding = "beforeDeleteHelm"
	AfterDeleteHelm  Binding = "afterDeleteHelm"
)

// Route says where runs of an event binding queue and what their context holds.
type Route struct {
	// Name is the binding name; the kind of binding when the hook gave none.
	Name string
	// Queue is the lane, "main" by default (C-184).
	Queue string
	// Group merges contexts of several bindings into one of type Group (C-125, C-166).
	Group string
	// Snapshots is the effective includeSnapshotsFrom, group included (C-052, C-053).
	Snapshots []string
	// AllowFailure makes a failed run count as done (C-183).
	AllowFailure bool
}

// Schedule is one schedule binding (C-040).
type Schedule struct {
	Route
	// Crontab is as C-041 says; it was parsed without error.
	Crontab string
}

// WatchEvent is the kind of change of a watched object.
type WatchEvent string

const (
	Added    WatchEvent = "Added"
	Modified WatchEvent = "Modified"
	Deleted  WatchEvent = "Deleted"
)

// Kubernetes is one kubernetes binding (section 1.5 of the contract).
type Kubernetes struct {
	Route
	// APIVersion may be empty: the server's preferred version of Kind.
	APIVersion string
	Kind       string
	// Events run the hook; empty means none do.
	Events []WatchEvent
	// OnSynchronization runs the hook once with all objects that exist at start.
	OnSynchronization bool
	// WaitForSynchronization: the owner's pass waits for that run (C-187).
	WaitForSynchronization bool
	// KeepFullObjects puts whole objects into contexts (C-141, C-160).
	KeepFullObjects bool
	Names           []string
	Labels          *metav1.LabelSelector
	// Fields is a field selector such as "metadata.name=a,status.phase!=Running"; empty selects all.
	Fields string
	// Namespaces lists namespaces by name; with NamespaceLabels nil as well, all namespaces.
	Namespaces      []string
	NamespaceLabels *metav1.LabelSelector
	// Filter is nil without jqFilter.
	Filter *Filter
	// Resync is how often the objects are listed anew, which brings events only for
	// what was missed; 0 is never. Key resynchronizationPeriod.
	Resync time.Duration
}

// Admission is one kubernetesValidating or kubernetesMutating binding (C-060 …
// C-063). Its runs have no queue: the hook answers within the request (C-245).
type Admission struct {
	Route
	Mutating bool
	// FailurePolicy is Fail or Ignore; empty means the operator's default (C-062).
	FailurePolicy   admission.FailurePolicyType
	SideEffects     admission.SideEffectClass
	TimeoutSeconds  int32
	MatchConditions []admission.MatchCondition
	// Labels selects objects, NamespaceLabels their namespaces; nil selects all.
	Labels, NamespaceLabels *metav1.LabelSelector
	Rules                   []admission.RuleWithOperations
}

// Conversion is one kubernetesCustomResourceConversion binding (C-064).
type Conversion struct {
	Route
	// CRD is the name of the CustomResourceDefinition, such as crontabs.stable.example.com.
	CRD   string
	Rules []ConversionRule
}

// ConversionRule is one step that a hook can do. Versions are full (group/v1) or short (v1).
type ConversionRule struct{ From, To string }

// Item is one object as contexts and snapshots show it (C-123, C-131). A nil
// field is left out of the JSON.
type Item struct {
	Object       []byte // compact JSON of the object; nil unless the binding keeps full objects
	FilterResult []byte // JSON of the jqFilter's result; nil without a jqFilter
}

// Type is the "type" of a binding context; empty where the contract has none.
type Type string

const (
	TypeSchedule        Type = "Schedule"
	TypeSynchronization Type = "Synchronization"
	TypeEvent           Type = "Event"
	TypeGroup           Type = "Group"
	TypeValidating      Type = "Validating"
	TypeMutating        Type = "Mutating"
	TypeConversion      Type = "Conversion"
)

// Context is one element of the binding context array (C-120 … C-129), without
// the snapshots, which are added when the run starts (C-132).
type Context struct {
	Binding    string
	Type       Type
	Group      string
	WatchEvent WatchEvent
	// Item is the object of an Event.
	Item Item
	// Review is the JSON of the admission or conversion review (C-126, C-127), From
	// and To the versions of this step of a conversion.
	Review   []byte
	From, To string
	// Snapshots are the names of bindings to show; nil leaves the key out, and an
	// empty list shows {} (C-128, C-130).
	Snapshots []string
}

// Input is what one run of a hook gets, each a JSON text.
type Input struct {
	Contexts     []byte // C-120
	Values       []byte // C-106
	ConfigValues []byte // C-106
	// Labels name the run in proxied log lines: binding, event, queue (C-111).
	Labels map[string]string
	// Urgent runs take no slot of those that bound how many hooks run at once: an API
	// request waits for them.
	Urgent bool
}

// Output is what a successful run of a hook asks for. All of it was parsed and
// checked in form; nothing has been done.
type Output struct {
	Values     []values.Op // VALUES_JSON_PATCH_PATH
	Config     []values.Op // CONFIG_VALUES_JSON_PATCH_PATH
	Operations []Operation // KUBERNETES_PATCH_PATH
	Samples    []Sample    // METRICS_PATH
	// Admission and Conversion are what the hook answers to a review; nil when it wrote nothing.
	Admission  *AdmissionResponse  // ADMISSION_RESPONSE_PATH, VALIDATING_RESPONSE_PATH
	Conversion *ConversionResponse // CONVERSION_RESPONSE_PATH
	Usage      Usage
}

// Usage is what one run cost (C-110).
type Usage struct {
	Wall, User, System time.Duration
	MaxRSS             int64 // bytes
}

// Func runs a hook once. An error means that nothing of its output may be applied;
// it is a *RunError when the hook itself is to blame.
type Func func(ctx context.Context, in Input) (Output, error)

// RunError is a run that failed by the hook's own doing.
type RunError struct {
	Hook ID
	// Cause is one line: exit status 3; no result within 10m0s; bad VALUES_JSON_PATCH_PATH: …
	Cause string
	// Stderr is the tail of what the hook wrote to stderr, a few lines at most.
	Stderr string
	// Reason is the kind of cause, for counting; empty means ReasonExit.
	Reason Reason
	Usage  Usage
}

// Reason is why a run failed, as metrics tell it.
type Reason string

const (
	// ReasonExit: the executable ended with another status than 0, or by a signal.
	ReasonExit Reason = "exit"
	// ReasonTimeout: it did not end in time and was killed.
	ReasonTimeout Reason = "timeout"
	// ReasonStarted: it could not be started.
	ReasonStarted Reason = "started"
	// ReasonLimit: it went beyond a limit, such as the size of its output.
	ReasonLimit Reason = "limit"
	// ReasonOutput: what it wrote is not in the form of the contract.
	ReasonOutput Reason = "output"
	// ReasonPatch: its values patch does not fit the values or their schema.
	ReasonPatch Reason = "patch"
	// ReasonOperation: an object operation that it asked for failed.
	ReasonOperation Reason = "operation"
	// ReasonOperator: the run failed by no doing of the hook, as at shutdown.
	ReasonOperator Reason = "operator"
)

// ReasonOf is the reason of a failed run: that of the *RunError in err, or
// ReasonOperator without one. It is empty for nil.
func ReasonOf(err error) Reason {
	var failed *RunError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &failed):
		return ReasonOperator
	case failed.Reason == "":
		return ReasonExit
	}
	return failed.Reason
}

func (e *RunError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("hook %s: %s", e.Hook, e.Cause)
	}
	return fmt.Sprintf("hook %s: %s: %s", e.Hook, e.Cause, e.Stderr)
}

// Verb is the "operation" of an object operation (C-202).
type Verb string

const (
	Create             Verb = "Create"
	CreateIfNotExists  Verb = "CreateIfNotExists"
	CreateOrUpdate     Verb = "CreateOrUpdate"
	Delete             Verb = "Delete"
	DeleteInBackground Verb = "DeleteInBackground"
	DeleteNonCascading Verb = "DeleteNonCascading"
	JQPatch            Verb = "JQPatch"
	MergePatch         Verb = "MergePatch"
	JSONPatch          Verb = "JSONPatch"
)

// Operation is one document of KUBERNETES_PATCH_PATH (C-200 … C-212).
type Operation struct {
	Verb        Verb
	APIVersion  string // empty: the server's preferred version of Kind
	Kind        string
	Namespace   string
	Name        string
	Subresource string // without a leading slash
	// Object is the object of the Create verbs; integers are int64 (C-212).
	Object map[string]any
	// Patch is the JSON text of a merge patch (RFC 7386) or JSON patch (RFC 6902).
	Patch []byte
	// Filter is the program of a JQPatch.
	Filter              *Filter
	IgnoreMissingObject bool
	IgnoreHookError     bool
}

// Sample is one document of METRICS_PATH (C-220 … C-230).
type Sample struct {
	Name    string
	Group   string
	Action  string // add, set, observe, expire
	Value   float64
	Buckets []float64
	Labels  map[string]string
}
