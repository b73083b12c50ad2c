package main

import (
	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/migrate"
	"github.com/addon-operator/addon-operator/pkg/operator"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Take the place of the existing addon-operator"}
	cmd.AddCommand(migrateCheckCommand())
	return cmd
}

// migrateCheckCommand says what has to be changed first.
func migrateCheckCommand() *cobra.Command {
	cfg := operator.Defaults()
	cfg.Namespace, cfg.ModulesDir, cfg.GlobalHooksDir = "addon-operator", "", ""
	check := findings[migrate.Finding]{operator.MigrateCheck, migrate.Print, migrate.Changes, "something has to be changed first, see above"}
	return check.command(&cobra.Command{
		Use:   "check",
		Short: "Say what becomes of a cluster that the existing addon-operator looks after",
		Long: `Reads the Deployment, ConfigMap, Lease and releases of the existing addon-operator, and the directories of modules if they
are given, and says what is taken over, what differs and what to change first. It writes nothing; hooks are asked for
their configuration and not run.

Exit code: 0 nothing has to be changed first, 1 something has, 2 the cluster or the directories could not be read.`,
		Example: "  addon-operator migrate check --namespace addon-operator --modules-dir modules --global-hooks-dir global-hooks",
	}, cfg, nil)
}
