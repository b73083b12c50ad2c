// Package exec turns executables into hook.Func: it gives a hook its environment
// and files (section 2 of the contract), bounds what it may take, and reads what
// it left behind. What the outputs mean, and whether to run at all, is decided
// elsewhere.
//
//	New > Find (which files are hooks) > Load (--config of each) > Bind(hook) > hook.Func
//	                                     LoadOne (of one file)
//	      Enabled (a module's enabled script)
//	      Probe (an executable that is a health check)
//
// # Processes
//
// Each run is the leader of its own process group and carries its directory in its
// environment as a mark. The group is signalled as a whole at the deadline or when
// the run's context ends: SIGTERM, a grace, SIGKILL. When the leader has finished,
// the group is killed, and then all that carries the mark, so that nothing a hook
// started outlives its run, whatever session or group it went into. Orphans are
// reaped by process 1, for which the image has tini.
//
// When the operator dies without a word (SIGKILL), three things act:
//
//   - the kernel kills the leaders (parent-death signal);
//   - a small shell that waits for the end of a pipe held by the operator kills
//     their groups and all that carries a mark;
//   - the next New kills what carries a mark of an operator that is gone.
//
// A process that leaves its group and cleans its environment escapes all of that;
// if it holds the outputs open, they are given up after a second.
//
// # Bounds
//
// Time, slots, the size of outputs, of log and of all files of a run are always
// bounded. Limits and Credential are for those who want more: resource limits are
// set while the process is stopped at its first instruction, because a process
// that got them later could have had children by then.
//
// A run that ends badly by the hook's doing is a *hook.RunError, with a cause of one
// line. Want of something that the operator lacks (descriptors, memory, room on
// the disk) is another error: the hook is not to blame, and the run is repeated.
//
// # Files
//
//	<TempDir>/operator-<pid>-<random>/     0700 (0711 with Credential), locked while its operator lives
//	    lock
//	    <run>.group                        process group, read by the shell
//	    <run>/                             0700, one per run, removed after it
//	        binding-context.json …         0600
package exec
