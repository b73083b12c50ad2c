package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// conversionTimeout is how long the API server waits for a conversion.
const conversionTimeout = 30 * time.Second

// conversionRequest is the request of a ConversionReview; v1 and v1beta1 agree on it.
type conversionRequest struct {
	UID               string            `json:"uid"`
	DesiredAPIVersion string            `json:"desiredAPIVersion"`
	Objects           []json.RawMessage `json:"objects"`
}

type conversionAnswer struct {
	UID              string            `json:"uid"`
	ConvertedObjects []json.RawMessage `json:"convertedObjects"`
	Result           metav1.Status     `json:"result"`
}

func conversionFailure(request json.RawMessage, message string) conversionAnswer {
	return conversionAnswer{
		UID: uidOf(request), ConvertedObjects: []json.RawMessage{},
		Result: metav1.Status{Status: metav1.StatusFailure, Message: message},
	}
}

// convert brings all objects to the desired version (C-257, C-258).
func (h *handler) convert(ctx context.Context, route conversionRoute, in review) (conversionAnswer, Request) {
	request := Request{Hook: route.steps[0].hook.Hook, Binding: route.steps[0].binding.Name, Type: hook.TypeConversion, Result: "failed"}
	var asked conversionRequest
	if err := json.Unmarshal(in.Request, &asked); err != nil {
		return conversionFailure(in.Request, fmt.Sprintf("Conversion %s: not a conversion request: %v", route.crd, err)), request
	}
	c := conversion{route: route, review: in, request: asked}
	if err := c.run(ctx, &request); err != nil {
		h.cfg.Logger.Warn("conversion failed", "crd", route.crd, "to", asked.DesiredAPIVersion, "objects", len(asked.Objects), "error", err)
		return conversionFailure(in.Request, err.Error()), request
	}
	request.Result = "converted"
	h.cfg.Logger.Debug("converted", "crd", route.crd, "to", asked.DesiredAPIVersion, "objects", len(asked.Objects))
	return conversionAnswer{UID: asked.UID, ConvertedObjects: c.request.Objects, Result: metav1.Status{Status: metav1.StatusSuccess}}, request
}

// conversion is one request on its way; its objects are those of the last step.
type conversion struct {
	route   conversionRoute
	review  review
	request conversionRequest
}

// run goes the way of each version that is not the desired one.
func (c *conversion) run(ctx context.Context, last *Request) error {
	to := c.request.DesiredAPIVersion
	tried := map[string]bool{}
	for {
		from, err := c.unconverted()
		if err != nil || from == "" {
			return err
		}
		steps := chain(c.route.rules, from, to)
		if steps == nil || tried[from] {
			return fmt.Errorf("Conversion %s to %s was not successful: %s", c.route.crd, to, c.why(from, steps))
		}
		tried[from] = true
		for _, i := range steps {
			step := c.route.steps[i]
			last.Hook, last.Binding = step.hook.Hook, step.binding.Name
			if err := c.step(ctx, step, c.route.rules[i]); err != nil {
				return err
			}
		}
	}
}

func (c *conversion) why(from string, steps []int) string {
	if steps == nil {
		return fmt.Sprintf("the hooks know no way from %s", from)
	}
	return fmt.Sprintf("the hooks left objects at %s", from)
}

// unconverted is the version of the first object that is not of the desired one.
func (c *conversion) unconverted() (string, error) {
	for i, o := range c.request.Objects {
		var of struct {
			APIVersion string `json:"apiVersion"`
		}
		if err := json.Unmarshal(o, &of); err != nil || of.APIVersion == "" {
			return "", fmt.Errorf("Conversion %s: object %d has no apiVersion", c.route.crd, i)
		}
		if of.APIVersion != c.request.DesiredAPIVersion {
			return of.APIVersion, nil
		}
	}
	return "", nil
}

// step runs one hook with all objects.
func (c *conversion) step(ctx context.Context, s conversionStep, rule hook.ConversionRule) error {
	request, err := json.Marshal(c.request)
	if err != nil {
		return err
	}
	out, err := s.hook.Answer(ctx, hook.Context{
		Binding: s.binding.Name, Type: hook.TypeConversion, From: rule.From, To: rule.To,
		Review: oneReview(c.review, request), Snapshots: s.binding.Snapshots,
	})
	failed := "Hook failed to convert to " + rule.To
	switch {
	case err != nil:
		return fmt.Errorf("%s: %s", failed, failure(ctx, s.hook.Hook, err))
	case out.Conversion == nil:
		return fmt.Errorf("%s: hook %s wrote no answer for binding %q: it has to write "+
			`{"convertedObjects": […]} or {"failedMessage": "…"} to the file named by CONVERSION_RESPONSE_PATH`, failed, s.hook.Hook, s.binding.Name)
	case out.Conversion.FailedMessage != "":
		return fmt.Errorf("%s", out.Conversion.FailedMessage)
	case len(out.Conversion.Objects) != len(c.request.Objects):
		return fmt.Errorf("%s: hook %s returned %d objects instead of %d", failed, s.hook.Hook, len(out.Conversion.Objects), len(c.request.Objects))
	}
	c.request.Objects = out.Conversion.Objects
	return nil
}
