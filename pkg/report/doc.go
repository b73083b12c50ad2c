// Package report shows people in the cluster what the operator does (group addon-operator.io):
// one cluster-scoped Module resource per module, which has no spec; the status of each
// ModuleSource, which is its user's; one ModuleRelease per version of a module on its way, of which the
// spec is the user's; and Kubernetes Events. Nothing written here is ever read back to decide something.
//
// Reports are latest-wins: the newest status of a resource is written, those it
// overtook are not, and a status that says what the cluster already shows costs
// no request.
package report
