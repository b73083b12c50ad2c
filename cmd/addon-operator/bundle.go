package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
)

// bundler carries channels over an air gap.
type bundler struct {
	registry registryFlags
	channels []string
	keys     []string
	noImages bool
	file, to string
}

func bundleCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bundle", Short: "Carry release channels, with all that they list, to where the registry is out of reach"}
	cmd.AddCommand(bundleSaveCommand(), bundleLoadCommand())
	return cmd
}

func (b *bundler) flags(cmd *cobra.Command) {
	b.registry.add(cmd)
	cmd.Flags().StringArrayVar(&b.keys, "verify-key", nil, "file with public keys (PEM) of which one must have signed each document; may be repeated")
	cmd.Flags().BoolVar(&b.noImages, "no-images", false, "leave out the container images")
}

func bundleSaveCommand() *cobra.Command {
	var b bundler
	cmd := &cobra.Command{Use: "save URL", Short: "Save the newest documents of channels, the modules they list and their images as a tar",
		Long: "Save channels of the root at URL as a tar file in OCI image layout: their newest documents with signatures, every version of a module that\n" +
			"they offer, and the images that those list (release.images of module.yaml), from the registries where they are.\n\n" +
			"Load it into another registry with `bundle load`, or unpack it and have a ModuleSource read it there: oci-layout:///PATH.",
		Example: "  addon-operator bundle save --channel stable -o stable.tar oci://registry.example.com/addons",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return b.run(cmd, args[0], func(bundle registry.Bundle) error { return registry.SaveBundle(cmd.Context(), b.file, bundle) })
		}}
	b.flags(cmd)
	cmd.Flags().StringSliceVar(&b.channels, "channel", nil, "channel to save; may be repeated")
	cmd.Flags().StringVarP(&b.file, "output", "o", "", "tar file to write")
	return required(cmd, "channel", "output")
}

func bundleLoadCommand() *cobra.Command {
	var b bundler
	cmd := &cobra.Command{Use: "load FILE", Short: "Load a bundle into a registry",
		Long: "Copy everything in a bundle to the root at --to: images to ROOT/images/NAME, modules, and then the channels. A version that is there with another\n" +
			"content, and a channel that is further than the bundle, are left alone. Charts take images from there when the user sets\n" +
			"global.images.registry to HOST/ROOT/images.",
		Example: "  addon-operator bundle load stable.tar --to oci://registry.site.example/addons",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return b.run(cmd, b.to, func(bundle registry.Bundle) error { return registry.LoadBundle(cmd.Context(), args[0], bundle) })
		}}
	b.flags(cmd)
	cmd.Flags().StringVar(&b.to, "to", "", "root to load it into: oci://HOST/ROOT or oci-layout:///PATH")
	return required(cmd, "to")
}

func required(cmd *cobra.Command, flags ...string) *cobra.Command {
	for _, f := range flags {
		_ = cmd.MarkFlagRequired(f) // fails for flags that are not there
	}
	return cmd
}

func (b *bundler) run(cmd *cobra.Command, url string, do func(registry.Bundle) error) error {
	remote, err := b.registry.remote(url)
	if err != nil {
		return err
	}
	bundle := registry.Bundle{Remote: remote, Channels: b.channels, NoImages: b.noImages,
		Progress: func(what string) { fmt.Fprintln(cmd.OutOrStdout(), what) }}
	if len(b.keys) > 0 {
		keys, err := publicKeys(b.keys)
		if err != nil {
			return err
		}
		bundle.Check = keys.Verify
	}
	return do(bundle)
}

func publicKeys(files []string) (catalog.Keys, error) {
	texts := make([]string, 0, len(files))
	var problems []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			problems = append(problems, fmt.Errorf("--verify-key: %w", err))
		}
		texts = append(texts, string(text))
	}
	if len(problems) > 0 {
		return catalog.Keys{}, errors.Join(problems...)
	}
	return catalog.ParseKeys(texts)
}
