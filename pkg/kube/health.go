package kube

import (
	"fmt"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/addon-operator/addon-operator/pkg/object"
)

// verdict is what one state of an object says about its health.
type verdict struct {
	state   object.State
	message string
	// unlessFirstUse names the storage class of a claim that nobody uses yet: it is
	// ready if that class binds on first use.
	unlessFirstUse string
}

// judge is kstatus with our additions (a LoadBalancer Service needs an
// address; a claim that binds on first use is ready without a consumer).
func judge(u *unstructured.Unstructured) verdict {
	if u.GetDeletionTimestamp() != nil {
		return verdict{state: object.Terminating, message: terminating(u)}
	}
	result, err := status.Compute(u)
	if err != nil {
		return verdict{state: object.Unknown, message: "its status cannot be read: " + err.Error()}
	}
	v := verdict{state: object.State(result.Status), message: result.Message}
	if v.state == object.Current {
		v.message = ""
	}
	switch {
	case builtin(u, "v1", "Service"):
		return service(u, v)
	case builtin(u, "v1", "PersistentVolumeClaim"):
		return claim(u, v)
	}
	return v
}

func builtin(u *unstructured.Unstructured, apiVersion, kind string) bool {
	return u.GetAPIVersion() == apiVersion && u.GetKind() == kind
}

func terminating(u *unstructured.Unstructured) string {
	if f := u.GetFinalizers(); len(f) > 0 {
		return "is being deleted, held by finalizers " + strings.Join(f, ", ")
	}
	return "is being deleted"
}

func service(u *unstructured.Unstructured, v verdict) verdict {
	kind, _, _ := unstructured.NestedString(u.Object, "spec", "type")
	if kind != "LoadBalancer" || v.state != object.Current {
		return v
	}
	addresses, _, _ := unstructured.NestedSlice(u.Object, "status", "loadBalancer", "ingress")
	if len(addresses) == 0 {
		return verdict{state: object.InProgress, message: "the load balancer has no address yet"}
	}
	return v
}

// claim names the class of a pending claim for which the scheduler has chosen no node.
func claim(u *unstructured.Unstructured, v verdict) verdict {
	phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
	if phase != "Pending" && phase != "" {
		return v
	}
	if _, used := u.GetAnnotations()["volume.kubernetes.io/selected-node"]; used {
		return v
	}
	v.unlessFirstUse, _, _ = unstructured.NestedString(u.Object, "spec", "storageClassName")
	return v
}

// known says that Kubernetes defines the kind, so that kstatus knows what its status means.
func known(u *unstructured.Unstructured) bool {
	return scheme.Scheme.Recognizes(u.GroupVersionKind())
}

// lastManager is the field manager that wrote the object last, status aside.
func lastManager(u *unstructured.Unstructured) string {
	name, newest := "", int64(-1)
	for _, f := range u.GetManagedFields() {
		if f.Subresource != "" || f.Time == nil {
			continue
		}
		if t := f.Time.Unix(); t >= newest {
			name, newest = f.Manager, t
		}
	}
	return name
}

// notServed is the health of an object whose kind is unknown to the cluster.
func notServed(ref object.Ref) verdict {
	return verdict{state: object.Missing, message: fmt.Sprintf("the cluster does not serve kind %s %s", ref.APIVersion, ref.Kind)}
}
