// Package report shows people in the cluster what the operator does: one
// cluster-scoped Module resource per module (group addon-operator.io, no spec)
// and Kubernetes Events. Nothing here is ever read back to decide something.
//
// Reports are latest-wins: a module's newest status is written, those it
// overtook are not, and a status that says what the cluster already shows costs
// no request.
package report
