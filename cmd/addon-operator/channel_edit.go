package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/publish"
)

func channelInitCommand() *cobra.Command {
	var c channelFlags
	var b catalog.Beginning
	cmd := &cobra.Command{
		Use:   "init CHANNEL",
		Short: "Begin a channel, which lists nothing yet",
		Example: `  addon-operator channel init ea --root oci://registry.example.com/modules --key release.key
  addon-operator channel init stable --root oci://registry.example.com/modules --key release.key --expires 720h --waves 4 --interval 6h`,
	}
	asUsage(cmd, cobra.ExactArgs(1))
	c.writing(cmd)
	rollout := rolloutFlags(cmd)
	cmd.Flags().DurationVar(&b.Lifetime, "expires", 0, "how long each document of the channel justifies upgrades; 0 is for ever")
	cmd.Flags().Int64Var(&b.Seq, "seq", 0, "number of the first document; above the highest that clusters have seen, for a channel whose registry was lost (default 1)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		channels, err := c.open(cmd)
		if err != nil {
			return err
		}
		b.Channel, b.Rollout = args[0], rollout()
		p, err := channels.PlanInit(cmd.Context(), b)
		return c.finish(cmd, channels, p, err)
	}
	return cmd
}

func rolloutFlags(cmd *cobra.Command) func() catalog.Rollout {
	var waves int
	var interval time.Duration
	cmd.Flags().IntVar(&waves, "waves", 0, "spread a new version over the clusters in this many waves; 0 for all at once")
	cmd.Flags().DurationVar(&interval, "interval", 0, "time between two waves")
	return func() catalog.Rollout { return catalog.Rollout{Waves: waves, Interval: catalog.Duration(interval)} }
}

// entryFlags are of commands that write an entry.
type entryFlags struct {
	urgency     string
	annotations map[string]string
}

func (e *entryFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&e.urgency, "urgency", "", "normal or security; security skips waves and, by policy of the cluster, windows (default normal)")
	cmd.Flags().StringToStringVar(&e.annotations, "annotate", nil, "KEY=TEXT kept with the entry for people, as a ticket; may be repeated")
}

// texts is nil when nothing was given, so that what is there stays.
func (e *entryFlags) texts() map[string]string {
	if len(e.annotations) == 0 {
		return nil
	}
	return maps.Clone(e.annotations)
}

func channelPromoteCommand() *cobra.Command {
	var c channelFlags
	var e entryFlags
	var p publish.Promotion
	var all, noPath bool
	var fromRoot string
	var fromKeys []string
	cmd := &cobra.Command{
		Use:   "promote MODULE [VERSION] --to CHANNEL [--from CHANNEL]",
		Short: "Offer a version of a module in a channel, with the bytes it has in another one",
		Long: `With --from, the version is the one that channel lists (default: the version it has now), by the digest listed there, and
--min-soak refuses what has not been there for long enough. Without, it is what was pushed as MODULE:VERSION.

The version that was in the channel stays available to clusters that ask for it. A lower version is refused; see channel
rollback. With --from-root the artifacts are copied by digest. "global" is the folder of global hooks.`,
		Example: `  addon-operator channel promote prometheus 2.7.1 --to ea
  addon-operator channel promote prometheus 2.7.1 --from ea --to stable --min-soak 48h --dry-run
  addon-operator channel promote --all --from ea --to stable --min-soak 48h`,
	}
	asUsage(cmd, cobra.MaximumNArgs(2))
	c.writing(cmd)
	e.add(cmd)
	f := cmd.Flags()
	f.StringVar(&p.To, "to", "", "channel that shall have the version")
	f.StringVar(&p.From, "from", "", "channel that has it")
	f.BoolVar(&all, "all", false, "promote every module that --from has in a higher version, in one document; what was not there long enough is left out")
	f.DurationVar(&p.MinSoak, "min-soak", 0, "how long the version must have been in --from")
	f.StringArrayVar(&p.Path, "path", nil, "version that older clusters walk through; may be repeated; replaces the path")
	f.BoolVar(&noPath, "no-path", false, "older clusters walk through no version")
	f.BoolVar(&p.ExtendPath, "extend-path", false, "add the version that is replaced to the path")
	f.IntVar(&p.Keep, "keep", catalog.DefaultKeep, "how many older versions stay available")
	f.StringVar(&fromRoot, "from-root", "", "root of the registry that has --from, or the pushed version; default --root")
	f.StringArrayVar(&fromKeys, "from-verify-key", nil, "file with public keys of which one must have signed --from; default as --verify-key")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := promotionLine(&p, args, all, noPath); err != nil {
			return usageError{err}
		}
		channels, err := c.open(cmd)
		if err != nil {
			return err
		}
		if p.Source, err = c.source(cmd, channels, fromRoot, fromKeys); err != nil {
			return err
		}
		p.Urgency, p.Annotations = e.urgency, e.texts()
		plan := channels.PlanPromotion
		if all {
			plan = channels.PlanAll
		}
		planned, err := plan(cmd.Context(), p)
		return c.finish(cmd, channels, planned, err)
	}
	return cmd
}

