// Package doctor says what is wrong with an operator and its modules, from what a
// reader found in the cluster, and how to mend it. Rules are pure functions; who
// reads is package operator.
//
// It judges what can be seen from outside: nothing here needs an operator that
// runs, for often that is what is wrong.
package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/schema"
)

// Severity is how bad a finding is.
type Severity string

const (
	// Error: something does not work.
	Error Severity = "error"
	// Warning: something will not work, or part of it does not.
	Warning Severity = "warning"
	// Note: under way, or worth to know; nothing has to be done about it.
	Note Severity = "note"
)

func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Note}, s) }

// Finding is one thing that is wrong.
type Finding struct {
	Severity Severity `json:"severity"`
	// Object is what is wrong: kind, and name with its namespace if it has one.
	Object string `json:"object"`
	// Problem is what was seen, Expected what should be, WayOut what to do.
	Problem  string `json:"problem"`
	Expected string `json:"expected"`
	WayOut   string `json:"wayOut"`
}

// Facts is everything that the rules look at. What could not be read is in Unread, and empty elsewhere.
type Facts struct {
	// Now is the clock of the API server.
	Now time.Time
	// Namespace and ConfigMap name the operator that is looked at.
	Namespace, ConfigMap string
	// Unread is what could not be read, and why.
	Unread []Unread

	// Deployments, Pods and Lease are those of the operator's namespace; Lease is nil if there is none.
	Deployments []appsv1.Deployment
	Pods        []corev1.Pod
	Lease       *coordinationv1.Lease
	// Socket is what the debug socket said; nil if there is none here.
	Socket *Socket
	// Account is the operator's ServiceAccount as namespace/name, Denied what it may not do and has to.
	Account string
	Denied  []Right

	// Settings is the user's ConfigMap, Learned the ConfigMap with facts, Secret the
	// one with secret leaves; nil if there is none. Events are warnings about the ConfigMap.
	Settings, Learned *corev1.ConfigMap
	Secret            *corev1.Secret
	Events            []corev1.Event
	// Schemas are those of the modules' directories by section, nil where these are not at hand.
	Schemas map[string]schema.Set
	// Broken are modules whose directory cannot be read, by name, and why.
	Broken map[string]string

	// OwnCRDs are the operator's own CRDs that are in the cluster, by name; WantedCRDs all as they have to be.
	OwnCRDs, WantedCRDs map[string]map[string]any
	Modules             []Module
	Releases            []Release
	// Sources are the ModuleSources, Offered the ModuleReleases.
	Sources []Source
	Offered []Offered

	Webhooks []Webhook
	// Services are those that webhooks point at, by namespace/name; nil where there is none.
	Services map[string]*Service
	// Certificate is the Secret with the certificate of webhooks; nil if there is none.
	Certificate *corev1.Secret
	CRDs        []CRD
	// Terminating are the namespaces that are being deleted.
	Terminating []Terminating
}

// Unread is something that could not be looked at.
type Unread struct{ What, Why string }

// Socket is the answer of a debug socket.
type Socket struct {
	Path string
	// Problem is why it does not answer.
	Problem string
}

// Right is one thing that an account has to be allowed.
type Right struct {
	Verb, Group, Resource string
	// Namespace is empty for all namespaces.
	Namespace string
}

// Module is what a Module resource shows.
type Module struct {
	Name       string             `json:"-"`
	Enabled    bool               `json:"enabled"`
	Version    string             `json:"version"`
	Namespace  string             `json:"namespace"`
	Phase      string             `json:"phase"`
	Reason     string             `json:"reason"`
	Conditions []metav1.Condition `json:"conditions"`
}

// Source is what a ModuleSource shows.
type Source struct {
	Name    string `json:"-"`
	Suspend bool   `json:"-"`
	// Generation is the spec's, Observed that which the status is about.
	Generation int64              `json:"-"`
	Observed   int64              `json:"observedGeneration"`
	LastPoll   *metav1.Time       `json:"lastPoll"`
	Conditions []metav1.Condition `json:"conditions"`
	Rejected   []struct {
		Module  string `json:"module"`
		Version string `json:"version"`
		Reason  string `json:"reason"`
	} `json:"rejected"`
}

// Offered is what a ModuleRelease shows.
type Offered struct {
	Name     string       `json:"-"`
	Created  metav1.Time  `json:"-"`
	Approved bool         `json:"-"`
	Module   string       `json:"module"`
	Version  string       `json:"version"`
	Source   string       `json:"source"`
	Phase    string       `json:"phase"`
	Reason   string       `json:"reason"`
	Message  string       `json:"message"`
	Since    *metav1.Time `json:"since"`
}

// Release is the newest revision of a release and the size of its record in bytes.
type Release struct {
	installed.Release
	Bytes int
}

// Webhook is one way by which the API server asks hooks.
type Webhook struct {
	// Object is the configuration, Entry the webhook in it.
	Object, Entry string
	// Owner is the module whose hooks answer, "global" or "hooks".
	Owner string
	// Service is namespace/name, empty when URL is set; Port is the Service's.
	Service, URL string
	Port         int32
	CA           []byte
}

// Service is a Service and how many addresses stand behind it.
type Service struct {
	Ports     []int32
	Addresses int
}

// CRD is the state of one CustomResourceDefinition.
type CRD struct {
	Name       string
	Deleting   *metav1.Time
	Conditions []metav1.Condition
}

// Terminating is a namespace that is being deleted, and what is left in it.
type Terminating struct {
	Name       string
	Since      metav1.Time
	Conditions []corev1.NamespaceCondition
	// Left are some of the objects in it, with their finalizers.
	Left []string
}

// rule looks at one side of the facts.
type rule func(Facts) []Finding

// Examine applies all rules. The worst comes first.
func Examine(f Facts) []Finding {
	var out []Finding
	for _, look := range []rule{
		unread,
		operators, pods, leader, socket, rights,
		settingsMap, secretLeaves, sizes, events, broken,
		ownCRDs, modules, releases, sources, offered,
		webhooks, certificate, crds, terminating,
	} {
		out = append(out, look(f)...)
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(a.Severity.rank(), b.Severity.rank()) })
	return out
}

// Bad says whether something has to be done.
func Bad(found []Finding) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.Severity != Note })
}

func unread(f Facts) []Finding {
	var out []Finding
	for _, u := range f.Unread {
		out = append(out, Finding{Warning, u.What, "cannot be looked at: " + u.Why, "to be readable by who runs this command",
			"run it with a kubeconfig of an administrator (--kube-config), or as the operator's ServiceAccount"})
	}
	return out
}

// instance is the label value of what this operator made.
func (f Facts) instance() string { return f.Namespace + "." + f.ConfigMap }

func (f Facts) settingsName() string { return fmt.Sprintf("ConfigMap %s/%s", f.Namespace, f.ConfigMap) }

// known says whether a module exists, and whether that can be told at all.
func (f Facts) module(name string) (m Module, ok bool) {
	i := slices.IndexFunc(f.Modules, func(m Module) bool { return m.Name == name })
	if i < 0 {
		return Module{}, false
	}
	return f.Modules[i], true
}

// age is how long something has lasted, for people.
func (f Facts) age(since time.Time) string { return duration.HumanDuration(f.Now.Sub(since)) }

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}
