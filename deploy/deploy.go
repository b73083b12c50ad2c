// Package deploy holds what is installed with the operator: manifests, and what watches it.
package deploy

import _ "embed"

// RBAC is what the operator's ServiceAccount has to be allowed, as YAML documents.
//
//go:embed rbac.yaml
var RBAC []byte
