package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/addon-operator/addon-operator/pkg/operator"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// asker asks the running operator over its socket.
type asker struct {
	socket, format string
}

// flags are those of every command that asks; format is the default of -o and allowed
// are its values.
func (a *asker) flags(cmd *cobra.Command, format string, allowed ...string) {
	a.socketFlag(cmd)
	usage := "yaml or json"
	if slices.Contains(allowed, "text") {
		usage = "text, json or yaml"
	}
	cmd.PersistentFlags().StringVarP(&a.format, "output", "o", format, usage)
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(allowed, a.format) {
			return fmt.Errorf("--output is %q: expected %s", a.format, usage)
		}
		return nil
	}
}

func (a *asker) socketFlag(cmd *cobra.Command) {
	socket := operator.Defaults().DebugSocket
	if env := os.Getenv("DEBUG_UNIX_SOCKET"); env != "" {
		socket = env
	}
	cmd.PersistentFlags().StringVar(&a.socket, "debug-unix-socket", socket, "socket of the operator (DEBUG_UNIX_SOCKET)")
}

// get prints what is at a path. An error status is an error with the answer's text (C-474).
func (a *asker) get(cmd *cobra.Command, path string) error {
	body, err := web.Ask(cmd.Context(), a.path(cmd), path)
	return printed(cmd, body, err)
}

func printed(cmd *cobra.Command, body []byte, err error) error {
	if err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(body)
	return err
}

// path is the socket's: the one given, or else that of an operator in hooks-only mode
// where only that is there.
func (a *asker) path(cmd *cobra.Command) string {
	if f := cmd.Flag("debug-unix-socket"); f != nil && f.Changed {
		return a.socket
	}
	return liveSocket(a.socket)
}

func liveSocket(path string) string {
	other := operator.HooksOnly("").DebugSocket
	if _, err := os.Stat(path); err != nil {
		if _, err := os.Stat(other); err == nil {
			return other
		}
	}
	return path
}

// question is a command that prints what is at a path.
func (a *asker) question(use, short string, args cobra.PositionalArgs, path func(args []string) string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error { return a.get(cmd, path(args)) }}
}

// askHookCommands look at the hooks of an operator in hooks-only mode (C-472).
func askHookCommands() []*cobra.Command {
	var a asker
	list := a.question("list", "List the hooks of a running operator that has no modules", cobra.NoArgs,
		func([]string) string { return "/hook/list." + a.format })
	snapshot := a.question("snapshot HOOK", "Show the snapshots of a hook of a running operator that has no modules", cobra.ExactArgs(1),
		func(args []string) string {
			return "/hook/" + (&url.URL{Path: args[0]}).EscapedPath() + "/snapshots." + a.format
		})
	for _, cmd := range []*cobra.Command{list, snapshot} {
		a.flags(cmd, "yaml", "yaml", "json", "text")
	}
	return []*cobra.Command{list, snapshot}
}

func moduleCommand() *cobra.Command {
	var a asker
	cmd := &cobra.Command{Use: "module", Short: "Look at modules of the running operator (C-473), and push modules to registries"}
	a.flags(cmd, "yaml", "yaml", "json")
	one := cobra.ExactArgs(1)
	about := func(args []string, what string) string { return "/module/" + url.PathEscape(args[0]) + "/" + what }
	cmd.AddCommand(
		a.question("list", "List modules and whether they are on", cobra.NoArgs, func([]string) string { return "/module/list." + a.format }),
		a.question("resource-monitor", "Show the objects of each module's release and how they are", cobra.NoArgs,
			func([]string) string { return "/module/resource-monitor." + a.format }),
		a.question("patches NAME", "Show what the hooks of a module wrote", one, func(args []string) string { return about(args, "patches."+a.format) }),
		a.question("snapshots NAME", "Show what the kubernetes bindings of a module's hooks hold", one,
			func(args []string) string { return about(args, "snapshots."+a.format) }),
	)
	for what, short := range map[string]string{
		"values": "Show the effective values of a module, secrets masked", "config": "Show what the ConfigMap sets for a module, secrets masked",
	} {
		var global bool
		sub := a.question(what+" NAME", short, one, func(args []string) string { return about(args, fmt.Sprintf("%s.%s?global=%t", what, a.format, global)) })
		sub.Flags().BoolVarP(&global, "global", "g", false, "with the global section")
		cmd.AddCommand(sub)
	}
	var debug, diff, secrets bool
	render := a.question("render NAME", "Show the objects that a module's chart gives now", one,
		func(args []string) string {
			return about(args, fmt.Sprintf("render?debug=%t&diff=%t&secrets=%t", debug, diff, secrets))
		})
	render.Flags().BoolVar(&debug, "debug", false, "what the templates give, by file and even where that is no YAML")
	render.Flags().BoolVar(&diff, "diff", false, "as a unified diff against the release in the cluster")
	render.Flags().BoolVar(&secrets, "show-secrets", false, "with secret values, which are masked otherwise")
	render.MarkFlagsMutuallyExclusive("debug", "diff")
	cmd.AddCommand(render, explainCommand(), diffCommand(), pushCommand())
	return cmd
}