// promotionLine checks what belongs together.
func promotionLine(p *publish.Promotion, args []string, all, noPath bool) error {
	switch {
	case p.To == "":
		return errors.New("--to is missing: name the channel that shall have the version")
	case all && (len(args) > 0 || p.From == ""):
		return errors.New("--all takes every module of --from: give --from, and no module")
	case all && (p.Path != nil || noPath):
		return errors.New("--path is of one module: promote it without --all")
	case !all && len(args) == 0:
		return errors.New("name a module, or give --all")
	case noPath && p.Path != nil:
		return errors.New("--path and --no-path exclude each other")
	}
	if len(args) > 0 {
		p.Module = args[0]
	}
	if len(args) > 1 {
		p.Version = args[1]
	}
	if noPath {
		p.Path = []string{}
	}
	if p.Keep <= 0 {
		p.Keep = -1 // none; the package's zero is the default
	}
	return nil
}

// source are the channels of another root; nil for the same.
func (c *channelFlags) source(cmd *cobra.Command, to *publish.Channels, root string, keys []string) (*publish.Channels, error) {
	if root == "" && keys == nil {
		return nil, nil
	}
	from := *to
	from.Sign = nil
	if keys != nil {
		var texts []string
		for _, name := range keys {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("--from-verify-key: %w", err)
			}
			texts = append(texts, string(text))
		}
		var err error
		if from.Keys, err = catalog.ParseKeys(texts); err != nil {
			return nil, fmt.Errorf("--from-verify-key: %w", err)
		}
	}
	if root == "" || strings.TrimSuffix(root, "/") == strings.TrimSuffix(c.root, "/") {
		return &from, nil
	}
	var err error
	from.Remote, err = c.registry.remote(root)
	return &from, err
}

// editCommand is a command that makes the next document of --channel by one edit.
func editCommand(cmd *cobra.Command, args cobra.PositionalArgs, edit func(args []string) ([]catalog.Edit, error)) *cobra.Command {
	var c channelFlags
	var channel string
	asUsage(cmd, args)
	c.writing(cmd)
	cmd.Flags().StringVar(&channel, "channel", "", "the channel")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if channel == "" {
			return usageError{errors.New("--channel is missing")}
		}
		return c.apply(cmd, channel, args, edit)
	}
	return cmd
}

func (c *channelFlags) apply(cmd *cobra.Command, channel string, args []string, edit func(args []string) ([]catalog.Edit, error)) error {
	edits, err := edit(args)
	if err != nil {
		return usageError{err}
	}
	channels, err := c.open(cmd)
	if err != nil {
		return err
	}
	p, err := channels.Plan(cmd.Context(), channel, edits...)
	return c.finish(cmd, channels, p, err)
}

