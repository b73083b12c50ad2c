package main

import (
	"net/url"

	"github.com/spf13/cobra"
)

// explainCommand is below module, but writes text unless -o asks for something else.
func explainCommand() *cobra.Command {
	var a asker
	cmd := a.question("explain NAME", "Say why a module is on or off, who set its values and what its last pass did", cobra.ExactArgs(1),
		func(args []string) string { return "/module/" + url.PathEscape(args[0]) + "/explain." + a.format })
	cmd.Long = "Say of a module of the running operator what state it is in and why, who switched it on or off, what it waits for, who set each of\n" +
		"its values and over what, which facts it reads, and what its last pass found changed and did about it."
	a.flags(cmd, "text", "text", "json", "yaml")
	return cmd
}
