// Package sources watches what users write into ModuleSource and ModuleRelease resources,
// and the Secrets and ConfigMaps that a source names for its registry, and hands it on as one
// Reading. Specs are checked once more than the API server can: Parse.
//
// A spec that cannot be used is a problem of its source alone, and the last good one stays in force. What
// the operator itself writes there (package report) is no reading.
package sources