func globalCommand() *cobra.Command {
	var a asker
	cmd := &cobra.Command{Use: "global", Short: "Look at the global section of the running operator (C-473)"}
	a.flags(cmd, "yaml", "yaml", "json")
	for what, short := range map[string]string{
		"list": "List what can be asked about the global section", "values": "Show the effective global values, facts included",
		"config": "Show what the ConfigMap sets under global", "patches": "Show what global hooks wrote",
		"snapshots": "Show what the kubernetes bindings of global hooks hold",
	} {
		cmd.AddCommand(a.question(what, short, cobra.NoArgs, func([]string) string { return "/global/" + what + "." + a.format }))
	}
	return cmd
}

func queueCommand() *cobra.Command {
	var a asker
	var empty, watch bool
	every := time.Second
	cmd := &cobra.Command{Use: "queue", Short: "Look at what runs and what waits in the running operator (C-471)"}
	a.flags(cmd, "text", "text", "json", "yaml")
	list := &cobra.Command{Use: "list", Short: "Show the tasks of all queues", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		path := func() string { return fmt.Sprintf("/queue/list.%s?showEmpty=%t", a.format, empty) }
		if !watch {
			return a.get(cmd, path())
		}
		return a.watch(cmd, path(), every)
	}}
	list.Flags().BoolVarP(&empty, "show-empty", "e", false, "with queues that have no tasks")
	list.Flags().BoolVarP(&watch, "watch", "w", false, "again and again, until it is interrupted")
	list.Flags().DurationVarP(&every, "watchInterval", "t", every, "time between two looks of --watch")
	cmd.AddCommand(list, a.question("main", "Show the passes, and the main queue of each owner", cobra.NoArgs,
		func([]string) string { return "/queue/main." + a.format }))
	return cmd
}

// watch prints what is at a path again and again; on a terminal each takes the place of the last.
func (a *asker) watch(cmd *cobra.Command, path string, every time.Duration) error {
	if every <= 0 {
		return fmt.Errorf("--watchInterval is %s: expected more than 0", every)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		body, err := web.Ask(cmd.Context(), a.path(cmd), path)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if term.IsTerminal(int(os.Stdout.Fd())) {
			body = append([]byte("\x1b[H\x1b[2J"), body...)
		}
		if err := printed(cmd, body, err); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-cmd.Context().Done():
			return nil
		}
	}
}

func configCommand() *cobra.Command {
	var a asker
	cmd := &cobra.Command{Use: "config", Short: "Look at and set what can be changed in the running operator (C-483)"}
	a.flags(cmd, "text", "text", "json", "yaml")
	cmd.AddCommand(a.question("list", "List runtime parameters", cobra.NoArgs, func([]string) string { return "/config/list." + a.format }),
		&cobra.Command{Use: "set NAME VALUE [DURATION]", Short: "Set a runtime parameter, for a duration such as 10m if one is given", Args: cobra.RangeArgs(2, 3),
			RunE: func(cmd *cobra.Command, args []string) error {
				form := url.Values{"name": {args[0]}, "value": {args[1]}}
				if len(args) > 2 {
					form.Set("duration", args[2])
				}
				body, err := web.Send(cmd.Context(), a.path(cmd), "/config/set."+a.format, form)
				return printed(cmd, body, err)
			}})
	return cmd
}

func rawCommand() *cobra.Command {
	var a asker
	cmd := a.question("raw PATH", "Print what the running operator answers at a path of its debug socket; /discovery lists them", cobra.ExactArgs(1),
		func(args []string) string { return "/" + trimSlash(args[0]) })
	a.socketFlag(cmd)
	return cmd
}

func graphCommand() *cobra.Command {
	var a asker
	format := "text"
	cmd := a.question("graph", "Draw the modules of the running operator, what they require and their state", cobra.NoArgs,
		func([]string) string { return "/graph?format=" + url.QueryEscape(format) })
	a.socketFlag(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", format, "text, which is Graphviz' DOT, or svg")
	return cmd
}

func trimSlash(path string) string {
	if path != "" && path[0] == '/' {
		return path[1:]
	}
	return path
}
