package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

const (
	// bodyLimit is how much of an answer is read.
	bodyLimit = 64 << 10
	// headerLimit bounds the header of an answer.
	headerLimit = 64 << 10
	// lineLimit bounds the text of a problem, in bytes.
	lineLimit    = 300
	maxRedirects = 5
)

// requester asks servers whether they are healthy. It keeps no connections, and
// heeds no proxy of the environment: nothing is dialled but what a check names.
type requester struct{ client *http.Client }

func newRequester() requester {
	return requester{&http.Client{
		CheckRedirect: sameHost,
		Transport: &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: headerLimit,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
	}}
}

// errRedirect is a redirect that is not followed.
var errRedirect = errors.New("is not followed: name that address in the check")

// sameHost follows redirects on the host that the check names, and never from https to http.
func sameHost(to *http.Request, via []*http.Request) error {
	first := via[0].URL
	if to.URL.Host != first.Host || to.URL.Scheme != first.Scheme {
		return fmt.Errorf("a redirect to %s://%s %w", to.URL.Scheme, to.URL.Host, errRedirect)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	}
	return nil
}

// get sends one GET; nil is an answer 2xx.
func (r requester) get(ctx context.Context, address string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errLate)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "addon-operator health check")
	resp, err := r.client.Do(req)
	if err != nil {
		return explain(ctx, timeout, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	text := fmt.Sprintf("answers %d", resp.StatusCode)
	if name := http.StatusText(resp.StatusCode); name != "" {
		text += " " + name
	}
	if first := firstLine(resp.Body); first != "" {
		text += ": " + first
	}
	return errors.New(text)
}

var errLate = errors.New("late")

// explain says in short why there was no answer. Ports of this side are left out, for
// they are others every time.
func explain(ctx context.Context, timeout time.Duration, err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var op *net.OpError
	switch {
	case errors.Is(context.Cause(ctx), errLate):
		return fmt.Errorf("no answer within %s", timeout)
	case errors.As(err, &op) && op.Op == "dial" && op.Addr != nil:
		return fmt.Errorf("connect to %s: %w", op.Addr, op.Err)
	case errors.As(err, &op) && op.Op == "dial":
		return op.Err
	case errors.As(err, &op):
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	case errors.Is(err, io.EOF):
		return errors.New("the connection was closed without an answer")
	}
	return err
}

// firstLine is the first line of a body that says something, "" without one.
func firstLine(body io.Reader) string {
	s := bufio.NewScanner(io.LimitReader(body, bodyLimit))
	s.Buffer(nil, bodyLimit+1)
	for s.Scan() {
		if text := line(s.Text()); text != "" {
			return text
		}
	}
	return ""
}

// line is text as one printable line of bounded length.
func line(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	clean = strings.Join(strings.Fields(clean), " ")
	if len(clean) > lineLimit {
		clean = strings.ToValidUTF8(clean[:lineLimit], "") + "…"
	}
	return clean
}