func channelYankCommand() *cobra.Command {
	var reason string
	var undo bool
	cmd := &cobra.Command{
		Use:   "yank MODULE VERSION --channel CHANNEL --reason TEXT",
		Short: "Say that a version must not be installed any more",
		Long: `The version is offered no longer; clusters that run it raise an alert, and those with update.leaveYanked move on. The
version that the channel has now cannot be yanked: use channel rollback --yank, or promote another one first.`,
		Example: `  addon-operator channel yank prometheus 2.7.0 --channel stable --reason "loses data on restart"`,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is shown by clusters that run it")
	cmd.Flags().BoolVar(&undo, "undo", false, "take the yank back; a promotion offers the version again")
	return editCommand(cmd, cobra.ExactArgs(2), func(args []string) ([]catalog.Edit, error) {
		if undo {
			return []catalog.Edit{catalog.Unyank(args[0], args[1])}, nil
		}
		if strings.TrimSpace(reason) == "" {
			return nil, errors.New("--reason is missing: say why the version must not be installed")
		}
		return []catalog.Edit{catalog.Yank(args[0], args[1], reason)}, nil
	})
}

func channelRollbackCommand() *cobra.Command {
	var e entryFlags
	var r catalog.Return
	cmd := &cobra.Command{
		Use:   "rollback MODULE VERSION --channel CHANNEL",
		Short: "Take a module of a channel back to a lower version that is still available",
		Long: `Clusters that follow the channel go down to the version, which they never do otherwise. The version that is left is offered
no longer, unless --offer says so. Waves hold for the way down, too; --urgency security goes at once.`,
		Example: `  addon-operator channel rollback prometheus 2.6.4 --channel stable --yank "loses data on restart" --urgency security`,
	}
	e.add(cmd)
	cmd.Flags().StringVar(&r.Yank, "yank", "", "yank the version that is left, for this reason")
	cmd.Flags().BoolVar(&r.Offer, "offer", false, "keep the version that is left available to clusters that ask for it")
	return editCommand(cmd, cobra.ExactArgs(2), func(args []string) ([]catalog.Edit, error) {
		if r.Offer && r.Yank != "" {
			return nil, errors.New("--offer and --yank exclude each other")
		}
		r.Urgency, r.Annotations = e.urgency, e.texts()
		return []catalog.Edit{catalog.Rollback(args[0], args[1], r)}, nil
	})
}

func channelRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove MODULE --channel CHANNEL",
		Short: "List a module no longer; where it runs it keeps running",
	}
	return editCommand(cmd, cobra.ExactArgs(1), func(args []string) ([]catalog.Edit, error) {
		return []catalog.Edit{catalog.Remove(args[0])}, nil
	})
}

func channelRenewCommand() *cobra.Command {
	var c channelFlags
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "renew CHANNEL",
		Short: "Write the same again with a new time of expiry",
		Long:  "Every new document expires as long after its creation as the one before, so a channel that is written often needs no renewal.",
	}
	asUsage(cmd, cobra.ExactArgs(1))
	c.writing(cmd)
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long documents justify upgrades from now on; 0 is for ever (default: as long as before)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.apply(cmd, args[0], nil, func([]string) ([]catalog.Edit, error) {
			if !cmd.Flags().Changed("expires") {
				return nil, nil
			}
			return []catalog.Edit{catalog.SetLifetime(expires)}, nil
		})
	}
	return cmd
}

func channelRolloutCommand() *cobra.Command {
	var c channelFlags
	cmd := &cobra.Command{
		Use:     "rollout CHANNEL",
		Short:   "Change how new versions spread over clusters",
		Example: "  addon-operator channel rollout stable --waves 4 --interval 6h",
	}
	asUsage(cmd, cobra.ExactArgs(1))
	c.writing(cmd)
	rollout := rolloutFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.apply(cmd, args[0], nil, func([]string) ([]catalog.Edit, error) {
			return []catalog.Edit{catalog.SetRollout(rollout())}, nil
		})
	}
	return cmd
}
