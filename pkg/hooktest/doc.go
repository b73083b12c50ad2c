// Package hooktest runs one hook by itself, for its author: on the objects of a
// cluster or of files, with the values that its owner would have, through the
// code that the operator runs it with. Nothing that the hook asks for is done;
// it is checked as the operator checks it, and returned.
//
//	place.go     a file > its owner, hooks directory, module
//	objects.go   objects of files > snapshots: selectors and jqFilter of each binding
//	cluster.go   the same from a cluster, through pkg/kube
//	trigger.go   what wakes the hook > binding contexts
//	sections.go  defaults, static values, settings > VALUES_PATH and CONFIG_VALUES_PATH
//	desk.go      scene > run > Result
//	preview.go   what object operations would make of live objects
//	record.go    Result > what is compared and shown: secrets masked
//	case.go      case.yaml, *.case.yaml > Case
//	suite.go     cases in parallel > passed or not, golden files, times
package hooktest
