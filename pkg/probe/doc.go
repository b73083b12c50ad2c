// Package probe makes the health checks of modules that must be asked for: by HTTP
// and by an executable (module.yaml: health with http or hook). Expressions over
// objects are not among them; those are evaluated when the objects change.
//
//	Configure > first look at once > next after the interval, sooner while it fails
//	Renew       what was seen so far does not count: look at once
//	Forget      no more looks; one that is under way is cancelled
//
// One goroutine, Run, knows when which look is due; each look has a goroutine for
// as long as it lasts. How many there are at once is bounded for each kind by
// itself, so that executables that hang do not hold up requests.
package probe
