package helm

import (
	"context"
	"errors"
	"net"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hinted is an answer of the API server and what to do about it.
type hinted struct {
	error
	hint string
}

func (h *hinted) Error() string { return h.error.Error() + " (" + h.hint + ")" }
func (h *hinted) Unwrap() error { return h.error }

// lacksRight: RBAC refused the request, not a quota or another rule about the object.
func lacksRight(err error) bool {
	return apierrors.IsForbidden(err) &&
		(strings.Contains(err.Error(), " cannot ") || strings.Contains(err.Error(), "attempting to grant RBAC"))
}

// explained is explained for requests of this identity.
func (o *objects) explained(err error) error {
	if err == nil || o.who == "" || !apierrors.IsForbidden(err) {
		return explained(err)
	}
	switch {
	case strings.Contains(err.Error(), " cannot impersonate "):
		return &hinted{err, "the module acts as ServiceAccount " + o.who + ", and the operator may not: grant it the verb impersonate, see deploy/rbac.yaml"}
	case lacksRight(err):
		return &hinted{err, "the module acts as ServiceAccount " + o.who +
			", which does not exist or lacks the right: bind it a Role or ClusterRole that has it, or name another in serviceAccountName of the module's source"}
	}
	return explained(err)
}

// explained adds the way out to answers of the API server about one object. The text of
// the server, which names a policy or webhook and its message, stays as it is.
func explained(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	has := func(part string) bool { return strings.Contains(text, part) }
	hint := ""
	switch {
	case has("denied request") || has("denied the request"):
		hint = "an admission rule of the cluster refuses it: change the module's values so that it complies, or exempt it in the rule"
	case apierrors.IsForbidden(err) && has("exceeded quota"):
		hint = "raise the quota of the namespace, or lower what the module asks for"
	case lacksRight(err):
		hint = "the operator lacks the right: add it to its ClusterRole"
	case apierrors.IsForbidden(err) && has("is being terminated"):
		hint = "it is made again once the namespace is gone; look at what keeps it in its status"
	case apierrors.IsForbidden(err) && has("PodSecurity"):
		hint = "podSecurity of module.yaml sets the level of the module's namespace"
	case apierrors.IsInvalid(err) && (has("field is immutable") || has("immutable after creation") || has("updates to statefulset spec")):
		hint = "the field cannot be changed in place: delete the object and it is created anew, or let its name change with its content"
	case apierrors.IsRequestEntityTooLargeError(err) || has("etcdserver: request is too large"):
		hint = "split the object"
	case apierrors.IsNotFound(err) && has("namespaces"):
		hint = "the namespace must exist: name it as namespace in module.yaml, or let a module of lower weight make it"
	}
	if hint == "" {
		return err
	}
	return &hinted{err, hint}
}

// transient says that the cluster failed rather than the text that was applied: the
// same may succeed a moment later.
func transient(err error) bool {
	var status apierrors.APIStatus
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, ErrPending):
		return true
	case errors.As(err, &network):
		return true
	case errors.As(err, &status):
		s := status.Status()
		return s.Code >= 500 && !strings.Contains(s.Message, "etcdserver: request is too large") || s.Code == 429 ||
			s.Reason == metav1.StatusReasonConflict || strings.Contains(s.Message, "is being terminated")
	}
	return false
}
