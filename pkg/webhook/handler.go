package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

type found int

const (
	foundNothing found = iota
	foundAdmission
	foundConversion
	foundWithdrawn
)

// handler answers reviews (C-244, C-257). What it answers for is looked up at
// each request.
type handler struct {
	cfg  *Config
	find func(path string) (admissionRoute, conversionRoute, found)
}

// review is an AdmissionReview or ConversionReview, v1 or v1beta1, as far as it
// is the same in all of them.
type review struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Request    json.RawMessage `json:"request,omitempty"`
	Response   any             `json:"response,omitempty"`
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.recovered(w, r)
	if r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		fmt.Fprintln(w, "ok")
		return
	}
	in, status, err := h.read(w, r)
	if err != nil {
		h.cfg.Logger.Debug("webhook request refused", "path", r.URL.Path, "error", err)
		http.Error(w, err.Error(), status)
		return
	}
	began := h.cfg.Clock.Now()
	admission, conversion, kind := h.find(r.URL.Path)
	request := Request{Result: "failed"}
	out := review{APIVersion: in.APIVersion, Kind: in.Kind}
	switch kind {
	case foundAdmission:
		ctx, stop := deadline(r, time.Duration(admission.TimeoutSeconds)*time.Second)
		defer stop()
		out.Response, request = h.admit(ctx, admission, in)
	case foundConversion:
		ctx, stop := deadline(r, conversionTimeout)
		defer stop()
		out.Response, request = h.convert(ctx, conversion, in)
	case foundWithdrawn:
		out.Response, request.Result = admissionAnswer{UID: uidOf(in.Request), Allowed: true}, "allowed"
	default:
		out.Response = h.unknown(r.URL.Path, in)
	}
	request.Duration = h.cfg.Clock.Since(began)
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(out); err != nil {
		h.cfg.Logger.Debug("webhook answer not sent", "path", r.URL.Path, "error", err)
	}
	h.cfg.Observe(request)
}

// recovered answers a panic with an error, so that the failurePolicy decides.
func (h *handler) recovered(w http.ResponseWriter, r *http.Request) {
	if p := recover(); p != nil {
		h.cfg.Logger.Error("panic in a webhook request", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}

// read decodes a review and answers what is wrong with it otherwise.
func (h *handler) read(w http.ResponseWriter, r *http.Request) (review, int, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return review{}, http.StatusMethodNotAllowed, fmt.Errorf("%s: reviews are sent with POST", r.Method)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return review{}, http.StatusUnsupportedMediaType, fmt.Errorf("Content-Type %q: expected application/json", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.cfg.MaxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return review{}, http.StatusRequestEntityTooLarge, fmt.Errorf("the review is larger than %d bytes", h.cfg.MaxBody)
	}
	if err != nil {
		return review{}, http.StatusBadRequest, err
	}
	in, err := decodeReview(body)
	return in, http.StatusBadRequest, err
}

// decodeReview reads what both kinds of review have in common.
func decodeReview(body []byte) (review, error) {
	var in review
	if err := json.Unmarshal(body, &in); err != nil {
		return in, fmt.Errorf("not a review: %w", err)
	}
	if len(in.Request) == 0 || in.Request[0] != '{' {
		return in, fmt.Errorf("%s without a request", in.Kind)
	}
	if v := short(in.APIVersion); v != "v1" && v != "v1beta1" {
		return in, fmt.Errorf("review of version %q: expected v1 or v1beta1", in.APIVersion)
	}
	in.Response = nil
	return in, nil
}

// deadline ends a bit before the API server stops waiting, so that it still gets
// an answer which says what happened. The API server tells its own limit as well.
func deadline(r *http.Request, limit time.Duration) (context.Context, context.CancelFunc) {
	if d, err := time.ParseDuration(r.URL.Query().Get("timeout")); err == nil && d > 0 && d < limit {
		limit = d
	}
	spare := min(limit/10, time.Second)
	cause := fmt.Errorf("no answer within %s", limit-spare)
	return context.WithTimeoutCause(r.Context(), limit-spare, cause)
}

// unknown answers for a path without a hook (C-248).
func (h *handler) unknown(path string, in review) any {
	configuration, id, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	message := fmt.Sprintf("no hook found for '%s' '%s'", configuration, id)
	h.cfg.Logger.Warn("a webhook request for which there is no hook", "path", path)
	if in.Kind == "ConversionReview" {
		return conversionFailure(in.Request, message)
	}
	return denial(uidOf(in.Request), http.StatusInternalServerError, message)
}

func uidOf(request json.RawMessage) string {
	var of struct {
		UID string `json:"uid"`
	}
	// A uid that is no string is the API server's to complain about.
	_ = json.Unmarshal(request, &of)
	return of.UID
}

// oneReview is the review as a hook sees it (C-126, C-127; B-14).
func oneReview(of review, request json.RawMessage) []byte {
	text, _ := json.Marshal(review{APIVersion: of.APIVersion, Kind: of.Kind, Request: request}) // it was JSON a moment ago
	return text
}

// failure is what went wrong in a run, for whoever made the request: the hook's
// name, the cause, and what the hook itself wrote to stderr.
func failure(ctx context.Context, id hook.ID, err error) string {
	var run *hook.RunError
	switch {
	case ctx.Err() != nil:
		return fmt.Sprintf("hook %s: %v", id, context.Cause(ctx))
	case errors.As(err, &run):
		return run.Error()
	}
	return fmt.Sprintf("hook %s: %v", id, err)
}
