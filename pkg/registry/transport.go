package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"
)

const (
	// slowest is the rate at which a body must move, in bytes per second.
	slowest = 512 << 10
	// maxAllowance bounds the time that a body is given on top of the timeout.
	maxAllowance = 15 * time.Minute
	maxRedirects = 5
	maxRetries   = 3
)

// newTransport speaks TLS with the CAs of the system and those of ca, through the proxy that the environment names.
func newTransport(ca []byte, timeout time.Duration) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
		TLSHandshakeTimeout:    timeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: 256 << 10,
	}
	if len(ca) == 0 {
		return t, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("CA: expected certificates in PEM, found none")
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// newClient authenticates, retries and bounds requests over base.
func newClient(base http.RoundTripper, host string, credential auth.Credential, timeout time.Duration) *auth.Client {
	return &auth.Client{
		Client: &http.Client{
			Transport:     &retry.Transport{Base: &deadline{base, timeout}, Policy: func() retry.Policy { return retries() }},
			CheckRedirect: checkRedirect,
		},
		Header:     http.Header{"User-Agent": {"addon-operator"}},
		Credential: auth.StaticCredential(host, credential), // nobody else gets them
		Cache:      auth.NewCache(),
	}
}

// checkRedirect follows few redirects, and none that gives up TLS.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("expected at most %d redirects", maxRedirects)
	}
	if req.URL.Scheme != "https" && via[0].URL.Scheme == "https" {
		return fmt.Errorf("redirected from HTTPS to %s://%s", req.URL.Scheme, req.URL.Host)
	}
	return nil
}

func retries() *retry.GenericPolicy {
	return &retry.GenericPolicy{Retryable: worthRetrying, Backoff: retry.ExponentialBackoff(100*time.Millisecond, 2, 0.2),
		MinWait: 50 * time.Millisecond, MaxWait: 3 * time.Second, MaxRetry: maxRetries}
}

// worthRetrying: what another attempt in a moment may find otherwise. A registry that took all
// the time there is gets no second chance now.
func worthRetrying(resp *http.Response, err error) (bool, error) {
	var untrusted *tls.CertificateVerificationError
	switch {
	case err == nil:
		return resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout ||
			resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented, nil
	case errors.Is(err, errSlow), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &untrusted):
		return false, err
	}
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), nil
}

// deadline bounds each request together with the body of its answer.
type deadline struct {
	base    http.RoundTripper
	timeout time.Duration
}

type sizeKey struct{}

// withSize tells deadline how many bytes an answer is expected to have.
func withSize(ctx context.Context, n int64) context.Context {
	return context.WithValue(ctx, sizeKey{}, n)
}

func (d *deadline) allowance(req *http.Request, resp *http.Response) time.Duration {
	n := max(req.ContentLength, 0)
	if expected, ok := req.Context().Value(sizeKey{}).(int64); ok {
		n += expected
	} else if resp != nil {
		n += max(resp.ContentLength, 0)
	}
	return d.timeout + min(time.Duration(n/slowest)*time.Second, maxAllowance)
}

// RoundTrip implements http.RoundTripper.
func (d *deadline) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	slow := fmt.Errorf("%w: %s %s://%s%s took more than %s", errSlow, req.Method, req.URL.Scheme, req.URL.Host, req.URL.Path, d.timeout)
	timer := time.AfterFunc(d.allowance(req, nil), func() { cancel(slow) })
	resp, err := d.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		timer.Stop()
		if cause := context.Cause(ctx); errors.Is(cause, errSlow) {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	timer.Reset(d.allowance(req, resp))
	resp.Body = &timedBody{ReadCloser: resp.Body, end: func() { timer.Stop(); cancel(nil) }, cause: func() error { return context.Cause(ctx) }}
	return resp, nil
}

// timedBody says why reading ended early.
type timedBody struct {
	io.ReadCloser
	end   func()
	cause func() error
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := b.cause(); errors.Is(cause, errSlow) {
			err = cause
		}
	}
	return n, err
}

func (b *timedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}
