package hook

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/values"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// C-246.
func TestParseAdmissionResponse(t *testing.T) {
	const patch = `[ {"op":"add","path":"/metadata/labels/a","value":"b"}, {"op":"remove","path":"/spec/x"} ]`
	for name, c := range map[string]struct {
		text string
		want *AdmissionResponse
		err  string
	}{
		"an empty file is no answer":     {"", nil, ""},
		"blanks are no answer":           {" \n", nil, ""},
		"null is no answer":              {"null", nil, ""},
		"all keys":                       {`{"allowed":true,"message":"m","warnings":["w1","w2"],"patch":"` + b64(patch) + `"}`, &AdmissionResponse{Allowed: true, Message: "m", Warnings: []string{"w1", "w2"}, Patch: []byte(patch)}, ""},
		"nulls, as jq writes them":       {`{"allowed":true,"message":null,"warnings":null,"patch":null}`, &AdmissionResponse{Allowed: true}, ""},
		"base64 on several lines":        {`{"allowed":true,"patch":"` + b64(patch)[:20] + `\n` + b64(patch)[20:] + `\n"}`, &AdmissionResponse{Allowed: true, Patch: []byte(patch)}, ""},
		"nothing said is a denial":       {`{"message":"no"}`, &AdmissionResponse{Message: "no"}, ""},
		"unknown keys are no concern":    {`{"allowed":true,"x":1}`, &AdmissionResponse{Allowed: true}, ""},
		"no JSON":                        {`allowed: true`, nil, "not JSON at byte"},
		"an array":                       {`[]`, nil, "expected a JSON object, got: array"},
		"allowed as text":                {`{"allowed":"true"}`, nil, "allowed: expected true or false, got: string"},
		"a warning that is none":         {`{"allowed":true,"warnings":[1]}`, nil, "warnings"},
		"two answers":                    {`{"allowed":true}{"allowed":false}`, nil, "more text after the first JSON object"},
		"a patch that is not base64":     {`{"allowed":true,"patch":"[]"}`, nil, "patch: expected base64"},
		"a patch that is not JSON":       {`{"allowed":true,"patch":"` + b64("x: y") + `"}`, nil, "not JSON"},
		"a merge patch":                  {`{"allowed":true,"patch":"` + b64(`{"a":1}`) + `"}`, nil, "which is an array; got an object"},
		"an operation that there is not": {`{"allowed":true,"patch":"` + b64(`[{"op":"set","path":"/a"},{"op":"add"}]`) + `"}`, nil, "patch[0].op should be one of [add remove replace move copy test]"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAdmissionResponse([]byte(c.text))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// C-258.
func TestParseConversionResponse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want *ConversionResponse
		err  string
	}{
		"an empty file is no answer": {"", nil, ""},
		"objects":                    {`{"convertedObjects":[{"a":1},{"b": 2}]}`, &ConversionResponse{Objects: []json.RawMessage{[]byte(`{"a":1}`), []byte(`{"b": 2}`)}}, ""},
		"a failure":                  {`{"failedMessage":"no","convertedObjects":null}`, &ConversionResponse{FailedMessage: "no"}, ""},
		"an object that is none":     {`{"convertedObjects":[{},7]}`, nil, "convertedObjects[1]: expected an object"},
		"a null object":              {`{"convertedObjects":[null]}`, nil, "convertedObjects[0]: expected an object"},
		"no list":                    {`{"convertedObjects":{}}`, nil, "convertedObjects: expected an array, got: object"},
		"no JSON":                    {"{", nil, "not JSON at byte"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseConversionResponse([]byte(c.text))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseAdmissionResponse(f *testing.F) {
	for _, s := range []string{"", "null", `{"allowed":true,"patch":"` + b64(`[{"op":"add","path":"/a","value":1}]`) + `"}`, `{"warnings":[null]}`, `{}{}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseAdmissionResponse(text)
		if err != nil && r != nil {
			t.Errorf("an answer and an error: %+v, %v", r, err)
		}
		if r == nil || r.Patch == nil {
			return
		}
		doc, err := values.Decode(r.Patch)
		if _, ok := doc.([]any); err != nil || !ok {
			t.Errorf("accepted a patch that is no list: %q", r.Patch)
		}
	})
}

func FuzzParseConversionResponse(f *testing.F) {
	for _, s := range []string{"", "null", `{"convertedObjects":[{"a":1}]}`, `{"failedMessage":"x"}`, `{"convertedObjects":[null]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseConversionResponse(text)
		if err != nil && r != nil {
			t.Errorf("an answer and an error: %+v, %v", r, err)
		}
		if r == nil {
			return
		}
		for _, o := range r.Objects {
			if v, err := values.Decode(o); err != nil || v == nil {
				t.Errorf("accepted %q as an object", o)
			}
		}
	})
}
