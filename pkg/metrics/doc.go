// Package metrics counts what the operator does (section 12 of the contract) and
// keeps the metrics that hooks publish through METRICS_PATH (section 6). The two
// live in registries of their own, served at /metrics and /metrics/hooks.
package metrics
