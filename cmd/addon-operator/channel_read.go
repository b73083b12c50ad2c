package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/publish"
)

// outputFlag is -o with the values that are allowed; the first is the default.
func outputFlag(cmd *cobra.Command, allowed ...string) func() (string, error) {
	format := allowed[0]
	usage := oneOf(allowed)
	cmd.Flags().StringVarP(&format, "output", "o", format, usage)
	return func() (string, error) {
		for _, a := range allowed {
			if a == format {
				return format, nil
			}
		}
		return "", usageError{fmt.Errorf("--output is %q: expected %s", format, usage)}
	}
}

func oneOf(words []string) string {
	out := words[0]
	for i, w := range words[1:] {
		if i == len(words)-2 {
			out += " or " + w
		} else {
			out += ", " + w
		}
	}
	return out
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

const tagHelp = "CHANNEL is the newest document; CHANNEL-SEQ, as stable-183, is one of its history."

func channelShowCommand() *cobra.Command {
	var c channelFlags
	var signature string
	cmd := &cobra.Command{
		Use:   "show CHANNEL",
		Short: "Show what a channel offers",
		Long:  "Verifies the signature first. " + tagHelp + "\nWith -o json the document is printed byte for byte as it was signed.",
		Example: `  addon-operator channel show stable --root oci://registry.example.com/modules --verify-key release.pub
  addon-operator channel show stable --verify-key release.pub -o json --signature stable.sig > stable.json
  openssl dgst -sha256 -verify release.pub -signature stable.sig stable.json`,
	}
	asUsage(cmd, cobra.ExactArgs(1))
	c.reading(cmd)
	output := outputFlag(cmd, "text", "json")
	cmd.Flags().StringVar(&signature, "signature", "", "write the signature (DER) to this file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		format, err := output()
		if err != nil {
			return err
		}
		channels, err := c.open(cmd)
		if err != nil {
			return err
		}
		h, err := channels.Read(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if signature != "" {
			if err := os.WriteFile(signature, h.Signature, 0o644); err != nil { //nolint:gosec // a signature is public
				return err
			}
		}
		if format == "json" {
			_, err = cmd.OutOrStdout().Write(h.Bytes)
			return err
		}
		return publish.WriteHead(cmd.OutOrStdout(), h)
	}
	return cmd
}

func channelDiffCommand() *cobra.Command {
	var c channelFlags
	cmd := &cobra.Command{
		Use:   "diff CHANNEL [CHANNEL]",
		Short: "Show how two documents differ, or a document from the one before it",
		Long:  tagHelp,
		Example: `  addon-operator channel diff stable ea
  addon-operator channel diff stable-183 stable
  addon-operator channel diff stable -o patch`,
	}
	asUsage(cmd, cobra.RangeArgs(1, 2))
	c.reading(cmd)
	output := outputFlag(cmd, "text", "json", "patch")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		format, err := output()
		if err != nil {
			return err
		}
		channels, err := c.open(cmd)
		if err != nil {
			return err
		}
		a, b, err := channels.Pair(cmd.Context(), args)
		if err != nil {
			return err
		}
		return writeDiff(cmd.OutOrStdout(), format, a, b)
	}
	return cmd
}

func writeDiff(out io.Writer, format string, a, b publish.Head) error {
	changes := catalog.Diff(a.Document, b.Document)
	switch format {
	case "patch":
		fmt.Fprint(out, publish.Patch(a, b))
	case "json":
		if changes == nil {
			changes = []catalog.Change{}
		}
		return writeJSON(out, map[string]any{"changes": changes})
	default:
		for _, change := range changes {
			fmt.Fprintln(out, change.Text)
		}
		if len(changes) == 0 {
			fmt.Fprintln(out, "no difference")
		}
	}
	return nil
}

func channelLogCommand() *cobra.Command {
	var c channelFlags
	limit := 20
	cmd := &cobra.Command{
		Use:   "log CHANNEL",
		Short: "Show the documents of a channel, newest first, and what each changed",
		Long:  "Verifies the signature of each document, and that each names the one before it.",
	}
	asUsage(cmd, cobra.ExactArgs(1))
	c.reading(cmd)
	output := outputFlag(cmd, "text", "json")
	cmd.Flags().IntVarP(&limit, "limit", "n", limit, "how many documents; 0 for all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		format, err := output()
		if err != nil {
			return err
		}
		channels, err := c.open(cmd)
		if err != nil {
			return err
		}
		more := limit
		if limit > 0 {
			more++ // what the last one changed needs the one before
		}
		heads, err := channels.History(cmd.Context(), args[0], more)
		log := publish.Log(heads)
		if limit > 0 && len(log) > limit {
			log = log[:limit]
		}
		if format == "json" {
			return errors.Join(writeJSON(cmd.OutOrStdout(), map[string]any{"documents": log}), err)
		}
		publish.WriteLog(cmd.OutOrStdout(), args[0], log)
		return err
	}
	return cmd
}

func channelVerifyCommand() *cobra.Command {
	var c channelFlags
	limit := 20
	cmd := &cobra.Command{
		Use:   "verify CHANNEL",
		Short: "Check a channel as clusters do: signature, expiry, history, and every artifact that it lists",
	}
	asUsage(cmd, cobra.ExactArgs(1))
	c.reading(cmd)
	cmd.Flags().IntVarP(&limit, "limit", "n", limit, "how many documents of the history; 0 for all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		channels, err := c.open(cmd)
		if err != nil {
			return err
		}
		audit, err := channels.Verify(cmd.Context(), args[0], limit)
		if err != nil {
			return err
		}
		audit.Write(cmd.OutOrStdout())
		if n := len(audit.Problems); n > 0 {
			return fmt.Errorf("channel %s has %d problems, see above", args[0], n)
		}
		return nil
	}
	return cmd
}
