package publish

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
)

// Audit is what Verify found of a channel.
type Audit struct {
	Head Head
	// Documents is how many documents of the history were read, Artifacts how many artifacts.
	Documents, Artifacts int
	// Problems are what is wrong, one sentence each; none is a channel that clusters can follow.
	Problems []string
}

// Verify reads a channel as a cluster that sees it for the first time would: signature, document,
// time, every artifact that is listed, and the newest documents of its history (0 for all). The
// error is of a document that cannot be trusted; problems are in the Audit.
func (c *Channels) Verify(ctx context.Context, channel string, history int) (Audit, error) {
	heads, err := c.History(ctx, channel, history)
	if len(heads) == 0 {
		return Audit{}, err
	}
	a := Audit{Head: heads[0], Documents: len(heads)}
	if err != nil {
		a.Problems = append(a.Problems, err.Error())
	}
	if e := a.Head.ExpiresAt; !e.IsZero() && !e.After(c.Now()) {
		a.Problems = append(a.Problems, fmt.Sprintf("channel %s expired at %s: clusters upgrade nothing; renew it with addon-operator channel renew %s",
			channel, e.Format("2006-01-02T15:04:05Z07:00"), channel))
	}
	dir, err := os.MkdirTemp("", "addon-operator-verify-")
	if err != nil {
		return a, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fetched, err := registry.New(registry.Config{Dir: dir})
	if err != nil {
		return a, err
	}
	problems, n, err := c.artifacts(ctx, fetched, a.Head.Document)
	a.Artifacts = n
	a.Problems = append(a.Problems, problems...)
	return a, err
}

// artifacts fetches everything that the document offers, every byte of it.
func (c *Channels) artifacts(ctx context.Context, fetched *registry.Registry, d catalog.Document) (problems []string, n int, err error) {
	type listed struct {
		module string
		ref    catalog.Ref
	}
	var all []listed
	for _, name := range d.Names() {
		e, _ := d.Entry(name)
		for _, ref := range e.Offers() {
			all = append(all, listed{name, ref})
		}
	}
	found := make([]error, len(all))
	group := errgroup.Group{}
	group.SetLimit(8)
	for i, l := range all {
		group.Go(func() error {
			a, err := fetched.Artifact(ctx, c.Remote, l.module, l.ref.Digest)
			if err == nil {
				err = a.Meta.Expect(l.module, l.ref.Version)
			}
			if err != nil {
				found[i] = fmt.Errorf("%s %s (%s): %w", l.module, l.ref.Version, catalog.ShortID(l.ref.Digest), err)
			}
			return nil
		})
	}
	_ = group.Wait() // errors are in found
	for _, err := range found {
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems, len(all), ctx.Err()
}
