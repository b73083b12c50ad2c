package hook

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// C-220 … C-222.
func TestParseSamples(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		want     []Sample
		warnings int
	}{
		"an empty file":           {"", nil, 0},
		"every key":               {`{"name":"a","group":"g","action":"observe","value":1.5,"buckets":[1,2.5],"labels":{"x":"y"}}`, []Sample{{Name: "a", Group: "g", Action: "observe", Value: 1.5, Buckets: []float64{1, 2.5}, Labels: map[string]string{"x": "y"}}}, 0},
		"shortcuts":               {"{\"name\":\"a\",\"add\":1}\n{\"name\":\"b\",\"set\":2.5}", []Sample{{Name: "a", Action: "add", Value: 1}, {Name: "b", Action: "set", Value: 2.5}}, 0},
		"both shortcuts":          {`{"name":"a","add":1,"set":2} {"name":"b","set":0}`, []Sample{{Name: "b", Action: "set"}}, 1},
		"an unknown action":       {`{"name":"a","action":"inc","value":1}`, nil, 1},
		"no action":               {`{"name":"a","value":1}`, nil, 1},
		"a group is cleared":      {`{"group":"g","action":"expire"}`, []Sample{{Group: "g", Action: "expire"}}, 0},
		"expire without a group":  {`{"action":"expire"}`, []Sample{{Action: "expire"}}, 0},
		"null is absent":          {`{"name":"a","add":null,"set":1,"labels":null}`, []Sample{{Name: "a", Action: "set", Value: 1}}, 0},
		"unknown keys are passed": {`{"name":"a","set":1,"help":"x"}`, []Sample{{Name: "a", Action: "set", Value: 1}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, warnings, err := ParseSamples([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if len(warnings) != c.warnings {
				t.Errorf("got warnings %q", warnings)
			}
		})
	}
}

func TestParseSamplesListsAllViolations(t *testing.T) {
	_, _, err := ParseSamples([]byte(`{"action":"set"} {"name":"a","action":"observe","value":1} {"name":"b","set":"1"} {"name":"c","set":1,"labels":{"x":1}} {"name":"d","action":"observe","value":1,"buckets":[2,1]} [1]`))
	for _, want := range []string{
		"got bad metrics", "document 1.name is required", "document 1.value is required", "document 2.buckets is required", "document 3.set should be a number",
		"document 4.labels.x should be a string", "document 5.buckets[1] should be above", "document 6 should be an object",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if _, _, err := ParseSamples([]byte(`{"name":"a","set":1} {`)); err == nil || !strings.Contains(err.Error(), "got bad metrics: document 2") {
		t.Errorf("got %v", err)
	}
}

func TestAFloodOfBadDocumentsIsNoFloodOfMessages(t *testing.T) {
	_, _, err := ParseSamples([]byte(strings.Repeat(`{"action":"set"}`, 1000)))
	if err == nil || strings.Count(err.Error(), "\n") != maxMessages+1 || !strings.HasSuffix(err.Error(), "and 1950 more") {
		t.Errorf("got %v", err)
	}
	_, warnings, err := ParseSamples([]byte(strings.Repeat(`{"action":"inc"}`, 1000)))
	if err != nil || len(warnings) != maxMessages+1 || warnings[maxMessages] != "and 950 more" {
		t.Errorf("got %v, %v", warnings, err)
	}
	if _, err := ParseOperations([]byte(strings.Repeat("---\n", 1<<16) + strings.Repeat("---\n{}\n", 1000))); err == nil || !strings.HasSuffix(err.Error(), "and 950 more") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseSamples(f *testing.F) {
	f.Add([]byte(`{"name":"a","group":"g","action":"observe","value":1.5,"buckets":[1,2.5],"labels":{"x":"y"}}`))
	f.Add([]byte(`{"name":"a","add":1}` + "\n" + `{"group":"g","action":"expire"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		samples, _, err := ParseSamples(text)
		if err != nil && samples != nil {
			t.Error("samples beside an error")
		}
		for _, s := range samples {
			if s.Name == "" && s.Action != "expire" {
				t.Errorf("accepted %+v", s)
			}
		}
	})
}
