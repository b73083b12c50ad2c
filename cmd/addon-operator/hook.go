package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hooklint"
	"github.com/addon-operator/addon-operator/pkg/hooktest"
)

// hookCommand is what authors of hooks work with; none of it needs a running operator.
func hookCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "hook", Short: "Check, run and test hooks on the desk, without a running operator"}
	cmd.AddCommand(hookLintCommand())
	return cmd
}

// usageError is a wrong command line: status 2, as against 1 for what was found.
type usageError struct{ error }

func (usageError) ExitCode() int { return 2 }

// asUsage gives a command status 2 for a wrong command line.
func asUsage(cmd *cobra.Command, args cobra.PositionalArgs) {
	cmd.Args = func(cmd *cobra.Command, given []string) error {
		if err := args(cmd, given); err != nil {
			return usageError{fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
		}
		return nil
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
}

// ownerFlags let the command line say whose hooks they are, where the place does not.
type ownerFlags struct {
	standalone, global bool
	module             string
}

func (o *ownerFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.standalone, "standalone", false, "they are hooks without modules (start --hooks-dir)")
	cmd.Flags().BoolVar(&o.global, "global", false, "they are global hooks")
	cmd.Flags().StringVar(&o.module, "module", "", "they are hooks of this module")
	cmd.MarkFlagsMutuallyExclusive("standalone", "global", "module")
}

func (o *ownerFlags) owner() (*hook.Owner, error) {
	text := o.module
	switch {
	case o.standalone:
		text = "standalone"
	case o.global:
		text = "global"
	}
	owner, err := hooktest.ParseOwner(text)
	if err != nil {
		return nil, usageError{err}
	}
	return owner, nil
}

func hookLintCommand() *cobra.Command {
	var owner ownerFlags
	var format string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "lint FILE|DIR...",
		Short: "Say what each file is taken for, what it declares, and what is wrong with it",
		Long: `Looks at a hook, a directory of hooks, of a module, of modules, or of global hooks.
It runs each hook with --config and nothing else.

Status 1 when the operator would refuse a hook; warnings leave it at 0. A comment
"# hook-lint: ignore=RULE[,RULE]" in a file silences warnings.`,
		Example: "  addon-operator hook lint global-hooks modules\n  addon-operator hook lint --standalone ./hooks",
	}
	asUsage(cmd, cobra.MinimumNArgs(1))
	owner.add(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long a hook may take to answer --config")
	cmd.RunE = func(cmd *cobra.Command, paths []string) error {
		o, err := owner.owner()
		if err != nil {
			return err
		}
		if format != "text" && format != "json" {
			return usageError{fmt.Errorf("-o is %q: expected text or json", format)}
		}
		finder, err := exec.New(exec.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		defer finder.Close()
		report, err := hooklint.Lint(cmd.Context(), finder, paths, hooklint.Options{Owner: o, Timeout: timeout})
		if err != nil {
			return usageError{err}
		}
		if err := writeReport(cmd.OutOrStdout(), report, format); err != nil {
			return err
		}
		switch {
		case report.Errors > 0:
			return errors.New("the operator would refuse what is listed above without the word warning")
		case len(report.Files) == 0:
			return usageError{errors.New("there is no file in these directories: name a hook, or a directory that holds some")}
		}
		return nil
	}
	return cmd
}

func writeReport(w io.Writer, r hooklint.Report, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	hooklint.Write(w, r)
	return nil
}
