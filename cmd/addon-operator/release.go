package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/operator"
)

// releaseCommand lists versions on their way through the cluster, and gives the orders that a ModuleRelease takes.
func releaseCommand() *cobra.Command {
	cfg := operator.Defaults()
	cmd := &cobra.Command{
		Use:   "release",
		Short: "List versions of modules on their way through a cluster, approve and retry them",
		Long: `Talks to the API server with the rights of a kubeconfig, and to no operator: who may approve is a question of RBAC
(docs/module-sources.md).`,
	}
	b := &binder{flags: cmd.PersistentFlags(), env: map[string][]string{}}
	b.text(&cfg.KubeConfig, "kube-config", "kubeconfig file", "KUBE_CONFIG")
	b.text(&cfg.KubeContext, "kube-context", "context of the kubeconfig", "KUBE_CONTEXT")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return b.environment() }
	cmd.AddCommand(releaseListCommand(&cfg),
		releaseOrderCommand(&cfg, "approve NAME|MODULE", "Let a version go in that waits for approval, by its ModuleRelease or its module", "is approved", operator.ApproveRelease),
		releaseOrderCommand(&cfg, "retry NAME|MODULE", "Have a version tried once more that failed or was rolled back", "is tried again", operator.RetryRelease))
	return cmd
}

func releaseListCommand(cfg *operator.Config) *cobra.Command {
	output := "text"
	cmd := &cobra.Command{Use: "list [MODULE]", Short: "List ModuleReleases, newest first per module", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output is %q: expected text or json", output)
			}
			list, err := operator.Releases(cmd.Context(), *cfg, first(args))
			if err != nil {
				return err
			}
			if output == "text" {
				return operator.PrintReleases(cmd.OutOrStdout(), list, time.Now())
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(map[string]any{"releases": list})
		}}
	cmd.Flags().StringVarP(&output, "output", "o", output, "text or json")
	return cmd
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func releaseOrderCommand(cfg *operator.Config, use, short, done string, order func(context.Context, operator.Config, string) (string, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		name, err := order(cmd.Context(), *cfg, args[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "modulerelease/%s %s\n", name, done)
		return nil
	}}
}
