package hook

// Filter is a compiled jq program (C-142, C-143), safe for concurrent use.
type Filter struct{}
