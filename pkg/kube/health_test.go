package kube

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/addon-operator/addon-operator/pkg/object"
)

func replace(s, old, new string) string { return strings.Replace(s, old, new, 1) }

func TestHealthOfObjects(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		state   object.State
		message string
	}{
		"a ConfigMap is current": {`{apiVersion: v1, kind: ConfigMap}`, object.Current, ""},
		"a Deployment whose generation was not observed is in progress": {
			`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, status: {observedGeneration: 1}}`, object.InProgress, "generation is 2"},
		"a LoadBalancer without an address is in progress": {
			`{apiVersion: v1, kind: Service, spec: {type: LoadBalancer, clusterIP: 10.0.0.1}}`, object.InProgress, "no address"},
		"a LoadBalancer with a host name is current": {
			`{apiVersion: v1, kind: Service, spec: {type: LoadBalancer, clusterIP: 10.0.0.1}, status: {loadBalancer: {ingress: [{hostname: a}]}}}`, object.Current, ""},
		"a ClusterIP Service is current": {`{apiVersion: v1, kind: Service, spec: {type: ClusterIP}}`, object.Current, ""},
		"an object under deletion names its finalizers": {
			`{apiVersion: v1, kind: ConfigMap, metadata: {deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [x/y]}}`, object.Terminating, "x/y"},
		"a failed Job has failed": {
			`{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Failed, status: "True"}]}}`, object.Failed, "Job Failed"},
		"a completed Job is current": {
			`{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Complete, status: "True"}]}}`, object.Current, ""},
		"a custom resource that is not Ready is in progress": {
			`{apiVersion: a/v1, kind: X, status: {conditions: [{type: Ready, status: "False", message: waits}]}}`, object.InProgress, "waits"},
		"an unreadable status is unknown": {`{apiVersion: a/v1, kind: X, status: {conditions: 3}}`, object.Unknown, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			v := judge(&unstructured.Unstructured{Object: parse(t, c.text)})
			if v.state != c.state || !strings.Contains(v.message, c.message) {
				t.Errorf("%s %q, expected %s with %q", v.state, v.message, c.state, c.message)
			}
		})
	}
}

func TestClaimThatWaitsForItsFirstConsumer(t *testing.T) {
	pending := `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {annotations: {}}, spec: {storageClassName: slow}, status: {phase: Pending}}`
	for name, c := range map[string]struct{ text, class string }{
		"without a node chosen depends on the class":   {pending, "slow"},
		"with a node chosen is being bound":            {replace(pending, "{}", "{volume.kubernetes.io/selected-node: node-1}"), ""},
		"that is bound does not depend on the class":   {replace(pending, "Pending", "Bound"), ""},
		"that lost its volume depends on nothing else": {replace(pending, "Pending", "Lost"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if v := judge(&unstructured.Unstructured{Object: parse(t, c.text)}); v.unlessFirstUse != c.class {
				t.Errorf("class %q, expected %q", v.unlessFirstUse, c.class)
			}
		})
	}
}
