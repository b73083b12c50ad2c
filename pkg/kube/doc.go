// Package kube is the edge to the Kubernetes API: what the operator sees of a
// cluster and does to single objects. Helm releases are the business of pkg/helm.
//
//	clients.go     one HTTP client, discovery cache and mapper for the process
//	transport.go   bounds requests in time, and tells the observer of them
//	observer.go    the port of metrics
//	discovery.go   notices that kinds come and go
//	resolve.go     a kind as users write it > the resource the server serves
//	feed.go        list, then watch, for ever: what every cache here is fed by
//	decode.go      reads lists and events object by object
//	informer.go    one feed shared by bindings; projects before anything is kept
//	monitor.go     one kubernetes binding: cache, buffer, delivery of events
//	pending.go     events that wait for Unlock, or for the handler
//	watch.go       the public face of the two above
//	operations.go  object operations of hooks
//	shape.go       the fields a manifest sets, and the digest of a live object restricted to them
//	health.go      kstatus, with our additions
//	tracker.go     readiness and drift of the objects of releases
//	crds.go        CustomResourceDefinitions of modules
//	namespaces.go  namespaces that hold modules
//
// How an object gets into memory:
//
//	API server --pages of 500, then events--> feed --object by object--> informer --+--> projection of binding A
//	                                                                          +--> projection of binding B
//
// A projection is the filter's result, the identity and a checksum. The whole
// object is kept, as compact JSON and once for all bindings, only where a binding
// asks for it (C-141, C-160). Bindings with the same jqFilter share its result, and
// a binding whose jqFilter takes a second or more gets an informer of its own.
package kube
