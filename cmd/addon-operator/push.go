package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/operator"
	"github.com/addon-operator/addon-operator/pkg/registry"
)

// pusher packs a module, or global hooks, and pushes the artifact.
type pusher struct {
	registry      registryFlags
	user          string
	passwordStdin bool
	dryRun        bool
}

func pushCommand() *cobra.Command {
	var p pusher
	cmd := &cobra.Command{Use: "push DIR URL", Short: "Pack a module, or a folder of global hooks, and push it to a registry",
		Long: "Pack the directory of a module (or of global hooks, which has a global.yaml) into one OCI artifact, push it to URL/modules/NAME:VERSION and\n" +
			"print its name, version and digest. Packing the same files gives the same digest; a version that is there with another content is not overwritten.\n" +
			"URL is oci://HOST/ROOT, or oci-layout:///PATH for a directory on disk. `helm pull URL/modules/NAME --version VERSION` reads the chart of it.",
		Example: "  addon-operator module push modules/500-hello oci://registry.example.com/addons\n" +
			"  addon-operator module push global-hooks oci-layout:///tmp/addons",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return p.push(cmd, args[0], args[1]) }}
	p.registry.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&p.user, "username", "u", "", "name for the registry, in place of a file with credentials; needs --password-stdin")
	f.BoolVar(&p.passwordStdin, "password-stdin", false, "read the password from the standard input")
	f.BoolVar(&p.dryRun, "dry-run", false, "pack and print the digest; push nothing")
	cmd.MarkFlagsRequiredTogether("username", "password-stdin")
	return cmd
}

func (p *pusher) push(cmd *cobra.Command, dir, url string) error {
	remote, err := p.registry.remote(url)
	if err == nil && p.passwordStdin {
		remote.Auth, err = p.login(cmd.InOrStdin(), url)
	}
	if err != nil {
		return err
	}
	a, err := artifact.Pack(dir, artifact.PackOptions{UnnumberedWeight: operator.Defaults().UnnumberedWeight})
	if err != nil {
		return err
	}
	digest, err := registry.Digest(a)
	if err == nil && !p.dryRun {
		digest, err = registry.PushModule(cmd.Context(), remote, a)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), a.Meta.Name, a.Meta.Version, digest)
	return err
}

// login makes credentials of a name and a password, as a file would hold them.
func (p *pusher) login(in io.Reader, url string) ([]byte, error) {
	password, err := io.ReadAll(io.LimitReader(in, 64<<10))
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(string(password), "\r\n")
	if text == "" {
		return nil, errors.New("--password-stdin: the standard input is empty")
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "oci://"), "/")
	return json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": p.user, "password": text}}})
}
