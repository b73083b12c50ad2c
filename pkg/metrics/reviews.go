package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Reviewed measures an answer to a review of the API server. kind is Validating, Mutating or
// Conversion, result allowed, denied, converted or failed.
func (s *Self) Reviewed(id hook.ID, binding, kind, result string, took time.Duration) {
	s.reviews.WithLabelValues(s.labels(id, binding, kind, result)...).Observe(took.Seconds())
}

func newReviewMetrics(f factory) *prometheus.HistogramVec {
	return f.ofHooks().histogram("webhook_review_seconds", "Duration of the answer to an admission or conversion review.", fast(), "binding", "type", "result")
}
