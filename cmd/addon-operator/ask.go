package main

import (
	"fmt"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/operator"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// asker asks the running operator over its socket.
type asker struct {
	socket, format string
}

func (a *asker) flags(cmd *cobra.Command) {
	socket := operator.Defaults().DebugSocket
	if env := os.Getenv("DEBUG_UNIX_SOCKET"); env != "" {
		socket = env
	}
	cmd.PersistentFlags().StringVar(&a.socket, "debug-unix-socket", socket, "socket of the operator (DEBUG_UNIX_SOCKET)")
	cmd.PersistentFlags().StringVarP(&a.format, "output", "o", "yaml", "yaml or json")
}

func (a *asker) ask(cmd *cobra.Command, path string) error {
	if f := cmd.Flag("debug-unix-socket"); f != nil && !f.Changed {
		a.socket = liveSocket(a.socket)
	}
	body, err := web.Ask(cmd.Context(), a.socket, path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), string(body))
	return err
}

// liveSocket is the given socket, or that of an operator in hooks-only mode where only that is there.
func liveSocket(path string) string {
	other := operator.HooksOnly("").DebugSocket
	if _, err := os.Stat(path); err != nil {
		if _, err := os.Stat(other); err == nil {
			return other
		}
	}
	return path
}

// askHookCommands look at the hooks of an operator in hooks-only mode (C-472).
func askHookCommands() []*cobra.Command {
	var a asker
	list := &cobra.Command{Use: "list", Short: "List the hooks of a running operator that has no modules", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.ask(cmd, "/hook/list."+a.format) }}
	snapshot := &cobra.Command{Use: "snapshot HOOK", Short: "Show the snapshots of a hook of a running operator that has no modules", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, "/hook/"+(&url.URL{Path: args[0]}).EscapedPath()+"/snapshots."+a.format)
		}}
	for _, cmd := range []*cobra.Command{list, snapshot} {
		a.flags(cmd)
	}
	return []*cobra.Command{list, snapshot}
}

func moduleCommand() *cobra.Command {
	var a asker
	cmd := &cobra.Command{Use: "module", Short: "Look at modules of the running operator (C-473)"}
	a.flags(cmd)
	cmd.AddCommand(&cobra.Command{Use: "list", Short: "List modules and whether they are on", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.ask(cmd, "/module/list."+a.format) }})
	for what, short := range map[string]string{
		"values": "Show the effective values of a module, secrets masked", "config": "Show what the ConfigMap sets for a module",
		"patches": "Show what the hooks of a module wrote",
	} {
		var global bool
		sub := &cobra.Command{Use: what + " NAME", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.ask(cmd, fmt.Sprintf("/module/%s/%s.%s?global=%t", url.PathEscape(args[0]), what, a.format, global))
			}}
		if what == "values" {
			sub.Flags().BoolVarP(&global, "global", "g", false, "with the global values")
		}
		cmd.AddCommand(sub)
	}
	var secrets bool
	render := &cobra.Command{Use: "render NAME", Short: "Show the objects that a module's chart gives now", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, fmt.Sprintf("/module/%s/render?secrets=%t", url.PathEscape(args[0]), secrets))
		}}
	render.Flags().BoolVar(&secrets, "show-secrets", false, "with secret values, which are masked otherwise")
	cmd.AddCommand(render)
	return cmd
}

func globalCommand() *cobra.Command {
	var a asker
	cmd := &cobra.Command{Use: "global", Short: "Look at the global section of the running operator (C-473)"}
	a.flags(cmd)
	for what, short := range map[string]string{
		"values": "Show the effective global values, facts included", "config": "Show what the ConfigMap sets under global",
		"patches": "Show what global hooks wrote",
	} {
		cmd.AddCommand(&cobra.Command{Use: what, Short: short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.ask(cmd, "/global/"+what+"."+a.format) }})
	}
	return cmd
}

func queueCommand() *cobra.Command {
	var a asker
	cmd := &cobra.Command{Use: "queue", Short: "Look at the lanes of the running operator"}
	a.flags(cmd)
	cmd.AddCommand(&cobra.Command{Use: "list", Short: "Show how many tasks wait in each lane", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.ask(cmd, "/queue/list."+a.format) }})
	return cmd
}
