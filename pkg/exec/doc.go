// Package exec turns executables into hook.Func: it gives a hook its environment
// and files (section 2 of the contract), bounds what it may take, and reads what
// it left behind. What the outputs mean, and whether to run at all, is decided
// elsewhere.
//
//	New > Load (--config of each file) > Bind(hook) > hook.Func
//	      Enabled (a module's enabled script)
//
// # Processes
//
// Each run is the leader of its own process group. The group is signalled as a
// whole at the deadline or when the run's context ends, and killed when its leader
// has finished, so that nothing a hook started in the background survives it. A
// process that left the group but holds the hook's output open is found by its
// environment and killed too.
//
// When the operator dies without a word (SIGKILL), three things act:
//
//   - the kernel kills the leaders (parent-death signal);
//   - a small shell that waits for the end of a pipe held by the operator kills
//     their groups;
//   - the next New kills what is left by its environment: processes that went into
//     a session of their own, and groups whose shell was killed as well.
//
// A process that leaves its group, closes its outputs and cleans its environment
// escapes all of that.
//
// # Files
//
//	<TempDir>/operator-<pid>-<random>/     0700, locked while its operator lives
//	    lock
//	    <run>/                             0700, one per run, removed after it
//	        group                          process group, read by the shell
//	        binding-context.json …         0600
package exec
