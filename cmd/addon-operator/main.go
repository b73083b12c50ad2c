// Command addon-operator discovers facts about a cluster, decides which modules
// are on, and keeps their Helm releases converged.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if err.Error() != "" { // a comparison that found differences has said so
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		code := 1
		if coded := (interface{ ExitCode() int })(nil); errors.As(err, &coded) {
			code = coded.ExitCode()
		}
		os.Exit(code)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "addon-operator",
		Short:         "Discover cluster facts and keep add-on modules converged",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	start := startCommand()
	hooks := hookCommand()
	hooks.AddCommand(askHookCommands()...)
	// Without a sub-command the binary starts the operator (C-460).
	root.RunE = start.RunE
	root.Args = cobra.NoArgs
	root.Flags().AddFlagSet(start.Flags())
	root.AddCommand(start, moduleCommand(), globalCommand(), planCommand(), queueCommand(), configCommand(), graphCommand(), rawCommand(), hooks, channelCommand(), bundleCommand(), doctorCommand(), migrateCommand(), releaseCommand(), versionCommand(), debugOptionsCommand())
	root.SetArgs(likeGoTest(args))
	return root.ExecuteContext(ctx)
}
