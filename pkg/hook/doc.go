// Package hook says what a hook declares, what it is given and what it returns,
// as data. Running hooks is the business of pkg/exec, deciding when of pkg/hookrun.
//
//	--config output  --ParseConfig-->  Spec      what wakes the hook, and in which order
//	events           --Contexts----->  Input     binding contexts, values, config values (JSON)
//	output files     --Parse…------->  Output    patches, object operations, metric samples
//
// A hook is known by its ID, the owner and the path below the owner's hooks
// directory: two modules may hold files of one name (B-03).
package hook
