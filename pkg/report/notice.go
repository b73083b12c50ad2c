package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// noticeTimeout bounds one call of a webhook.
const noticeTimeout = 10 * time.Second

// RolledBack tells the webhook of an update policy of a release that was undone, by one POST of JSON with the
// fields operator, module, version, digest, source, channel, reason, message and time. An answer other than
// 2xx is an error; it is not tried again.
func (r *Reporter) RolledBack(ctx context.Context, url string, s source.Release) error {
	text, err := json.Marshal(map[string]any{"operator": r.instance(), "module": s.Module, "version": s.Version, "digest": s.Digest, "source": s.Source,
		"channel": s.Channel, "phase": s.Phase, "reason": s.Reason, "message": s.Message, "time": time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, noticeTimeout)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("spec.update.rollbackWebhook %q: %w", url, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("rollback webhook: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("rollback webhook %s answered %s; expected 2xx", url, res.Status)
	}
	return nil
}
