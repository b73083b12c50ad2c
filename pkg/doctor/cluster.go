package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// webhooks: the API server reaches who answers, and trusts its certificate.
func webhooks(f Facts) []Finding {
	var out []Finding
	for _, w := range f.Webhooks {
		for _, look := range []func(Webhook) (problem, expected, way string){f.leftOver, f.reaches, f.trusts} {
			if problem, expected, way := look(w); problem != "" {
				out = append(out, Finding{Error, w.Object + " webhook " + w.Entry + " of " + w.Owner, problem, expected, way})
				break
			}
		}
	}
	return out
}

func (f Facts) leftOver(w Webhook) (problem, expected, way string) {
	if w.Owner == "global" || w.Owner == "hooks" || len(f.Modules) == 0 {
		return "", "", ""
	}
	if m, ok := f.module(w.Owner); ok && m.Enabled {
		return "", "", ""
	}
	return "belongs to a module that is off: nobody answers for it", "no webhook without its hook",
		"a running operator removes it by itself; without one: kubectl delete " + strings.Replace(w.Object, " ", "/", 1)
}

func (f Facts) reaches(w Webhook) (problem, expected, way string) {
	if w.Service == "" {
		return "", "", "" // whether the API server reaches a URL, only it can tell
	}
	s := f.Services[w.Service]
	const want = "a Service with the operator behind it"
	switch {
	case s == nil:
		return "points at Service " + w.Service + ", which does not exist: the API server can ask nobody", want,
			"kubectl apply -f deploy/service.yaml, or name the Service with --validating-webhook-service-name and --conversion-webhook-service-name"
	case !slices.Contains(s.Ports, w.Port):
		return fmt.Sprintf("points at port %d of Service %s, which has none of that number", w.Port, w.Service), want, "give the Service port 443: deploy/service.yaml"
	case s.Addresses == 0:
		return "points at Service " + w.Service + ", behind which nobody is: the API server can ask nobody", want,
			"start the operator, or correct the selector of the Service: deploy/service.yaml"
	}
	return "", "", ""
}

func (f Facts) trusts(w Webhook) (problem, expected, way string) {
	const want, renew = "the authority of the certificate in use", "a running operator corrects it by itself: see why none does"
	authorities := certificates(w.CA)
	if len(authorities) == 0 {
		if w.URL != "" && len(w.CA) == 0 {
			return "", "", "" // the API server goes by its system's authorities
		}
		return "has no certificate authority: the API server trusts nobody", want, renew
	}
	if i := slices.IndexFunc(authorities, f.valid); i < 0 {
		return "its certificate authority has expired, " + authorities[0].NotAfter.UTC().Format(time.DateTime), want, renew
	}
	if f.Certificate == nil {
		return "", "", ""
	}
	roots := x509.NewCertPool()
	for _, c := range authorities {
		roots.AddCert(c)
	}
	serving := certificates(f.Certificate.Data[corev1.TLSCertKey])
	if len(serving) == 0 {
		return "", "", ""
	}
	if _, err := serving[0].Verify(x509.VerifyOptions{Roots: roots, CurrentTime: f.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil && f.valid(serving[0]) {
		return "its certificate authority is not the one of Secret " + f.Certificate.Namespace + "/" + f.Certificate.Name, want, renew
	}
	return "", "", ""
}

func (f Facts) valid(c *x509.Certificate) bool {
	return !f.Now.Before(c.NotBefore) && !f.Now.After(c.NotAfter)
}

func certificates(text []byte) []*x509.Certificate {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, c)
		}
	}
}

// certificate: what the operator answers the API server with is valid.
func certificate(f Facts) []Finding {
	if f.Certificate == nil || len(f.Webhooks) == 0 {
		return nil
	}
	object := fmt.Sprintf("Secret %s/%s", f.Certificate.Namespace, f.Certificate.Name)
	serving := certificates(f.Certificate.Data[corev1.TLSCertKey])
	switch {
	case len(serving) == 0:
		return []Finding{{Error, object, "holds no certificate", "a certificate for webhooks", "delete it: a running operator issues another"}}
	case !f.valid(serving[0]):
		return []Finding{{Error, object, "its certificate is not valid now: from " + serving[0].NotBefore.UTC().Format(time.DateTime) + " to " +
			serving[0].NotAfter.UTC().Format(time.DateTime), "a certificate that is valid", "a running operator issues another by itself: see why none does"}}
	}
	return nil
}

// crds: each is Established, none is being deleted.
func crds(f Facts) []Finding {
	var out []Finding
	for _, c := range f.CRDs {
		object := "CustomResourceDefinition " + c.Name
		if c.Deleting != nil {
			out = append(out, Finding{Error, object, "is being deleted for " + f.age(c.Deleting.Time) + ", and its objects with it" + explained(c.Conditions, "Terminating"),
				"a CRD that stays, or is gone", "the objects of that kind hold it up: remove their finalizers when whoever set them is gone"})
			continue
		}
		if of(c.Conditions, "Established") == metav1.ConditionTrue {
			continue
		}
		out = append(out, Finding{Error, object, "is not Established: its objects cannot be made" + explained(c.Conditions, "NamesAccepted", "Established"),
			"Established", "another CRD with the same kind, plural or short name is in its way: delete or rename one of them"})
	}
	return out
}

func of(conditions []metav1.Condition, typ string) metav1.ConditionStatus {
	for _, c := range conditions {
		if c.Type == typ {
			return c.Status
		}
	}
	return metav1.ConditionUnknown
}

func explained(conditions []metav1.Condition, types ...string) string {
	for _, typ := range types {
		for _, c := range conditions {
			if c.Type == typ && c.Message != "" && (typ == "Terminating" || c.Status != metav1.ConditionTrue) {
				return ": " + c.Message
			}
		}
	}
	return ""
}

// terminating: a namespace that goes is soon gone.
func terminating(f Facts) []Finding {
	var out []Finding
	for _, n := range f.Terminating {
		severity, whose := Warning, ""
		i := slices.IndexFunc(f.Modules, func(m Module) bool { return m.Enabled && m.Namespace == n.Name })
		switch {
		case n.Name == f.Namespace:
			severity, whose = Error, " (the operator's own)"
		case i >= 0:
			severity, whose = Error, " (of module "+f.Modules[i].Name+", which cannot be installed meanwhile)"
		case f.Now.Sub(n.Since.Time) < slow:
			severity = Note
		}
		out = append(out, Finding{severity, "Namespace " + n.Name, "is being deleted for " + f.age(n.Since.Time) + whose + holding(n), "a namespace that stays, or is gone",
			n.way()})
	}
	return out
}

func holding(n Terminating) string {
	var lines []string
	for _, c := range n.Conditions {
		if c.Status == corev1.ConditionTrue && c.Message != "" {
			lines = append(lines, c.Message)
		}
	}
	lines = append(lines, n.Left...)
	if len(lines) == 0 {
		return ""
	}
	return ": " + strings.Join(lines, "; ")
}

func (n Terminating) way() string {
	for _, c := range n.Conditions {
		if c.Type == corev1.NamespaceDeletionDiscoveryFailure && c.Status == corev1.ConditionTrue {
			return "an aggregated API does not answer, so nobody knows what is left: kubectl get apiservices, and delete or mend the one that is not Available"
		}
	}
	return "whoever set the finalizers has to finish; when it is gone, remove them: kubectl -n " + n.Name + " patch KIND NAME --type=merge -p '{\"metadata\":{\"finalizers\":null}}'"
}
