package publish

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// WithKey signs with a private key.
func WithKey(key *ecdsa.PrivateKey) func(context.Context, []byte) ([]byte, error) {
	return func(_ context.Context, document []byte) ([]byte, error) { return catalog.Sign(document, key) }
}

// WithCommand signs with a command of the shell, for keys that never leave a KMS or a token: it gets the
// document on its standard input and writes the signature, in DER or base64, to its standard output.
func WithCommand(command string) func(context.Context, []byte) ([]byte, error) {
	return func(ctx context.Context, document []byte) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "sh", "-c", command)
		cmd.Stdin = strings.NewReader(string(document))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("sign command %q: %w", command, err)
		}
		if der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(out))); err == nil {
			out = der
		}
		if len(out) == 0 || len(out) > catalog.MaxSignature {
			return nil, fmt.Errorf("sign command %q: %d bytes; expected a signature in DER or base64 on its standard output", command, len(out))
		}
		return out, nil
	}
}

// NewKey makes a key pair and writes it to PREFIX.key, which only its owner can read, and PREFIX.pub. It
// overwrites nothing, and answers the ID of the key.
func NewKey(prefix string) (id string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	private, err := catalog.EncodePrivateKey(key)
	if err != nil {
		return "", err
	}
	public, err := catalog.EncodePublicKey(&key.PublicKey)
	if err != nil {
		return "", err
	}
	if err := create(prefix+".key", private, 0o600); err != nil {
		return "", err
	}
	if err := create(prefix+".pub", public, 0o644); err != nil {
		return "", errors.Join(err, os.Remove(prefix+".key"))
	}
	return catalog.PublicOf(key).IDs()[0], nil
}

// create writes a file that must not be there yet.
func create(name string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
