package hook

import (
	"context"
	"encoding/json"
)

// AdmissionResponse is the answer of a hook to an admission review (C-246).
type AdmissionResponse struct {
	Allowed  bool
	Message  string
	Warnings []string
	// Patch is a JSON patch (RFC 6902) as text; nil without one.
	Patch []byte
}

// ConversionResponse is the answer of a hook to a conversion review (C-258).
type ConversionResponse struct {
	// FailedMessage, if not empty, says why the conversion is impossible.
	FailedMessage string
	// Objects are the converted objects, as many and in the order of the request.
	Objects []json.RawMessage
}

// Webhook is what a loaded hook answers for, and how to ask it.
type Webhook struct {
	Hook        ID
	Admissions  []Admission
	Conversions []Conversion
	// Answer runs the hook once, outside of all lanes and in parallel to itself
	// (C-245). Object operations and metrics of the run are in force when it returns.
	Answer func(ctx context.Context, c Context) (Output, error)
}
