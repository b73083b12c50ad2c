// Package sources watches what users write into ModuleSource and ModuleRelease resources,
// and the Secrets and ConfigMaps that a source names for its registry.
package sources
