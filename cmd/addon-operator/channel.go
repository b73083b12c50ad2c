package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/publish"
)

// channelCommand is what publishers work with; none of it needs a running operator or a cluster.
func channelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "channel",
		Short: "Publish modules: promote versions from channel to channel, take them back, look at what was done",
		Long: `A channel is a signed document below the root of a registry that lists modules by digest; clusters follow it. These
commands read the newest document, verify its signature, make the next one, sign it and write it.

Status 1 when something is refused or cannot be reached, 2 for a wrong command line, 3 when somebody else wrote the channel
at the same time (run the command again). What is there already is no failure.`,
	}
	cmd.AddCommand(keygenCommand(), channelInitCommand(), channelPromoteCommand(), channelYankCommand(), channelRollbackCommand(), channelRemoveCommand(),
		channelRenewCommand(), channelRolloutCommand(), channelShowCommand(), channelDiffCommand(), channelLogCommand(), channelVerifyCommand())
	return cmd
}

// channelFlags say which registry, and whose signatures.
type channelFlags struct {
	registry    registryFlags
	root        string
	verifyKeys  []string
	key         string
	signCommand string
	dryRun      bool
}

const (
	keyVariable        = "ADDON_OPERATOR_CHANNEL_KEY"
	verifyKeysVariable = "ADDON_OPERATOR_VERIFY_KEYS"
	rootVariable       = "ADDON_OPERATOR_ROOT"
)

// reading are the flags of commands that write nothing.
func (c *channelFlags) reading(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.root, "root", os.Getenv(rootVariable), "root of the registry: oci://HOST/ROOT or oci-layout:///PATH ("+rootVariable+")")
	f.StringArrayVar(&c.verifyKeys, "verify-key", nil, "file with public keys (PEM) of which one must have signed; may be repeated ("+verifyKeysVariable+
		" holds such a text; default: the public part of --key)")
	f.StringVar(&c.key, "key", "", "file with the private key that signs (PEM; "+keyVariable+" holds such a text)")
	c.registry.add(cmd)
}

// writing are the flags of commands that make a new document.
func (c *channelFlags) writing(cmd *cobra.Command) {
	c.reading(cmd)
	f := cmd.Flags()
	f.StringVar(&c.signCommand, "sign-command", "", "command that signs in place of --key: the document comes on its standard input, "+
		"the signature (DER or base64) is expected on its standard output; needs --verify-key")
	f.BoolVar(&c.dryRun, "dry-run", false, "print the difference of the documents and write nothing")
}

// open reaches the registry and reads the keys.
func (c *channelFlags) open(cmd *cobra.Command) (*publish.Channels, error) {
	if c.root == "" {
		return nil, usageError{errors.New("--root is missing: expected oci://HOST/ROOT or oci-layout:///PATH, or the variable " + rootVariable)}
	}
	out := &publish.Channels{Now: time.Now, Logger: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))}
	keys, err := c.keys(out)
	if err != nil {
		return nil, err
	}
	if out.Keys, err = catalog.ParseKeys(keys); err != nil {
		return nil, fmt.Errorf("%w; give --verify-key or --key", err)
	}
	out.Remote, err = c.registry.remote(c.root)
	return out, err
}

// keys are the texts of all public keys; a private key is set to sign, and its public part is one of them.
func (c *channelFlags) keys(out *publish.Channels) ([]string, error) {
	var texts []string
	if env := os.Getenv(verifyKeysVariable); env != "" && len(c.verifyKeys) == 0 {
		texts = append(texts, env)
	}
	for _, name := range c.verifyKeys {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--verify-key: %w", err)
		}
		texts = append(texts, string(text))
	}
	private, where, err := c.privateKey()
	if err != nil {
		return nil, err
	}
	switch {
	case c.signCommand != "" && c.key != "":
		return nil, usageError{errors.New("--key and --sign-command exclude each other")}
	case c.signCommand != "":
		out.Sign = publish.WithCommand(c.signCommand)
	case private != nil:
		key, err := catalog.ParsePrivateKey(private)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		out.Sign = publish.WithKey(key)
		public, err := catalog.EncodePublicKey(&key.PublicKey)
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(public))
	}
	return texts, nil
}

func (c *channelFlags) privateKey() (text []byte, where string, err error) {
	if c.key != "" {
		text, err = os.ReadFile(c.key)
		if err != nil {
			err = fmt.Errorf("--key: %w", err)
		}
		return text, "--key " + c.key, err
	}
	if env := os.Getenv(keyVariable); env != "" {
		return []byte(env), keyVariable, nil
	}
	return nil, "", nil
}

// finish shows or does what is planned; the plan's error is passed on.
func (c *channelFlags) finish(cmd *cobra.Command, channels *publish.Channels, p publish.Plan, err error) error {
	out := cmd.OutOrStdout()
	for _, w := range p.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
	}
	if err != nil {
		return told(out, err)
	}
	if c.dryRun {
		fmt.Fprint(out, p.Patch())
		fmt.Fprintln(cmd.ErrOrStderr(), "dry run: nothing was written")
		return nil
	}
	h, err := channels.Commit(cmd.Context(), p)
	if err != nil {
		return told(out, err)
	}
	publish.WriteWritten(out, h)
	p.WriteChanges(out)
	return nil
}

// told gives errors their exit codes; what is there already is none.
func told(out io.Writer, err error) error {
	switch {
	case errors.Is(err, catalog.ErrNoChange):
		fmt.Fprintln(out, err)
		return nil
	case errors.Is(err, publish.ErrLostRace):
		return withCode{err, 3}
	}
	return err
}

func keygenCommand() *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a key pair that signs channels",
		Long: `Writes PREFIX.key, the private key (ECDSA P-256, PKCS #8 in PEM) for those who publish, and PREFIX.pub, the public one for
spec.verify.keys of ModuleSources. It overwrites nothing.`,
		Example: "  addon-operator channel keygen --out release",
	}
	asUsage(cmd, cobra.NoArgs)
	cmd.Flags().StringVar(&prefix, "out", "channel", "prefix of the two files")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := publish.NewKey(prefix)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "key %s\n  %s.key  keep it secret: whoever has it decides what clusters run\n  %s.pub  for spec.verify.keys of ModuleSources\n",
			catalog.ShortID(id), prefix, prefix)
		return nil
	}
	return cmd
}
