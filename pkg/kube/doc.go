// Package kube is the edge to the Kubernetes API: what the operator sees of a
// cluster and does to single objects. Helm releases are the business of pkg/helm.
//
//	clients.go     one HTTP client, discovery cache and mapper for the process
//	discovery.go   notices that kinds come and go
//	resolve.go     a kind as users write it > the resource the server serves
//	feed.go        list, then watch, for ever: what every cache here is fed by
//	informer.go    one feed shared by bindings; projects before anything is kept
//	monitor.go     one kubernetes binding: cache, buffer, delivery of events
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
//	API server --pages of 500, then events--> feed --one object--> informer --+--> projection of binding A
//	                                                                          +--> projection of binding B
//
// A projection is the filter's result, the identity and a checksum. The whole
// object is kept, as compact JSON and once for all bindings, only where a binding
// asks for it (C-141, C-160).
package kube
