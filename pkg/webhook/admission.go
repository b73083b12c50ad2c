package webhook

import (
	"context"
	"fmt"
	"net/http"

	"github.com/addon-operator/addon-operator/pkg/hook"

	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// admissionAnswer is the response of an AdmissionReview; v1 and v1beta1 agree on it.
type admissionAnswer struct {
	UID       string         `json:"uid"`
	Allowed   bool           `json:"allowed"`
	Status    *metav1.Status `json:"status,omitempty"`
	Warnings  []string       `json:"warnings,omitempty"`
	Patch     []byte         `json:"patch,omitempty"`
	PatchType string         `json:"patchType,omitempty"`
}

func denial(uid string, code int32, message string) admissionAnswer {
	reason := metav1.StatusReasonForbidden
	if code != http.StatusForbidden {
		reason = metav1.StatusReasonInternalError
	}
	return admissionAnswer{UID: uid, Status: &metav1.Status{Status: metav1.StatusFailure, Message: message, Reason: reason, Code: code}}
}

// admit asks the hook of a binding (C-245 … C-247).
func (h *handler) admit(ctx context.Context, route admissionRoute, in review) (admissionAnswer, Request) {
	uid := uidOf(in.Request)
	request := Request{Hook: route.hook.Hook, Binding: route.Name, Type: hook.TypeValidating, Result: "failed"}
	if route.Mutating {
		request.Type = hook.TypeMutating
	}
	out, err := route.hook.Answer(ctx, hook.Context{
		Binding: route.Name, Type: request.Type, Review: oneReview(in, in.Request), Snapshots: route.Snapshots,
	})
	log := h.cfg.Logger.With("hook", route.hook.Hook.String(), "binding", route.Name, "uid", uid)
	switch {
	case err != nil:
		message := failure(ctx, route.hook.Hook, err)
		log.Warn("admission hook failed; the request is denied", "error", message)
		return denial(uid, http.StatusInternalServerError, "Hook failed: "+message), request
	case out.Admission == nil:
		answer := h.silent(route, uid)
		log.Warn("admission hook wrote no answer", "allowed", answer.Allowed)
		return answer, request
	case len(out.Admission.Patch) > 0 && !route.Mutating:
		message := fmt.Sprintf("Hook failed: hook %s answered kubernetesValidating binding %q with a patch: only kubernetesMutating bindings may change objects",
			route.hook.Hook, route.Name)
		log.Warn("admission hook failed; the request is denied", "error", message)
		return denial(uid, http.StatusInternalServerError, message), request
	}
	answer := answerOf(uid, *out.Admission)
	request.Result = "denied"
	if answer.Allowed {
		request.Result = "allowed"
	}
	log.Debug("admission", "result", request.Result, "message", out.Admission.Message)
	return answer, request
}

// answerOf is what the hook wrote, as the API server wants it (C-246).
func answerOf(uid string, r hook.AdmissionResponse) admissionAnswer {
	if !r.Allowed {
		answer := denial(uid, http.StatusForbidden, r.Message)
		answer.Warnings = r.Warnings
		return answer
	}
	answer := admissionAnswer{UID: uid, Allowed: true, Warnings: r.Warnings}
	if r.Message != "" {
		answer.Status = &metav1.Status{Message: r.Message, Code: http.StatusOK}
	}
	if len(r.Patch) > 0 {
		answer.Patch, answer.PatchType = r.Patch, "JSONPatch"
	}
	return answer
}

// silent answers for a hook that ended well and wrote nothing (B-14): the request
// was not reviewed, which is what the failurePolicy is about.
func (h *handler) silent(route admissionRoute, uid string) admissionAnswer {
	message := fmt.Sprintf("hook %s wrote no answer for binding %q: it has to write "+
		`{"allowed": true} or {"allowed": false, "message": "…"} to the file named by ADMISSION_RESPONSE_PATH`, route.hook.Hook, route.Name)
	if *h.cfg.failurePolicy(route.Admission) == admission.Ignore {
		return admissionAnswer{UID: uid, Allowed: true, Warnings: []string{message}}
	}
	return denial(uid, http.StatusInternalServerError, message)
}
