package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/operator"
)

// findings is a command that looks at a cluster and lists what it finds there. It ends
// with 0 when nothing is to be done, 1 when something is, 2 when it could not look.
type findings[T any] struct {
	look func(ctx context.Context, cfg operator.Config) ([]T, error)
	text func(out io.Writer, found []T) error
	// todo says whether something is to be done, verdict what is said then.
	todo    func(found []T) bool
	verdict string
}

// command gives cmd the flags of such a command, with cfg as defaults, and its run.
func (f findings[T]) command(cmd *cobra.Command, cfg operator.Config, more func(b *binder, cfg *operator.Config)) *cobra.Command {
	output := "text"
	b := &binder{flags: cmd.Flags(), env: map[string][]string{}}
	b.text(&cfg.Namespace, "namespace", "the operator's namespace", "ADDON_OPERATOR_NAMESPACE")
	b.text(&cfg.ConfigMap, "config-map", "name of the ConfigMap with the settings", "ADDON_OPERATOR_CONFIG_MAP")
	b.text(&cfg.KubeConfig, "kube-config", "kubeconfig file", "KUBE_CONFIG")
	b.text(&cfg.KubeContext, "kube-context", "context of the kubeconfig", "KUBE_CONTEXT")
	b.text(&cfg.ModulesDir, "modules-dir", "directories with modules, separated by ':'", "ADDON_OPERATOR_MODULES_DIR", "MODULES_DIR")
	b.text(&cfg.GlobalHooksDir, "global-hooks-dir", "directory with global hooks", "ADDON_OPERATOR_GLOBAL_HOOKS_DIR", "GLOBAL_HOOKS_DIR")
	if more != nil {
		more(b, &cfg)
	}
	cmd.Flags().StringVarP(&output, "output", "o", output, "text or json")
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := b.environment(); err != nil {
			return withCode{err, 2}
		}
		if output != "text" && output != "json" {
			return withCode{fmt.Errorf("--output is %q: expected text or json", output), 2}
		}
		found, err := f.look(cmd.Context(), cfg)
		if err != nil {
			return withCode{err, 2}
		}
		if err := f.print(cmd.OutOrStdout(), output, found); err != nil {
			return withCode{err, 2}
		}
		if f.todo(found) {
			return withCode{errors.New(f.verdict), 1}
		}
		return nil
	}
	return cmd
}

// print writes findings for people, or {"findings": […]} for programs.
func (f findings[T]) print(out io.Writer, output string, found []T) error {
	if output == "text" {
		return f.text(out, found)
	}
	if found == nil {
		found = []T{}
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"findings": found})
}

// withCode is an error with an exit code of its own.
type withCode struct {
	error
	code int
}

func (e withCode) ExitCode() int { return e.code }
func (e withCode) Unwrap() error { return e.error }
