package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// Lists and watches are decoded here and not by the dynamic client: that one
// reads a list as a whole before it decodes its first object, and reads the text
// of every object several times.

// newRaw is a client for any path of the API that answers with the text it got.
func newRaw(cfg *rest.Config, client *http.Client) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	cfg = rest.CopyConfig(cfg)
	cfg.GroupVersion, cfg.APIPath = &schema.GroupVersion{}, "/"
	cfg.ContentType, cfg.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	raw, err := rest.RESTClientForConfigAndClient(cfg, client)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", cfg.Host, err)
	}
	return raw, nil
}

// objects is the source of whole objects: *unstructured.Unstructured with int64
// and float64, as the dynamic client makes them.
type objects struct {
	raw   rest.Interface
	path  []string
	codec runtime.ParameterCodec
	// apiVersion and kind are those of each object: in lists of Kubernetes' own
	// types they are left out.
	apiVersion, kind string
}

// source lists and watches r in a namespace; in all with "" or where there are none.
func (c *Clients) source(r resource, namespace string) objects {
	path := []string{"apis", r.gvr.Group, r.gvr.Version}
	if r.gvr.Group == "" {
		path = []string{"api", r.gvr.Version}
	}
	if r.namespaced && namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	return objects{raw: c.raw, path: append(path, r.gvr.Resource), codec: metav1.ParameterCodec,
		apiVersion: r.gvr.GroupVersion().String(), kind: r.kind}
}

func (s objects) open(ctx context.Context, opts metav1.ListOptions) (io.ReadCloser, error) {
	return s.raw.Get().AbsPath(s.path...).SpecificallyVersionedParams(&opts, s.codec, schema.GroupVersion{Version: "v1"}).Stream(ctx)
}

func (s objects) list(ctx context.Context, opts metav1.ListOptions, put func(metav1.Object)) (page, error) {
	body, err := s.open(ctx, opts)
	if err != nil {
		return page{}, err
	}
	defer body.Close()
	var text io.Reader = body
	if opts.Limit == 0 { // a list in one piece: the server does not wait for what becomes of its objects
		all, err := io.ReadAll(body)
		if err != nil {
			return page{}, fmt.Errorf("read the list: %w", err)
		}
		text = bytes.NewReader(all)
	}
	p, err := decodeList(text, func(o map[string]any) {
		if _, told := o["kind"]; !told {
			o["kind"], o["apiVersion"] = s.kind, s.apiVersion
		}
		put(&unstructured.Unstructured{Object: o})
	})
	if err != nil {
		return page{}, fmt.Errorf("read the list: %w", err)
	}
	return p, nil
}

func (s objects) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	opts.Watch = true
	body, err := s.open(ctx, opts)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(body)
	d.UseNumber()
	return watch.NewStreamWatcher(&eventDecoder{json: d, body: body}, broken{}), nil
}

// decodeList reads the JSON of a list and hands on each item as soon as it is read.
func decodeList(from io.Reader, put func(map[string]any)) (page, error) {
	d := json.NewDecoder(from)
	d.UseNumber()
	var p page
	err := eachKey(d, func(key string) error {
		switch key {
		case "metadata":
			var meta struct{ ResourceVersion, Continue string }
			err := d.Decode(&meta)
			p = page{version: meta.ResourceVersion, next: meta.Continue}
			return err
		case "items":
			return decodeItems(d, put)
		}
		var skipped json.RawMessage
		return d.Decode(&skipped)
	})
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return p, err
}

// eachKey calls read for every key of the object that comes next; read takes the value.
func eachKey(d *json.Decoder, read func(key string) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(err, expected("an object", t))
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if err := read(key.(string)); err != nil { // keys are strings, or Token fails
			return err
		}
	}
	_, err := d.Token()
	return err
}

func decodeItems(d *json.Decoder, put func(map[string]any)) error {
	t, err := d.Token()
	if err != nil || t == nil { // "items": null
		return err
	}
	if t != json.Delim('[') {
		return expected("a list of items", t)
	}
	for d.More() {
		var o map[string]any
		if err := d.Decode(&o); err != nil {
			return err
		}
		if o == nil {
			return errors.New("an item is null")
		}
		numbers(o)
		put(o)
	}
	_, err = d.Token()
	return err
}

// decodeObject reads one object.
func decodeObject(text []byte) (*unstructured.Unstructured, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		return nil, err
	}
	numbers(o)
	return &unstructured.Unstructured{Object: o}, nil
}

func expected(what string, got json.Token) error {
	if got == nil {
		return nil
	}
	return fmt.Errorf("expected %s, got %v", what, got)
}

// numbers turns, in place, decoded numbers into int64 where they are whole, else float64.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64() // beyond its range it is infinite, as nowhere in the API
		return f
	case map[string]any:
		for k, e := range v {
			switch e.(type) {
			case json.Number, map[string]any, []any:
				v[k] = numbers(e)
			}
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	}
	return v
}

// eventDecoder reads the events of a watch. What ends one against its will is an
// event too.
type eventDecoder struct {
	json  *json.Decoder
	body  io.ReadCloser
	ended bool
}

// Close implements watch.Decoder.
func (d *eventDecoder) Close() { _ = d.body.Close() }

// Decode implements watch.Decoder. io.EOF is the end that the server made.
func (d *eventDecoder) Decode() (watch.EventType, runtime.Object, error) {
	if d.ended {
		return "", nil, io.EOF
	}
	kind, o, err := d.next()
	if err == nil || errors.Is(err, io.EOF) {
		return kind, o, err
	}
	d.ended = true
	return watch.Error, broken{}.AsObject(err), nil
}

func (d *eventDecoder) next() (watch.EventType, runtime.Object, error) {
	var e struct {
		Type   watch.EventType
		Object map[string]any
	}
	if err := d.json.Decode(&e); err != nil {
		return "", nil, err
	}
	if e.Object == nil {
		return "", nil, &eventError{fmt.Sprintf("an event of type %q without an object", e.Type)}
	}
	numbers(e.Object)
	switch e.Type {
	case watch.Added, watch.Modified, watch.Deleted, watch.Bookmark:
		return e.Type, &unstructured.Unstructured{Object: e.Object}, nil
	case watch.Error:
		var status metav1.Status
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(e.Object, &status); err != nil {
			return "", nil, &eventError{fmt.Sprintf("an error that is no Status: %v", err)}
		}
		return watch.Error, &status, nil
	}
	return "", nil, &eventError{fmt.Sprintf("an event of unknown type %q", e.Type)}
}

// eventError is an event that the API does not know.
type eventError struct{ text string }

func (e *eventError) Error() string { return e.text }

// reasonCut says that a connection ended, and not in due form.
const reasonCut metav1.StatusReason = "UnexpectedEOF"

// broken turns what ends a watch into the object of an event.
type broken struct{}

// AsObject implements watch.Reporter.
func (broken) AsObject(err error) runtime.Object {
	reason := reasonCut
	var event *eventError
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &event) || errors.As(err, &syntax) || errors.As(err, &kind) {
		reason = metav1.StatusReasonInternalError
	}
	return &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: reason,
		Message: fmt.Sprintf("the watch ended: %v", err)}
}
