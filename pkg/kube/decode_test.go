package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
)

func TestListsAreReadObjectByObject(t *testing.T) {
	for name, c := range map[string]struct{ text, want, page string }{
		"a list of Kubernetes' own types": {`{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"x"},"items":[{"a":1},{"b":1.5}]}`,
			`{"a":1} {"b":1.5}`, "7 x"},
		"a list of custom resources, sorted": {`{"apiVersion":"x/v1","items":[{"a":-9007199254740993}],"kind":"XList","metadata":{"resourceVersion":"7"}}`, `{"a":-9007199254740993}`, "7 "},
		"an empty list":                      {`{"metadata":{"resourceVersion":"7"},"items":[]}`, "", "7 "},
		"items that are null":                {`{"metadata":{"resourceVersion":"7"},"items":null}`, "", "7 "},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			p, err := decodeList(strings.NewReader(c.text), func(o map[string]any) {
				text, _ := json.Marshal(o)
				got = append(got, string(text))
			})
			if err != nil || strings.Join(got, " ") != c.want || p.version+" "+p.next != c.page {
				t.Errorf("got %s, page %+v, error %v", got, p, err)
			}
		})
	}
	for text, want := range map[string]string{
		`{"items":[{"a":1},{"b"`: "unexpected EOF",
		``:                       "unexpected EOF",
		`[]`:                     "expected an object",
		`{"items":{}}`:           "expected a list of items",
		`{"items":[null]}`:       "an item is null",
		`{"items":[1]}`:          "cannot unmarshal",
		"<html>":                 "invalid character",
	} {
		if _, err := decodeList(strings.NewReader(text), func(map[string]any) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, expected %s", text, err, want)
		}
	}
}

func TestEventsAreReadUntilTheStreamEnds(t *testing.T) {
	d := decoder(`{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"a","generation":3}}}
{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}`)
	kind, o, err := d.Decode()
	if u, _ := o.(*unstructured.Unstructured); err != nil || kind != watch.Added || u.GetGeneration() != 3 {
		t.Errorf("got %v %v, error %v", kind, o, err)
	}
	if kind, o, err = d.Decode(); err != nil || kind != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(o)) {
		t.Errorf("got %v %v, error %v", kind, o, err)
	}
	if _, _, err = d.Decode(); !errors.Is(err, io.EOF) {
		t.Errorf("the end gives %v", err)
	}
	for text, want := range map[string]string{
		`{"type":"ADDED","obj`:                   "UnexpectedEOF",
		`<html>`:                                 "InternalError",
		`{"type":"ADDED"}`:                       "InternalError",
		`{"type":"NEWS","object":{}}`:            "InternalError",
		`{"type":"ERROR","object":{"code":"x"}}`: "InternalError",
	} {
		d := decoder(text)
		kind, o, err := d.Decode()
		if reason := apierrors.ReasonForError(apierrors.FromObject(o)); err != nil || kind != watch.Error || string(reason) != want {
			t.Errorf("%q gives %s %v, error %v, expected an error event with reason %s", text, kind, o, err, want)
		}
		if _, _, err := d.Decode(); !errors.Is(err, io.EOF) {
			t.Errorf("after %q comes %v", text, err)
		}
	}
}

func decoder(text string) *eventDecoder {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return &eventDecoder{json: d, body: io.NopCloser(strings.NewReader(""))}
}

// What is read is what the dynamic client would have read.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":[1.5,1e400,-0,{"c":null}],"d":"\u0000<&>"}`, `{"n":9223372036854775808}`, `{}`, `{"a":{"a":1,"a":2}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list := append(append([]byte(`{"items":[`), text...), []byte(`],"metadata":{"resourceVersion":"1"}}`)...)
		var got []map[string]any
		_, err := decodeList(bytes.NewReader(list), func(o map[string]any) { got = append(got, o) })
		_, _, _ = (&eventDecoder{json: json.NewDecoder(bytes.NewReader(text)), body: io.NopCloser(nil)}).Decode()
		var want unstructured.Unstructured
		if !json.Valid(text) || want.UnmarshalJSON(text) != nil {
			return // the dynamic client asks for a kind
		}
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want.Object) {
			t.Errorf("%s: got %v, error %v, expected %v", text, got, err, want.Object)
		}
	})
}
