// Package hookrun runs hooks when their bindings say so. It knows when a hook runs
// and what it is given; what comes of a run is the business of its Host: pkg/converge
// for global hooks and hooks of modules, pkg/hooksonly for a folder of hooks.
//
//	Start    load > onStartup > watch > webhooks > Synchronization > schedules      (C-185, C-415)
//	events, ticks, Synchronizations --> lanes --one run after another--> Host.Apply (C-165 … C-188)
//	Phase    beforeHelm, afterHelm …, by order and name, for the owner's own pass
//	reviews  of admission and conversion are answered beside the lanes              (C-245)
//
// A Unit is the running side of one owner. An Engine runs all units and owns the
// lanes: main is one lane per owner, any other queue one for the process (C-184).
// Only the runs that answer reviews may run beside themselves.
package hookrun
