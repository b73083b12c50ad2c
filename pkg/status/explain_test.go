package status

import (
	"strings"
	"testing"
)

func TestARefusalComesWithItsWayOut(t *testing.T) {
	for sentence, c := range map[string]struct{ message, hint string }{
		"a policy":               {`apply module a: patch ConfigMap/ns/a: configmaps "a" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`, "exempt it in the policy"},
		"a webhook":              {`apply module a: create ConfigMap/ns/a: admission webhook "w.example.com" denied the request: no`, "exempt it in the webhook's configuration"},
		"a webhook that is away": {`Internal error occurred: failed calling webhook "w.example.com": connection refused`, "bring the webhook's server back"},
		"pod security":           {`pods "a" is forbidden: violates PodSecurity "restricted:latest": privileged`, "podSecurity in the module's module.yaml"},
		"a quota":                {`pods "a" is forbidden: exceeded quota: q, requested: pods=1`, "raise the quota"},
		"a missing right":        {`configmaps "a" is forbidden: User "system:serviceaccount:x:y" cannot create resource "configmaps" in API group "" in the namespace "z"`, "ClusterRole"},
	} {
		if got := Explain(c.message); !strings.HasPrefix(got, c.message+"; ") || !strings.Contains(got, c.hint) {
			t.Errorf("%s: %s", sentence, got)
		}
	}
	if got := Explain("anything else"); got != "anything else" {
		t.Errorf("got %q", got)
	}
}
