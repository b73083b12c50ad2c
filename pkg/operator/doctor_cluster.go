package operator

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"

	"github.com/addon-operator/addon-operator/pkg/doctor"
)

// ownerLabel says whose hooks a webhook configuration, or a CRD's conversion, asks.
const ownerLabel = "addon-operator.io/webhooks-of"

// issuedSecret holds the certificate of webhooks that the operator issues itself.
const issuedSecret = "addon-operator-webhook-tls"

// webhooks reads the operator's webhook configurations, and what they point at.
func (e *examiner) webhooks(ctx context.Context) {
	mine := metav1.ListOptions{LabelSelector: instanceLabel + "=" + e.cfg.instance() + "," + ownerLabel}
	api := e.typed.AdmissionregistrationV1()
	if list, err := api.ValidatingWebhookConfigurations().List(ctx, mine); e.note("ValidatingWebhookConfigurations", err) {
		for _, c := range list.Items {
			for _, w := range c.Webhooks {
				e.webhook("ValidatingWebhookConfiguration "+c.Name, w.Name, c.Labels[ownerLabel], w.ClientConfig)
			}
		}
	}
	if list, err := api.MutatingWebhookConfigurations().List(ctx, mine); e.note("MutatingWebhookConfigurations", err) {
		for _, c := range list.Items {
			for _, w := range c.Webhooks {
				e.webhook("MutatingWebhookConfiguration "+c.Name, w.Name, c.Labels[ownerLabel], w.ClientConfig)
			}
		}
	}
	e.facts.Services = map[string]*doctor.Service{}
	for _, w := range e.facts.Webhooks {
		if _, seen := e.facts.Services[w.Service]; w.Service != "" && !seen {
			e.facts.Services[w.Service] = e.service(ctx, w.Service)
		}
	}
	e.facts.Certificate = e.secret(ctx, cmp.Or(e.cfg.Webhooks.Secret, e.cfg.Webhooks.IssuedSecret, issuedSecret))
}

func (e *examiner) webhook(object, entry, owner string, to admissionv1.WebhookClientConfig) {
	w := doctor.Webhook{Object: object, Entry: entry, Owner: owner, CA: to.CABundle}
	if to.URL != nil {
		w.URL = *to.URL
	}
	if s := to.Service; s != nil {
		w.Service, w.Port = s.Namespace+"/"+s.Name, 443
		if s.Port != nil {
			w.Port = *s.Port
		}
	}
	e.facts.Webhooks = append(e.facts.Webhooks, w)
}

// conversion takes down the webhook of a CRD whose conversion hooks answer.
func (e *examiner) conversion(crd unstructured.Unstructured) {
	l := crd.GetLabels()
	if l[ownerLabel] == "" || l[instanceLabel] != e.cfg.instance() {
		return
	}
	var to admissionv1.WebhookClientConfig
	client, found, err := unstructured.NestedMap(crd.Object, "spec", "conversion", "webhook", "clientConfig")
	if !found || err != nil || decode(client, &to) != nil {
		return
	}
	e.webhook("CustomResourceDefinition "+crd.GetName(), "conversion", l[ownerLabel], to)
}

// service is nil for one that does not exist.
func (e *examiner) service(ctx context.Context, key string) *doctor.Service {
	namespace, name, _ := strings.Cut(key, "/")
	s, err := e.typed.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if !e.found("Service "+key, err) {
		return nil
	}
	out := &doctor.Service{}
	for _, p := range s.Spec.Ports {
		out.Ports = append(out.Ports, p.Port)
	}
	slices, err := e.typed.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + name})
	if !e.note("EndpointSlices of Service "+key, err) {
		out.Addresses = 1 // who knows
		return out
	}
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready || s.Spec.PublishNotReadyAddresses {
				out.Addresses += len(endpoint.Addresses)
			}
		}
	}
	return out
}

// remains names what is left in a namespace that is being deleted.
type remains struct {
	e      *examiner
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func newRemains(e *examiner) *remains {
	return &remains{e: e, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(e.typed.Discovery()))}
}

// remaining finds the resources in the API server's sentence, such as "widgets.example.com has 2 resource instances".
var remaining = regexp.MustCompile(`([a-z0-9.-]+) has \d+ resource instances`)

// mostLeft is how many objects of one resource are named.
const mostLeft = 3

// in lists objects that are left, with their finalizers.
func (r *remains) in(ctx context.Context, ns corev1.Namespace) []string {
	var out []string
	for _, c := range ns.Status.Conditions {
		if c.Type != corev1.NamespaceContentRemaining || c.Status != corev1.ConditionTrue {
			continue
		}
		for _, m := range remaining.FindAllStringSubmatch(c.Message, -1) {
			out = append(out, r.objects(ctx, ns.Name, k8sschema.ParseGroupResource(strings.TrimSuffix(m[1], ".")))...)
		}
	}
	return out
}

func (r *remains) objects(ctx context.Context, namespace string, resource k8sschema.GroupResource) []string {
	full, err := r.mapper.ResourceFor(resource.WithVersion(""))
	if err != nil {
		return nil
	}
	list, err := r.e.dynamic.Resource(full).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: mostLeft})
	if err != nil {
		return nil
	}
	var out []string
	for _, o := range list.Items {
		line := o.GetKind() + " " + o.GetName()
		if f := o.GetFinalizers(); len(f) > 0 {
			line += fmt.Sprintf(" is held by %s", strings.Join(f, ", "))
		}
		out = append(out, line)
	}
	return out
}
