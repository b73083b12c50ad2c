package webhook

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admission "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// quiet is a Config without files or log, and an API server that does not answer.
func quiet(t testing.TB) Config {
	t.Helper()
	client, err := dynamic.NewForConfig(&rest.Config{Host: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Dynamic: client, Logger: slog.New(slog.DiscardHandler),
		Admission: Endpoint{Cert: "none"}, Conversion: Endpoint{Cert: "none"},
	}
}

// desk is a handler with some hooks of which no cluster knows.
func desk(t testing.TB, requests *[]Request, hooks ...hook.Webhook) *handler {
	t.Helper()
	cfg := quiet(t)
	cfg.MaxBody = 4096
	cfg.Observe = func(r Request) {
		if requests != nil {
			*requests = append(*requests, r)
		}
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRegistration(hook.Standalone, hooks)
	if err != nil {
		t.Fatal(err)
	}
	s.table.owners[hook.Standalone] = r
	s.table.withdrawn.Insert("/hooks/gone-example-com")
	return &handler{cfg: &s.cfg, find: s.find}
}

func post(h http.Handler, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	h.ServeHTTP(w, r)
	return w
}

func admitting(name string, r *hook.AdmissionResponse, change ...func(*hook.Admission)) hook.Webhook {
	a := hook.Admission{Route: hook.Route{Name: name, Snapshots: []string{"pods"}}, TimeoutSeconds: 10}
	for _, c := range change {
		c(&a)
	}
	return hook.Webhook{
		Hook: hook.ID{Owner: hook.Standalone, Name: "p.sh"}, Admissions: []hook.Admission{a},
		Answer: func(_ context.Context, c hook.Context) (hook.Output, error) {
			if want := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","x":1}}`; string(c.Review) != want && !strings.Contains(string(c.Review), "v1beta1") {
				return hook.Output{}, fmt.Errorf("got review %s", c.Review)
			}
			if len(c.Snapshots) != 1 {
				return hook.Output{}, errors.New("no snapshots")
			}
			return hook.Output{Admission: r}, nil
		},
	}
}

const admissionReview = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","x":1}}`

// C-244 … C-248.
func TestAnswersToAdmissionReviews(t *testing.T) {
	mutating := func(a *hook.Admission) { a.Mutating = true }
	ignoring := func(a *hook.Admission) { a.FailurePolicy = admission.Ignore }
	yes := &hook.AdmissionResponse{Allowed: true, Warnings: []string{"w"}}
	for sentence, c := range map[string]struct {
		hook hook.Webhook
		path string
		body string
		want string // of the response
		told string // Request.Result
	}{
		"allowed":                    {admitting("a.example.com", yes), "/hooks/a-example-com", admissionReview, `{"uid":"u","allowed":true,"warnings":["w"]}`, "allowed"},
		"denied (C-246)":             {admitting("a.example.com", &hook.AdmissionResponse{Message: "no", Warnings: []string{"w"}}), "/hooks/a-example-com", admissionReview, `{"uid":"u","allowed":false,"status":{"metadata":{},"status":"Failure","message":"no","reason":"Forbidden","code":403},"warnings":["w"]}`, "denied"},
		"patched (C-246)":            {admitting("a.example.com", &hook.AdmissionResponse{Allowed: true, Patch: []byte(`[]`)}, mutating), "/hooks/a-example-com", admissionReview, `{"uid":"u","allowed":true,"patch":"W10=","patchType":"JSONPatch"}`, "allowed"},
		"denied with a patch":        {admitting("a.example.com", &hook.AdmissionResponse{Patch: []byte(`[]`)}, mutating), "/hooks/a-example-com", admissionReview, `{"uid":"u","allowed":false,"status":{"metadata":{},"status":"Failure","reason":"Forbidden","code":403}}`, "denied"},
		"silent, Fail (B-14)":        {admitting("a.example.com", nil), "/hooks/a-example-com", admissionReview, "hook hooks/p.sh wrote no answer for binding \\\"a.example.com\\\"", "failed"},
		"silent, Ignore (B-14)":      {admitting("a.example.com", nil, ignoring), "/hooks/a-example-com", admissionReview, `"allowed":true,"warnings":["hook hooks/p.sh wrote no answer`, "failed"},
		"an unknown path (C-248)":    {admitting("a.example.com", yes), "/hooks/other", admissionReview, `"message":"no hook found for 'hooks' 'other'","reason":"InternalError","code":500`, "failed"},
		"a path without binding":     {admitting("a.example.com", yes), "/hooks/gone-example-com", admissionReview, `{"uid":"u","allowed":true}`, "allowed"},
		"the old version (C-244)":    {admitting("a.example.com", yes), "/hooks/a-example-com", strings.Replace(admissionReview, "v1", "v1beta1", 1), `{"uid":"u","allowed":true,"warnings":["w"]}`, "allowed"},
		"a uid that is no string":    {admitting("a.example.com", yes), "/hooks/other", strings.Replace(admissionReview, `"u"`, `7`, 1), `{"uid":"","allowed":false`, "failed"},
		"an unknown CRD":             {admitting("a.example.com", yes), "/crontabs.example.com", strings.Replace(conversionReview, `"v1"`, `"v1"`, 1), `{"uid":"u","convertedObjects":[],"result":{"metadata":{},"status":"Failure","message":"no hook found for 'crontabs.example.com' ''"}}`, "failed"},
		"a hook whose review is bad": {admitting("a.example.com", yes), "/hooks/a-example-com", strings.Replace(admissionReview, `"x":1`, `"x":2`, 1), `"message":"Hook failed: hook hooks/p.sh: got review`, "failed"},
	} {
		t.Run(sentence, func(t *testing.T) {
			var requests []Request
			w := post(desk(t, &requests, c.hook), c.path, c.body)
			var got struct {
				APIVersion, Kind string
				Response         json.RawMessage
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			if !strings.Contains(c.body, got.APIVersion) || !strings.Contains(c.body, got.Kind) {
				t.Errorf("answered as %s %s", got.APIVersion, got.Kind)
			}
			if !strings.Contains(string(got.Response), c.want) {
				t.Errorf("got  %s\nwant %s", got.Response, c.want)
			}
			if len(requests) != 1 || requests[0].Result != c.told {
				t.Errorf("told %+v", requests)
			}
		})
	}
}

// C-244, C-247.
func TestRequestsThatAreNoReviews(t *testing.T) {
	h := desk(t, nil, admitting("a.example.com", nil))
	for sentence, c := range map[string]struct {
		method, kind, body string
		want               int
	}{
		"GET":                  {http.MethodGet, "application/json", "", http.StatusMethodNotAllowed},
		"not JSON by its type": {http.MethodPost, "application/yaml", admissionReview, http.StatusUnsupportedMediaType},
		"no type":              {http.MethodPost, "", admissionReview, http.StatusUnsupportedMediaType},
		"not JSON":             {http.MethodPost, "application/json", "{", http.StatusBadRequest},
		"nothing":              {http.MethodPost, "application/json", "", http.StatusBadRequest},
		"no request":           {http.MethodPost, "application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, http.StatusBadRequest},
		"a null request":       {http.MethodPost, "application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}`, http.StatusBadRequest},
		"an unknown version":   {http.MethodPost, "application/json", `{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview","request":{}}`, http.StatusBadRequest},
		"too much":             {http.MethodPost, "application/json", `{"x":"` + strings.Repeat("x", 5000) + `"}`, http.StatusRequestEntityTooLarge},
	} {
		t.Run(sentence, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "/hooks/a-example-com", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, c.want)
			}
		})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != http.StatusOK {
		t.Errorf("healthz: got %d", w.Code)
	}
}

const conversionReview = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"u","desiredAPIVersion":"g/v1","objects":[{"apiVersion":"g/v1alpha1","n":1},{"apiVersion":"g/v1","n":2},{"apiVersion":"g/v1beta1","n":3}]}}`

// C-257, C-258: every hop gets all objects, whatever their version.
func TestAnswersToConversionReviews(t *testing.T) {
	const crd = "crontabs.g"
	convert := func(f func(c hook.Context, objects []json.RawMessage) (*hook.ConversionResponse, error), rules ...hook.ConversionRule) hook.Webhook {
		return hook.Webhook{
			Hook:        hook.ID{Owner: hook.Standalone, Name: "c.sh"},
			Conversions: []hook.Conversion{{Route: hook.Route{Name: "up"}, CRD: crd, Rules: rules}},
			Answer: func(_ context.Context, c hook.Context) (hook.Output, error) {
				var in struct {
					Kind    string
					Request conversionRequest
				}
				if err := json.Unmarshal(c.Review, &in); err != nil || in.Kind != "ConversionReview" || in.Request.UID != "u" || in.Request.DesiredAPIVersion != "g/v1" {
					return hook.Output{}, fmt.Errorf("got review %s", c.Review)
				}
				r, err := f(c, in.Request.Objects)
				return hook.Output{Conversion: r}, err
			},
		}
	}
	up := []hook.ConversionRule{{From: "v1alpha1", To: "v1beta1"}, {From: "g/v1beta1", To: "g/v1"}}
	replace := func(c hook.Context, objects []json.RawMessage) (*hook.ConversionResponse, error) {
		out := &hook.ConversionResponse{}
		for _, o := range objects {
			out.Objects = append(out.Objects, bytes.Replace(o, []byte(`"g/`+short(c.From)+`"`), []byte(`"g/`+short(c.To)+`"`), 1))
		}
		return out, nil
	}
	is := func(r *hook.ConversionResponse, err error) func(hook.Context, []json.RawMessage) (*hook.ConversionResponse, error) {
		return func(hook.Context, []json.RawMessage) (*hook.ConversionResponse, error) { return r, err }
	}
	for sentence, c := range map[string]struct {
		hook hook.Webhook
		body string
		want string
	}{
		"all versions become one":    {convert(replace, up...), conversionReview, `{"uid":"u","convertedObjects":[{"apiVersion":"g/v1","n":1},{"apiVersion":"g/v1","n":2},{"apiVersion":"g/v1","n":3}],"result":{"metadata":{},"status":"Success"}}`},
		"the old version of reviews": {convert(replace, up...), strings.Replace(conversionReview, "k8s.io/v1", "k8s.io/v1beta1", 1), `"status":"Success"`},
		"no way (C-258)":             {convert(replace, up[1]), conversionReview, `"message":"Conversion crontabs.g to g/v1 was not successful: the hooks know no way from g/v1alpha1"`},
		"left as it was (C-258)": {convert(func(_ hook.Context, o []json.RawMessage) (*hook.ConversionResponse, error) {
			return &hook.ConversionResponse{Objects: o}, nil
		}, up...), conversionReview, `"message":"Conversion crontabs.g to g/v1 was not successful: the hooks left objects at g/v1alpha1"`},
		"failedMessage (B-14)":        {convert(is(&hook.ConversionResponse{FailedMessage: "cannot do 50% of it"}, nil), up...), conversionReview, `"message":"cannot do 50% of it"`},
		"a hook that fails (C-258)":   {convert(is(nil, &hook.RunError{Hook: hook.ID{Owner: hook.Standalone, Name: "c.sh"}, Cause: "exit status 1", Stderr: "boom"}), up...), conversionReview, `"message":"Hook failed to convert to v1beta1: hook hooks/c.sh: exit status 1: boom"`},
		"a hook that is silent":       {convert(is(nil, nil), up...), conversionReview, `Hook failed to convert to v1beta1: hook hooks/c.sh wrote no answer for binding \"up\"`},
		"too few objects (C-258)":     {convert(is(&hook.ConversionResponse{}, nil), up...), conversionReview, `hook hooks/c.sh returned 0 objects instead of 3`},
		"an object without a version": {convert(replace, up...), strings.Replace(conversionReview, `"apiVersion":"g/v1beta1",`, "", 1), `object 2 has no apiVersion`},
		"no objects":                  {convert(replace, up...), `{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"u","desiredAPIVersion":"g/v1","objects":[]}}`, `{"uid":"u","convertedObjects":[],"result":{"metadata":{},"status":"Success"}}`},
		"objects that are no list":    {convert(replace, up...), `{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"u","objects":1}}`, `not a conversion request`},
	} {
		t.Run(sentence, func(t *testing.T) {
			w := post(desk(t, nil, c.hook), "/"+crd+"?timeout=30s", c.body)
			var got struct{ Response json.RawMessage }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			if !strings.Contains(string(got.Response), c.want) {
				t.Errorf("got  %s\nwant %s", got.Response, c.want)
			}
		})
	}
}

