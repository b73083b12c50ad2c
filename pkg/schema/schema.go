// Package schema reads the OpenAPI files of a section (config-values.yaml and
// values.yaml, section 8.4 of the contract) and answers what they say: defaults,
// violations and which leaves are secret.
package schema

// Set is the schemas of one section. A nil schema accepts everything and has no defaults.
type Set struct {
	// Config checks what the user writes (config-values.yaml).
	Config *Schema
	// Values checks effective values (values.yaml, with x-extend resolved).
	Values *Schema
	// Helm is Values with x-required-for-helm added to required (C-313).
	Helm *Schema
}

// Schema is one loaded schema. Its zero value must not be used; nil is fine.
type Schema struct{}
