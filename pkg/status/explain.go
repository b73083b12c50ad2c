package status

import "strings"

// wayOut is what to do about a refusal of the API server, which names who refused
// and why but not what can be done. A hint is for errors that hold all of its signs.
type wayOut struct {
	signs []string
	hint  string
}

// waysOut are asked in order; the texts are those of Kubernetes
// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/).
func waysOut() []wayOut {
	return []wayOut{
		{[]string{"ValidatingAdmissionPolicy", "denied request"},
			"change the module's settings so that the policy accepts it, or exempt it in the policy or its binding (kubectl get validatingadmissionpolicybindings)"},
		{[]string{"admission webhook", "denied the request"},
			"change the module's settings so that the webhook accepts it, or exempt it in the webhook's configuration (kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations)"},
		{[]string{"failed calling webhook"},
			"bring the webhook's server back, or delete its configuration if nobody serves it any more (kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations)"},
		{[]string{"violates PodSecurity"},
			"set podSecurity in the module's module.yaml, or label the namespace with the level that the module needs (pod-security.kubernetes.io/enforce)"},
		{[]string{"exceeded quota"},
			"raise the quota of the namespace (kubectl get resourcequotas), or lower what the module asks for"},
		{[]string{"is forbidden", "cannot ", "in API group"},
			"give the operator's ServiceAccount this right in its ClusterRole"},
		{[]string{"is being terminated"},
			"it is made anew when the namespace is gone; see its status for what holds it"},
	}
}

// Explain adds the way out to a message with a refusal of the API server.
func Explain(message string) string {
	for _, w := range waysOut() {
		if holdsAll(message, w.signs) {
			return message + "; " + w.hint
		}
	}
	return message
}

func holdsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
