package sdk

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Admission records the answer to the review of a Validating or Mutating context
// (C-246). The last call counts; without one the request is denied.
type Admission struct{ out *output }

type admissionFile struct {
	Allowed  bool     `json:"allowed"`
	Message  string   `json:"message,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Patch    []byte   `json:"patch,omitempty"` // encoding/json writes base64
}

// Allow lets the request pass. Warnings are shown to who made it.
func (a *Admission) Allow(warnings ...string) {
	a.answer(admissionFile{Allowed: true, Warnings: warnings})
}

// Deny refuses the request and says why.
func (a *Admission) Deny(message string, warnings ...string) {
	a.answer(admissionFile{Message: message, Warnings: warnings})
}

// Patch lets the request pass with the object changed; for Mutating only.
func (a *Admission) Patch(patch ...PatchOp) {
	text, err := json.Marshal(orNone(patch))
	if err != nil {
		a.out.fail(fmt.Errorf("admission patch: %w", err))
		return
	}
	a.answer(admissionFile{Allowed: true, Patch: text})
}

func (a *Admission) answer(f admissionFile) {
	a.out.response(&a.out.admission, "admission response", f)
}

// Conversion records the answer to the review of a Conversion context (C-258).
// The last call counts.
type Conversion struct{ out *output }

type conversionFile struct {
	FailedMessage    string            `json:"failedMessage,omitempty"`
	ConvertedObjects []json.RawMessage `json:"convertedObjects,omitempty"`
}

// Objects answers with the converted objects, as many and in the order of the request.
func (c *Conversion) Objects(objects []json.RawMessage) {
	c.answer(conversionFile{ConvertedObjects: objects})
}

// Fail answers that the conversion is impossible, and why.
func (c *Conversion) Fail(message string) { c.answer(conversionFile{FailedMessage: message}) }

// Each answers with the objects of the request after convert has changed those of
// the version From of the context in place; the others are passed on as they are
// (C-257). The apiVersion is set to To by Each. An error of convert becomes the
// message of Fail.
func (c *Conversion) Each(from Context, convert func(object map[string]any) error) error {
	request, err := from.ConversionRequest()
	if err != nil {
		return err
	}
	out := make([]json.RawMessage, len(request.Objects))
	for i, text := range request.Objects {
		decoded, err := values.Decode(text) // whole numbers stay whole (C-212)
		o, ok := decoded.(map[string]any)
		if err != nil || !ok {
			return fmt.Errorf("object %d of the conversion request: expected a JSON object (%w)", i, err)
		}
		version, _ := o["apiVersion"].(string)
		if !sameVersion(version, from.From) {
			out[i] = text
			continue
		}
		o["apiVersion"] = fullVersion(version, from.To)
		if err := convert(o); err != nil {
			c.Fail(err.Error())
			return nil
		}
		if out[i], err = json.Marshal(o); err != nil {
			return fmt.Errorf("converted object %d: %w", i, err)
		}
	}
	c.Objects(out)
	return nil
}

func (c *Conversion) answer(f conversionFile) {
	c.out.response(&c.out.conversion, "conversion response", f)
}

// sameVersion compares an object's version with that of a step, which may be short.
func sameVersion(full, step string) bool {
	_, short, grouped := strings.Cut(full, "/")
	return full == step || grouped && short == step
}

// fullVersion is a step's version in the group of another.
func fullVersion(of, step string) string {
	group, _, grouped := strings.Cut(of, "/")
	if !grouped || strings.Contains(step, "/") {
		return step
	}
	return group + "/" + step
}
