package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/doctor"
)

func TestFindingsAreAListForProgramsEvenWithoutAny(t *testing.T) {
	f := findings[doctor.Finding]{text: doctor.Print}
	for _, found := range [][]doctor.Finding{nil, {{Object: "Module x"}, {Object: "Module y"}}} {
		var text bytes.Buffer
		var out struct{ Findings []doctor.Finding }
		err := f.print(&text, "json", found)
		if err != nil || json.Unmarshal(text.Bytes(), &out) != nil || out.Findings == nil || len(out.Findings) != len(found) {
			t.Errorf("%v\n%s", err, text.String())
		}
	}
}
