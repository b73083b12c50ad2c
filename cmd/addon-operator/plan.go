package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// Exit codes of commands that compare, as diff has them.
const (
	exitDifferent = 1
	exitTrouble   = 2
)

// exitError ends the process with a code of its own. Without an error nothing is said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func (e *exitError) ExitCode() int { return e.code }

// trouble is exit code 2, for whatever kept a command from comparing.
func trouble(err error) error {
	var coded *exitError
	if err == nil || errors.As(err, &coded) {
		return err
	}
	return &exitError{exitTrouble, err}
}

// planCommand asks the operator what a ConfigMap would do.
func planCommand() *cobra.Command {
	var a asker
	var file string
	var diff bool
	cmd := &cobra.Command{Use: "plan -f FILE", Short: "Say what a changed ConfigMap would do to every module, before it is applied",
		Long: "Send a ConfigMap, as kubectl writes it, or its data alone, to the running operator, which computes with the facts of now what it would do:\n" +
			"keys that are not valid, modules switched on and off, values that change, objects that would be added, changed and removed.\n" +
			"Nothing is applied. Enabled scripts run; hooks do not, so that those which are named may change more.\n\n" +
			"Exit code: 0 nothing would change, 1 something would, 2 the ConfigMap is not valid or the operator cannot be asked.",
		Example: "  kubectl -n addon-operator get cm addon-operator -o yaml > cm.yaml   # edit cm.yaml\n  addon-operator plan -f cm.yaml --diff",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return trouble(a.plan(cmd, file, diff)) }}
	a.flags(cmd, "text", "text", "json", "yaml")
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file with the ConfigMap or its data; - is the standard input")
	cmd.Flags().BoolVar(&diff, "diff", false, "show how objects would change")
	return cmd
}

func (a *asker) plan(cmd *cobra.Command, file string, diff bool) error {
	text, err := readInput(cmd, file)
	if err != nil {
		return err
	}
	var p explain.Plan
	body, err := web.Send(cmd.Context(), a.path(cmd), "/plan.json", url.Values{"configmap": {string(text)}})
	if err == nil {
		err = json.Unmarshal(body, &p)
	}
	if err != nil {
		return err
	}
	p.Diff = diff
	if err := a.show(cmd, p); err != nil {
		return err
	}
	switch p.Outcome {
	case explain.Nothing:
		return nil
	case explain.Different:
		return &exitError{code: exitDifferent}
	}
	return &exitError{code: exitTrouble, err: errors.New("the ConfigMap is not valid")}
}

func readInput(cmd *cobra.Command, file string) ([]byte, error) {
	switch file {
	case "":
		return nil, errors.New("no ConfigMap: name a file with -f, or - for the standard input")
	case "-":
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(file)
}

// show prints a value in the format of -o.
func (a *asker) show(cmd *cobra.Command, v interface{ Text() string }) (err error) {
	text := []byte(v.Text())
	switch a.format {
	case "json":
		text, err = json.MarshalIndent(v, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(v)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), string(text))
	return err
}

// diffCommand compares what is rendered with what is in the cluster.
func diffCommand() *cobra.Command {
	var a asker
	cmd := &cobra.Command{Use: "diff NAME", Short: "Compare the objects that a module's chart gives now with those in the cluster",
		Long: "Print a unified diff of each object that differs: what is in the cluster, and what applying the module's chart with the values of now\n" +
			"would make of it. Only fields that the chart sets count. The API server is asked for the outcome without applying it.\n\n" +
			"Exit code: 0 nothing differs, 1 something does, 2 the operator cannot tell.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return trouble(a.diff(cmd, args[0])) }}
	a.flags(cmd, "text", "text", "json", "yaml")
	return cmd
}

func (a *asker) diff(cmd *cobra.Command, module string) error {
	var d explain.ModuleDiff
	body, err := web.Ask(cmd.Context(), a.path(cmd), "/module/"+url.PathEscape(module)+"/diff.json")
	if err == nil {
		err = json.Unmarshal(body, &d)
	}
	if err != nil {
		return err
	}
	if err := a.show(cmd, d); err != nil {
		return err
	}
	if len(d.Objects) > 0 {
		return &exitError{code: exitDifferent}
	}
	return nil
}
