package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/migrate"
	"github.com/addon-operator/addon-operator/pkg/operator"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Take the place of the existing addon-operator"}
	cmd.AddCommand(migrateCheckCommand())
	return cmd
}

// migrateCheckCommand exits with 1 when something has to be changed first, and with
// 2 when it could not look.
func migrateCheckCommand() *cobra.Command {
	cfg := operator.Defaults()
	cfg.Namespace, cfg.ModulesDir, cfg.GlobalHooksDir = "addon-operator", "", ""
	output := "text"
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what becomes of a cluster that the existing addon-operator looks after",
		Long: `Reads the Deployment, ConfigMap, Lease and releases of the existing addon-operator, and the directories of modules if they
are given, and says what is taken over, what differs and what to change first. It writes nothing; hooks are asked for
their configuration and not run.

Exit code: 0 nothing has to be changed first, 1 something has, 2 the cluster or the directories could not be read.`,
		Example: "  addon-operator migrate check --namespace addon-operator --modules-dir modules --global-hooks-dir global-hooks",
		Args:    cobra.NoArgs,
	}
	b := binder{flags: cmd.Flags(), env: map[string][]string{}}
	b.text(&cfg.Namespace, "namespace", "the operator's namespace", "ADDON_OPERATOR_NAMESPACE")
	b.text(&cfg.ConfigMap, "config-map", "name of the ConfigMap with the settings", "ADDON_OPERATOR_CONFIG_MAP")
	b.text(&cfg.KubeConfig, "kube-config", "kubeconfig file", "KUBE_CONFIG")
	b.text(&cfg.KubeContext, "kube-context", "context of the kubeconfig", "KUBE_CONTEXT")
	b.text(&cfg.ModulesDir, "modules-dir", "directories with modules, separated by ':'", "ADDON_OPERATOR_MODULES_DIR", "MODULES_DIR")
	b.text(&cfg.GlobalHooksDir, "global-hooks-dir", "directory with global hooks", "ADDON_OPERATOR_GLOBAL_HOOKS_DIR", "GLOBAL_HOOKS_DIR")
	cmd.Flags().StringVarP(&output, "output", "o", output, "text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := b.environment(); err != nil {
			return withCode{err, 2}
		}
		printer := migrate.Print
		switch output {
		case "text":
		case "json":
			printer = migrate.PrintJSON
		default:
			return withCode{fmt.Errorf("--output is %q: expected text or json", output), 2}
		}
		found, err := operator.MigrateCheck(cmd.Context(), cfg)
		if err != nil {
			return withCode{err, 2}
		}
		if err := printer(cmd.OutOrStdout(), found); err != nil {
			return withCode{err, 2}
		}
		if migrate.Changes(found) {
			return withCode{errors.New("something has to be changed first, see above"), 1}
		}
		return nil
	}
	return cmd
}