// The API server tells how long it waits; a hook gets a bit less.
func TestDeadlinesEndBeforeTheAPIServerStopsWaiting(t *testing.T) {
	for query, want := range map[string]time.Duration{
		"":              29 * time.Second,
		"?timeout=10s":  9 * time.Second,
		"?timeout=1s":   900 * time.Millisecond,
		"?timeout=60s":  29 * time.Second,
		"?timeout=-1s":  29 * time.Second,
		"?timeout=rest": 29 * time.Second,
	} {
		began := time.Now()
		ctx, stop := deadline(httptest.NewRequest(http.MethodPost, "/x"+query, nil), 30*time.Second)
		at, _ := ctx.Deadline()
		stop()
		if got := at.Sub(began); got < want || got > want+time.Since(began) {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

// C-240: with client CAs, nobody without a certificate of theirs is heard.
func TestClientCertificatesAreRequired(t *testing.T) {
	made, err := renew(issued{}, []string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, made.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := quiet(t)
	address := freePort(t)
	cfg.URL = "https://" + address
	cfg.Admission.ListenAddress, cfg.Admission.ClientCAs = address, []string{file}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	if _, err := s.ready(ctx, s.admission); err != nil {
		t.Fatal(err)
	}
	ask := func(certificates ...tls.Certificate) error {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(s.admission.certs.current.Load().ca)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}}}
		defer client.CloseIdleConnections()
		r, err := client.Get("https://" + address + "/healthz")
		if err == nil {
			_ = r.Body.Close()
		}
		return err
	}
	if err := ask(); err == nil {
		t.Error("a client without a certificate was heard")
	}
	if err := ask(clientCertificate(t, made)); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func clientCertificate(t *testing.T, by issued) tls.Certificate {
	t.Helper()
	key, err := parseKey(by.CAKey)
	if err != nil {
		t.Fatal(err)
	}
	template, err := newTemplate("kube-apiserver", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	raw, err := x509.CreateCertificate(nil, template, parseCertificates(by.CA)[0], key.Public(), key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// A port that is taken is an error of Register, which tries again by itself.
func TestATakenPortIsReported(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := quiet(t)
	cfg.URL, cfg.Admission.ListenAddress = "https://"+l.Addr().String(), l.Addr().String()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	err = s.Register(ctx, hook.Standalone, goldenHooks(hook.Standalone)[:1])
	if err == nil || !strings.Contains(err.Error(), "webhook port") {
		t.Errorf("got %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Whatever comes, the answer is JSON of the kind that was asked for, or an HTTP
// error; the hook is asked only with reviews that carry a request.
func FuzzHandler(f *testing.F) {
	for _, body := range []string{admissionReview, conversionReview, "", "{}", `{"apiVersion":"x/v1","request":{"uid":1,"objects":[null]}}`, `{"request":{},"response":{"a":[]}}`} {
		f.Add(byte(0), []byte(body))
		f.Add(byte(1), []byte(body))
	}
	paths := []string{"/hooks/a-example-com", "/crontabs.g", "/nothing", "/hooks/gone-example-com"}
	h := desk(f, nil, hook.Webhook{
		Hook:       hook.ID{Owner: hook.Standalone, Name: "x.sh"},
		Admissions: []hook.Admission{{Route: hook.Route{Name: "a.example.com"}, TimeoutSeconds: 10}},
		Conversions: []hook.Conversion{{Route: hook.Route{Name: "up"}, CRD: "crontabs.g", Rules: []hook.ConversionRule{
			{From: "v1alpha1", To: "v1beta1"}, {From: "v1beta1", To: "g/v1"}, {From: "v1", To: "v1beta1"},
		}}},
		Answer: func(_ context.Context, c hook.Context) (hook.Output, error) {
			var in struct{ Request map[string]any }
			if err := json.Unmarshal(c.Review, &in); err != nil || in.Request == nil {
				return hook.Output{}, fmt.Errorf("a review without a request: %s", c.Review)
			}
			r, err := hook.ParseConversionResponse(bytes.Replace(c.Review, []byte(`"objects"`), []byte(`"convertedObjects"`), 1))
			return hook.Output{Admission: &hook.AdmissionResponse{Allowed: true}, Conversion: r}, err
		},
	})
	f.Fuzz(func(t *testing.T, at byte, body []byte) {
		w := post(h, paths[int(at)%len(paths)], string(body))
		if w.Code != http.StatusOK {
			if w.Code == http.StatusInternalServerError {
				t.Errorf("a panic: %s", w.Body)
			}
			return
		}
		var in, out review
		if err := json.Unmarshal(body, &in); err != nil {
			t.Fatalf("answered what is no JSON: %q", body)
		}
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Response == nil {
			t.Fatalf("got %s: %v", w.Body, err)
		}
		if diff := cmp.Diff([]string{in.APIVersion, in.Kind}, []string{out.APIVersion, out.Kind}); diff != "" {
			t.Error(diff)
		}
	})
}
