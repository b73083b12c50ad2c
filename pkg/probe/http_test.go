package probe

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve starts a server on loopback whose paths do what their names say.
func serve(t *testing.T, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("a host that no check names was asked")
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(elsewhere.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "\n database\x1b[31m down \nand more\n")
	})
	mux.HandleFunc("/strange", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/slow-body", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, r *http.Request) { endless(w, r, http.StatusOK) })
	mux.HandleFunc("/huge-bad", func(w http.ResponseWriter, r *http.Request) { endless(w, r, http.StatusInternalServerError) })
	mux.HandleFunc("/huge-header", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Huge", strings.Repeat("x", 2*headerLimit))
	})
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/", http.StatusFound)
	})
	mux.HandleFunc("/hang-up", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	s := httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(s)
	t.Cleanup(s.Close)
	return s
}

// endless writes until the other side has enough.
func endless(w http.ResponseWriter, r *http.Request, code int) {
	w.WriteHeader(code)
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
			return
		}
	}
}

func TestAnswersOfServers(t *testing.T) {
	plain, secure := serve(t, (*httptest.Server).Start), serve(t, (*httptest.Server).StartTLS)
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for name, c := range map[string]struct {
		url     string
		timeout time.Duration
		want    string // the text of the error; with … at its end it begins so
	}{
		"2xx is healthy":                          {plain.URL + "/ok", time.Minute, ""},
		"so is an answer without a body":          {plain.URL + "/empty", time.Minute, ""},
		"a redirect on the same host is followed": {plain.URL + "/here", time.Minute, ""},
		"an endless body is not read":             {plain.URL + "/huge", time.Minute, ""},
		"others tell their first line":            {plain.URL + "/bad", time.Minute, "answers 503 Service Unavailable: database [31m down"},
		"a code without a name":                   {plain.URL + "/strange", time.Minute, "answers 599"},
		"of an endless line nothing is told":      {plain.URL + "/huge-bad", time.Minute, "answers 500 Internal Server Error…"},
		"an endless header":                       {plain.URL + "/huge-header", time.Minute, "net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded…"},
		"no answer in time":                       {plain.URL + "/slow", 50 * time.Millisecond, "no answer within 50ms"},
		"a body that does not come":               {plain.URL + "/slow-body", 50 * time.Millisecond, "answers 500 Internal Server Error"},
		"a redirect to another host":              {plain.URL + "/elsewhere", time.Minute, "a redirect to http://127.0.0.1:…"},
		"redirects without end":                   {plain.URL + "/round", time.Minute, "redirected more than 5 times"},
		"a connection that is closed":             {plain.URL + "/hang-up", time.Minute, "the connection was closed without an answer"},
		"nobody listens":                          {"http://" + closed.Addr().String(), time.Minute, "connect to " + closed.Addr().String() + ": connect: connection refused"},
		"a certificate of nobody that is known":   {secure.URL + "/ok", time.Minute, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		"plain text where TLS is expected":        {strings.Replace(plain.URL, "http:", "https:", 1) + "/ok", time.Minute, "http: server gave HTTP response to HTTPS client"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := newRequester().get(t.Context(), c.url, c.timeout); err != nil {
				got = line(err.Error())
			}
			want, begins := strings.CutSuffix(c.want, "…")
			if got != want && !(begins && strings.HasPrefix(got, want)) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestNoProxyIsAsked(t *testing.T) {
	s := serve(t, (*httptest.Server).Start)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	if newRequester().client.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy is taken from the environment")
	}
	if err := newRequester().get(t.Context(), s.URL+"/ok", time.Minute); err != nil {
		t.Error(err)
	}
}

func TestALookEndsWithItsContext(t *testing.T) {
	s := serve(t, (*httptest.Server).Start)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newRequester().get(ctx, s.URL+"/slow", time.Hour); err == nil {
		t.Error("it answered")
	}
}

// FuzzLine: whatever a server or an executable says becomes one short printable line.
func FuzzLine(f *testing.F) {
	f.Add("a\x00b\n\u202ec\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := line(text)
		if len(got) > lineLimit+len("…") || strings.ContainsAny(got, "\n\r\x00\x1b") {
			t.Errorf("%q", got)
		}
		_ = firstLine(strings.NewReader(text))
	})
}
