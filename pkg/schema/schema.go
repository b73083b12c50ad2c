// Package schema reads the OpenAPI files of a section (config-values.yaml and
// values.yaml, section 8.4 of the contract) and answers what they say: defaults,
// violations and which leaves are secret.
package schema

import (
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Set is the schemas of one section. A nil schema accepts everything and has no defaults.
type Set struct {
	// Config checks what the user writes (config-values.yaml).
	Config *Schema
	// Values checks effective values (values.yaml, with x-extend resolved).
	Values *Schema
	// Helm is Values with x-required-for-helm added to required (C-313).
	Helm *Schema
	// Warnings are things the author should mend that do not make the schemas invalid.
	Warnings []string

	// secrets is what Config and Values say about secret leaves together.
	secrets *secret
}

// Schema is one loaded schema. Its zero value must not be used; nil is fine. It
// does not change and may be used from several goroutines.
type Schema struct {
	// doc is the schema as JSON, with references resolved and
	// additionalProperties set (C-311).
	doc values.Map
	// spec is doc as the validator wants it.
	spec *spec.Schema
	// rules are the CEL rules of doc, nil without any.
	rules *ruled
	// hidden are the leaves whose values no message shows.
	hidden *secret
}
