package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// noticeTimeout bounds one call of a webhook.
const noticeTimeout = 10 * time.Second

// rollback is what a receiver gets.
type rollback struct {
	Operator string       `json:"operator"` // NAMESPACE.CONFIGMAP
	Module   string       `json:"module"`
	Version  string       `json:"version"`
	Digest   string       `json:"digest"`
	Source   string       `json:"source"`
	Channel  string       `json:"channel,omitempty"`
	Release  string       `json:"release"` // name of the ModuleRelease
	Phase    source.Phase `json:"phase"`
	Reason   string       `json:"reason"`
	Message  string       `json:"message"`
	Time     time.Time    `json:"time"`
}

// RolledBack tells the webhook of an update policy of a release that was undone, with one POST of JSON; it
// is not tried again, and redirects are not followed. The error, an answer other than 2xx included, does not repeat the URL's query, which may hold a token.
func (r *Reporter) RolledBack(ctx context.Context, to string, rel source.Release) error {
	body, err := json.Marshal(rollback{r.instance(), rel.Module, rel.Version, rel.Digest, rel.Source, rel.Channel, rel.Name(), rel.Phase, rel.Reason, rel.Message, rel.Since.UTC()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return errors.New("rollbackWebhook: expected an http or https URL")
	}
	shown := (&url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path}).String()
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return fmt.Errorf("rollbackWebhook %s: %w", shown, err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("rollbackWebhook %s answered %s, expected 2xx", shown, res.Status)
	}
	return nil
}
