package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// output is what a run asked for, as an executable would write it.
type output struct {
	values, config      []values.Op
	operations, samples bytes.Buffer
	admission           []byte
	conversion          []byte
	err                 error
}

func (o *output) fail(err error) { o.err = errors.Join(o.err, err) }

// line appends one JSON document.
func (o *output) line(to *bytes.Buffer, what string, doc any) {
	text, err := json.Marshal(doc)
	if err != nil {
		o.fail(fmt.Errorf("%s: %w", what, err))
		return
	}
	to.Write(text)
	to.WriteByte('\n')
}

// response keeps the last answer.
func (o *output) response(to *[]byte, what string, doc any) {
	var text bytes.Buffer
	o.line(&text, what, doc)
	*to = text.Bytes()
}

// patchText is a values patch as one document; nothing without operations (C-320).
func patchText(ops []values.Op) ([]byte, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(ops)
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// file is an output file: the variables that may name it, and its content.
type file struct {
	env  []string
	text []byte
}

// files are the output files that have content.
func (o *output) files() ([]file, error) {
	vals, err := patchText(o.values)
	if err != nil {
		return nil, err
	}
	config, err := patchText(o.config)
	if err != nil {
		return nil, err
	}
	var out []file
	for _, f := range []file{
		{[]string{"VALUES_JSON_PATCH_PATH"}, vals},
		{[]string{"CONFIG_VALUES_JSON_PATCH_PATH"}, config},
		{[]string{"KUBERNETES_PATCH_PATH"}, o.operations.Bytes()},
		{[]string{"METRICS_PATH"}, o.samples.Bytes()},
		{[]string{"ADMISSION_RESPONSE_PATH", "VALIDATING_RESPONSE_PATH"}, o.admission},
		{[]string{"CONVERSION_RESPONSE_PATH"}, o.conversion},
	} {
		if len(f.text) > 0 {
			out = append(out, f)
		}
	}
	return out, nil
}

// parsed reads the output as that of an executable is read (C-108).
func (o *output) parsed(log *slog.Logger) (hook.Output, error) {
	files, err := o.files()
	if err != nil {
		return hook.Output{}, err
	}
	var out hook.Output
	var errs []error
	for _, f := range files {
		var err error
		switch f.env[0] {
		case "VALUES_JSON_PATCH_PATH":
			out.Values, err = values.ParsePatch(f.text)
		case "CONFIG_VALUES_JSON_PATCH_PATH":
			out.Config, err = values.ParsePatch(f.text)
		case "KUBERNETES_PATCH_PATH":
			out.Operations, err = hook.ParseOperations(f.text)
		case "METRICS_PATH":
			var warnings []string
			out.Samples, warnings, err = hook.ParseSamples(f.text)
			for _, w := range warnings {
				log.Warn("metric operation passed over", "reason", w)
			}
		case "ADMISSION_RESPONSE_PATH":
			out.Admission, err = hook.ParseAdmissionResponse(f.text)
		case "CONVERSION_RESPONSE_PATH":
			out.Conversion, err = hook.ParseConversionResponse(f.text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("bad %s: %w", f.env[0], err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return hook.Output{}, err
	}
	return out, nil
}
