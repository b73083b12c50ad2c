package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Ask gets a path from a debug socket and returns the body; any status but 200
// is an error with the body's text (B-62).
func Ask(ctx context.Context, socket, path string) ([]byte, error) {
	return talk(ctx, socket, http.MethodGet, path, nil)
}

// Send posts a form to a path of a debug socket; otherwise it is Ask.
func Send(ctx context.Context, socket, path string, form url.Values) ([]byte, error) {
	return talk(ctx, socket, http.MethodPost, path, form)
}

func talk(ctx context.Context, socket, method, path string, form url.Values) ([]byte, error) {
	var dialer net.Dialer
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://operator"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no operator answers at %s: is one running there? Name its socket with --debug-unix-socket: %w", socket, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(strings.TrimSpace(string(body)))
	}
	return body, nil
}
