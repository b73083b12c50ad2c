// Package converge brings the cluster to what is wanted and keeps it there. It
// decides when hooks run and when Helm acts; what they do to the outside world
// happens behind the interfaces of ports.go.
//
//	ConfigMap, global hooks            own events, drift, health
//	        │                                     │
//	        ▼                                     ▼
//	  key "global"  ──publishes revision g──▶  key = module
//	  global pass (global.go)                 module pass (module.go)
//	        │                                     │
//	        └──────────── hooks (host.go) ────────┘
//	             pkg/hookrun runs them; events, ticks and synchronizations in lanes
//
// The rules that hold everything together:
//
//   - Only the global pass switches modules on or off.
//   - A key is worked on by one goroutine at a time; different keys in parallel.
//   - A wake-up does no more than its reason allows (reason in keys.go).
//   - Before its pass, a key is only marked; a pass gathers everything anew.
//   - Content is compared, not events: own writes wake nobody.
package converge
