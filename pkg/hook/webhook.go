package hook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/addon-operator/addon-operator/pkg/values"
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
	Hook ID
	// Account is Hook.Account: it must have the right to make such webhooks itself.
	Account     string
	Admissions  []Admission
	Conversions []Conversion
	// Answer runs the hook once, outside of all lanes and in parallel to itself
	// (C-245). Object operations and metrics of the run are in force when it returns.
	Answer func(ctx context.Context, c Context) (Output, error)
}

// ParseAdmissionResponse reads ADMISSION_RESPONSE_PATH (C-246): one JSON object.
// An empty file is nil. A hook that leaves out allowed denies. The patch is
// decoded from base64 and must be a JSON patch (RFC 6902).
func ParseAdmissionResponse(text []byte) (*AdmissionResponse, error) {
	const what = "admission response"
	var file *struct {
		Allowed  bool     `json:"allowed"`
		Message  string   `json:"message"`
		Warnings []string `json:"warnings"`
		Patch    string   `json:"patch"`
	}
	if err := decodeResponse(what, text, &file); err != nil {
		return nil, err
	}
	if file == nil {
		return nil, nil
	}
	patch, err := responsePatch(file.Patch)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return &AdmissionResponse{Allowed: file.Allowed, Message: file.Message, Warnings: file.Warnings, Patch: patch}, nil
}

// ParseConversionResponse reads CONVERSION_RESPONSE_PATH (C-258): one JSON
// object. An empty file is nil. How many objects there must be is the caller's
// to know.
func ParseConversionResponse(text []byte) (*ConversionResponse, error) {
	const what = "conversion response"
	var file *struct {
		FailedMessage    string            `json:"failedMessage"`
		ConvertedObjects []json.RawMessage `json:"convertedObjects"`
	}
	if err := decodeResponse(what, text, &file); err != nil {
		return nil, err
	}
	if file == nil {
		return nil, nil
	}
	for i, o := range file.ConvertedObjects {
		if len(o) == 0 || o[0] != '{' {
			return nil, fmt.Errorf("%s: convertedObjects[%d]: expected an object, got %.60q", what, i, o)
		}
	}
	return &ConversionResponse{FailedMessage: file.FailedMessage, Objects: file.ConvertedObjects}, nil
}

// decodeResponse reads the one document that text holds; into stays as it is when there is none.
func decodeResponse(what string, text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	err := d.Decode(into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("%s: expected a JSON object, got: %s", what, wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("%s: %s: expected %s, got: %s", what, wrong.Field, jsonType(wrong.Type), wrong.Value)
	case err != nil:
		return fmt.Errorf("%s: not JSON at byte %d: %w", what, d.InputOffset(), err)
	}
	if err := d.Decode(new(json.RawMessage)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more text after the first JSON object: write it once, with > and not with >>", what)
	}
	return nil
}

func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	}
	return "an array"
}

// responsePatch decodes and checks a patch; its bytes stay as the hook wrote them.
func responsePatch(encoded string) ([]byte, error) {
	if encoded == "" {
		return nil, nil
	}
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("patch: expected base64 of a JSON patch (RFC 6902): %w", err)
	}
	doc, err := values.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("patch: decoded from base64 it is not JSON: %w", err)
	}
	if _, ok := doc.([]any); !ok {
		return nil, fmt.Errorf("patch: expected a JSON patch (RFC 6902), which is an array; got %s", show(doc))
	}
	c := &checker{}
	c.patchList("patch", doc)
	if err := c.err("patch"); err != nil {
		return nil, err
	}
	return text, nil
}
