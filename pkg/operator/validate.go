package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	admission "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// validator is the owner of the webhook on the ConfigMap. No module can have its name.
func validator() hook.Owner { return hook.Owner{Module: "settings.configmap"} }

// validationSeconds is how long the API server waits for the answer; without one the
// ConfigMap is accepted, and bad keys are reported once it is read.
const validationSeconds = 3

// validateConfigMap has the API server ask this operator about its ConfigMap (C-370 … C-376)
// until ctx ends. The configuration stays: with nobody to ask, everything is accepted.
func (w *wiring) validateConfigMap(ctx context.Context) error {
	if !w.cfg.ValidateConfigMap {
		return nil
	}
	scope := admission.NamespacedScope
	asked := hook.Admission{
		FailurePolicy: admission.Ignore, SideEffects: admission.SideEffectClassNone, TimeoutSeconds: validationSeconds,
		NamespaceLabels: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.cfg.Namespace}},
		MatchConditions: []admission.MatchCondition{{Name: "the-configmap-of-the-operator", Expression: fmt.Sprintf("request.name == %q", w.cfg.ConfigMap)}},
		Rules: []admission.RuleWithOperations{{Operations: []admission.OperationType{admission.Create, admission.Update},
			Rule: admission.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}, Scope: &scope}}},
	}
	asked.Name = "settings.addon-operator.io"
	answer := func(_ context.Context, c hook.Context) (hook.Output, error) {
		response, err := w.review(c.Review)
		return hook.Output{Admission: response}, err
	}
	return patiently(ctx, w.cfg.Logger, "register the webhook on the ConfigMap", func() error {
		return w.webhooks.Register(ctx, validator(), []hook.Webhook{
			{Hook: hook.ID{Owner: validator(), Name: "settings"}, Admissions: []hook.Admission{asked}, Answer: answer}})
	})
}

// review answers one AdmissionReview. Keys that the request leaves as they were are not
// held against it: who mends one key need not mend all, and what the operator writes for
// a hook does not fail for a mistake of somebody else.
func (w *wiring) review(text []byte) (*hook.AdmissionResponse, error) {
	var in struct {
		Request struct {
			Object, OldObject struct {
				Data map[string]string `json:"data"`
			}
		} `json:"request"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, fmt.Errorf("admission review of the ConfigMap: %w", err)
	}
	data, old := in.Request.Object.Data, in.Request.OldObject.Data
	out := &hook.AdmissionResponse{Allowed: true}
	var bad []string
	for _, p := range w.loop.CheckData(data) {
		line := p.Key + ": " + w.meter.print.text(p.Message)
		if was, had := old[p.Key]; had && was == data[p.Key] {
			out.Warnings = append(out.Warnings, line)
			continue
		}
		bad = append(bad, line)
	}
	if len(bad) > 0 {
		out.Allowed, out.Message = false, fmt.Sprintf("ConfigMap %s/%s has keys that cannot be used:\n%s", w.cfg.Namespace, w.cfg.ConfigMap, strings.Join(bad, "\n"))
	}
	return out, nil
}
