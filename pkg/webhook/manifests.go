package webhook

import (
	"fmt"
	"strings"

	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

const (
	labelInstance = "addon-operator.io/instance"
	// labelOwner marks configurations made here; charts of modules may bring others with our instance label.
	labelOwner = "addon-operator.io/webhooks-of"

	servicePort = 443
)

var (
	validatingResource = admission.SchemeGroupVersion.WithResource("validatingwebhookconfigurations")
	mutatingResource   = admission.SchemeGroupVersion.WithResource("mutatingwebhookconfigurations")
	crdResource        = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	secretResource     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// reviewVersions are the versions of reviews that the handler understands.
func reviewVersions() []string { return []string{"v1", "v1beta1"} }

// configurationName is <configuration name>-<owner> (C-241).
func (c *Config) configurationName(owner hook.Owner) string {
	return c.ConfigurationName + "-" + owner.String()
}

func (c *Config) labels(owner hook.Owner) map[string]string {
	return map[string]string{labelInstance: c.Instance, labelOwner: owner.String()}
}

// client is where the API server finds a path (C-242), behind the Service or the URL.
func (c *Config) client(service, path string, ca []byte) admission.WebhookClientConfig {
	if c.URL != "" {
		at := c.URL + path
		return admission.WebhookClientConfig{URL: &at, CABundle: ca}
	}
	port := int32(servicePort)
	return admission.WebhookClientConfig{
		Service:  &admission.ServiceReference{Namespace: c.Namespace, Name: service, Path: &path, Port: &port},
		CABundle: ca,
	}
}

// validating are the entries of the ValidatingWebhookConfiguration of an owner
// (C-242). What the API server would fill in is there, so that it is no difference.
func (c *Config) validating(r *registration, ca []byte) []admission.ValidatingWebhook {
	var out []admission.ValidatingWebhook
	for _, path := range r.bound(false) {
		a := r.admissions[path]
		out = append(out, admission.ValidatingWebhook{
			Name:                    a.Name,
			ClientConfig:            c.client(c.Admission.Service, path, ca),
			Rules:                   rules(a.Rules),
			FailurePolicy:           c.failurePolicy(a.Admission),
			MatchPolicy:             pointer(admission.Equivalent),
			NamespaceSelector:       selector(a.NamespaceLabels),
			ObjectSelector:          selector(a.Labels),
			SideEffects:             pointer(a.SideEffects),
			TimeoutSeconds:          pointer(a.TimeoutSeconds),
			AdmissionReviewVersions: reviewVersions(),
			MatchConditions:         a.MatchConditions,
		})
	}
	return out
}

// mutating are the entries of the MutatingWebhookConfiguration of an owner.
func (c *Config) mutating(r *registration, ca []byte) []admission.MutatingWebhook {
	var out []admission.MutatingWebhook
	for _, path := range r.bound(true) {
		a := r.admissions[path]
		out = append(out, admission.MutatingWebhook{
			Name:                    a.Name,
			ClientConfig:            c.client(c.Admission.Service, path, ca),
			Rules:                   rules(a.Rules),
			FailurePolicy:           c.failurePolicy(a.Admission),
			MatchPolicy:             pointer(admission.Equivalent),
			NamespaceSelector:       selector(a.NamespaceLabels),
			ObjectSelector:          selector(a.Labels),
			SideEffects:             pointer(a.SideEffects),
			TimeoutSeconds:          pointer(a.TimeoutSeconds),
			AdmissionReviewVersions: reviewVersions(),
			ReinvocationPolicy:      pointer(admission.NeverReinvocationPolicy),
			MatchConditions:         a.MatchConditions,
		})
	}
	return out
}

func (c *Config) failurePolicy(a hook.Admission) *admission.FailurePolicyType {
	if a.FailurePolicy != "" {
		return pointer(a.FailurePolicy)
	}
	return pointer(c.FailurePolicy)
}

func rules(of []admission.RuleWithOperations) []admission.RuleWithOperations {
	var out []admission.RuleWithOperations
	for _, r := range of {
		if r.Scope == nil {
			r.Scope = pointer(admission.AllScopes)
		}
		out = append(out, r)
	}
	return out
}

func selector(s *metav1.LabelSelector) *metav1.LabelSelector {
	if s == nil {
		return &metav1.LabelSelector{}
	}
	return s
}

func pointer[T any](v T) *T { return &v }

// conversion is spec.conversion of a CRD (C-256), as JSON values.
func (c *Config) conversion(path string, ca []byte) map[string]any {
	client := map[string]any{}
	switch {
	case c.URL != "":
		client["url"] = c.URL + path
	default:
		client["service"] = map[string]any{
			"namespace": c.Namespace, "name": c.Conversion.Service, "path": path, "port": int64(servicePort),
		}
	}
	if len(ca) > 0 {
		client["caBundle"] = base64Text(ca)
	}
	var versions []any
	for _, v := range reviewVersions() {
		versions = append(versions, v)
	}
	return map[string]any{
		"strategy": "Webhook",
		"webhook":  map[string]any{"clientConfig": client, "conversionReviewVersions": versions},
	}
}

// ownerAt is the owner whose hooks a CRD's spec.conversion is sent to, by its
// path here; false if it does not point at this Server.
func (c *Config) ownerAt(crd string, conversion map[string]any) (owner string, ok bool) {
	webhook, _ := conversion["webhook"].(map[string]any)
	client, _ := webhook["clientConfig"].(map[string]any)
	path := ""
	if at, isURL := client["url"].(string); isURL {
		if path, ok = strings.CutPrefix(at, c.URL); c.URL == "" || !ok {
			return "", false
		}
	}
	if service, isService := client["service"].(map[string]any); isService {
		if service["namespace"] != c.Namespace || service["name"] != c.Conversion.Service {
			return "", false
		}
		path, _ = service["path"].(string)
	}
	if path == conversionPath(hook.Standalone, crd) {
		return hook.Standalone.String(), true
	}
	path, ok = strings.CutPrefix(path, "/conversion/")
	owner, name, _ := strings.Cut(path, "/")
	return owner, ok && owner != "" && name == crd
}

// onePort reports whether conversions come to the port of admission: by one address, or one Service.
func (c *Config) onePort() bool { return c.URL != "" || c.Admission.Service == c.Conversion.Service }

// reachable says why the API server could not be told where to send requests.
func (c *Config) reachable() error {
	if c.URL == "" && c.Namespace == "" {
		return fmt.Errorf("webhooks: the API server reaches the operator by a Service, whose namespace is not known: "+
			"set the operator's namespace, or --webhook-url to an address of the operator (%s) that the API server can reach", c.Admission.ListenAddress)
	}
	return nil
}
