// Package webhook lets hooks answer admission and conversion requests of the API
// server (kubernetesValidating, kubernetesMutating and
// kubernetesCustomResourceConversion; sections 9 and 10 of the contract).
//
// A Server has one HTTPS handler on two ports, the configurations that point the
// API server at it, and the certificates in between:
//
//	Register(owner, hooks)          routes    path > hook and binding
//	  └> table ──> keys ──> sync    live configuration or CRD := what the table says
//	                  ^
//	watches, certificates, retries ─┘
//
// The table is the only thing that callers change; everything that is written to
// the cluster is computed from it, compared with what is there and written only
// if it differs. So an object of ours that somebody changes or deletes is put
// back, a CRD that does not exist yet is pointed here once it appears, and a new
// certificate authority reaches every configuration.
//
// Configurations stay when Run ends: a policy must not lapse while the operator
// is being replaced. Unregister and Keep remove those of owners that are gone.
package webhook
