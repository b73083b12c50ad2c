package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/deploy"
	"github.com/addon-operator/addon-operator/pkg/doctor"
	"github.com/addon-operator/addon-operator/pkg/operator"
)

// withCode is an error with an exit code of its own.
type withCode struct {
	error
	code int
}

func (e withCode) ExitCode() int { return e.code }
func (e withCode) Unwrap() error { return e.error }

// doctorCommand lists everything that is wrong. It exits with 1 when something is,
// and with 2 when it could not look.
func doctorCommand() *cobra.Command {
	cfg := operator.Defaults()
	cfg.Namespace, cfg.ModulesDir = "addon-operator", ""
	output := "text"
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "List everything that is wrong with an operator and its modules, and the way out",
		Long: `Looks at the cluster, and says of everything that is wrong with an operator and its modules what was seen, what should
be, and what to do. It changes nothing and needs no operator that runs.

Exit code: 0 nothing has to be done, 1 something is wrong, 2 the cluster could not be looked at.`,
		Args: cobra.NoArgs,
	}
	b := binder{flags: cmd.Flags(), env: map[string][]string{}}
	b.text(&cfg.Namespace, "namespace", "the operator's namespace", "ADDON_OPERATOR_NAMESPACE")
	b.text(&cfg.ConfigMap, "config-map", "name of the ConfigMap with the settings", "ADDON_OPERATOR_CONFIG_MAP")
	b.text(&cfg.KubeConfig, "kube-config", "kubeconfig file", "KUBE_CONFIG")
	b.text(&cfg.KubeContext, "kube-context", "context of the kubeconfig", "KUBE_CONTEXT")
	b.text(&cfg.DebugSocket, "debug-unix-socket", "socket of the operator, asked if it is there", "DEBUG_UNIX_SOCKET")
	b.text(&cfg.ModulesDir, "modules-dir", "directories with modules, to look for what their schemas say is secret", "ADDON_OPERATOR_MODULES_DIR", "MODULES_DIR")
	b.text(&cfg.GlobalHooksDir, "global-hooks-dir", "directory with global hooks", "ADDON_OPERATOR_GLOBAL_HOOKS_DIR", "GLOBAL_HOOKS_DIR")
	cmd.Flags().StringVarP(&output, "output", "o", output, "text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := b.environment(); err != nil {
			return withCode{err, 2}
		}
		printer := doctor.Print
		switch output {
		case "text":
		case "json":
			printer = doctor.PrintJSON
		default:
			return withCode{fmt.Errorf("--output is %q: expected text or json", output), 2}
		}
		found, err := operator.Doctor(cmd.Context(), cfg, deploy.RBAC)
		if err != nil {
			return withCode{err, 2}
		}
		if err := printer(cmd.OutOrStdout(), found); err != nil {
			return withCode{err, 2}
		}
		if doctor.Bad(found) {
			return withCode{errors.New("something is wrong, see above"), 1}
		}
		return nil
	}
	return cmd
}
