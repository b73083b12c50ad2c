package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

// before is what earlier revisions put into the cluster.
type before struct {
	// newest is the newest revision that can be read, deployed the newest deployed one; nil when there is none.
	newest, deployed *record
	// newer are the revisions above deployed, the newest first.
	newer []*record
	// items are its objects, and those of failed revisions after it.
	items map[key]*item
	// unsure are keys of items that only failed revisions have: they may never have been written.
	unsure map[key]bool
}

// readBefore loads the newest deployed revision and the ones after it. When a kill
// between two writes, or an uninstall that did not end, left no deployed revision, the
// newest superseded one is the base, but its objects count as unsure. A revision that
// cannot be read is passed over with a warning: old history blocks nothing.
func (c *Client) readBefore(ctx context.Context, kinds *kinds, history []installed.Release) (*before, error) {
	b := &before{items: map[key]*item{}, unsure: map[key]bool{}}
	certain, err := c.readDown(ctx, b, history)
	if err != nil {
		return nil, err
	}
	if b.deployed != nil {
		if err := b.add(c, kinds, b.deployed, !certain); err != nil {
			return nil, err
		}
	}
	for _, rec := range b.newer {
		if err := b.add(c, kinds, rec, true); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// readDown reads revisions, newest first, down to the base. certain says that the base
// is called deployed.
func (c *Client) readDown(ctx context.Context, b *before, history []installed.Release) (certain bool, err error) {
	for _, h := range history {
		if h.Status == statusRemoved {
			return false, nil
		}
		isBase := h.Status == installed.Deployed || h.Status == installed.Superseded && !deployedBelow(history, h.Revision)
		rec, err := c.readable(ctx, h)
		if err != nil {
			return false, err
		}
		if rec == nil {
			continue
		}
		if b.newest == nil {
			b.newest = rec
		}
		if isBase {
			b.deployed = rec
			return h.Status == installed.Deployed, nil
		}
		b.newer = append(b.newer, rec)
	}
	return false, nil
}

func deployedBelow(history []installed.Release, revision int) bool {
	return slices.ContainsFunc(history, func(r installed.Release) bool {
		return r.Status == installed.Deployed && r.Revision < revision
	})
}

// readable loads a revision; nil when it is gone or its payload is none.
func (c *Client) readable(ctx context.Context, h installed.Release) (*record, error) {
	rec, err := c.records.load(ctx, h.Name, h.Revision)
	if errors.Is(err, errGarbled) || apierrors.IsNotFound(err) {
		c.cfg.Logger.Warn("a revision cannot be read and is passed over", "module", h.Name, "revision", h.Revision, "error", err)
		return nil, nil
	}
	return rec, err
}

// add takes over the objects of a revision that are not known yet. Kinds that the
// cluster no longer has are skipped: their objects are gone with them.
func (b *before) add(c *Client, kinds *kinds, rec *record, unsure bool) error {
	docs, err := parseDocuments("manifest", rec.Manifest)
	if err != nil {
		c.cfg.Logger.Warn("the manifest of a revision cannot be read and is passed over", "module", rec.Name, "revision", rec.Version, "error", err)
		return nil
	}
	for _, d := range docs {
		it, err := kinds.item(d, rec.Name, rec.Namespace)
		if isNoKind(err) {
			c.cfg.Logger.Warn("kind of an installed object is gone from the cluster", "module", rec.Name, "object", d.ref().String())
			continue
		}
		if err != nil {
			return err
		}
		if b.items[it.key()] == nil {
			b.items[it.key()] = it
			b.unsure[it.key()] = unsure
		}
	}
	return nil
}

// supersede marks every deployed revision of history superseded, of which read may be
// loaded already. While the API server is away it is tried again for a while: nothing else could
// be applied meanwhile. Helm takes the newest of several deployed ones, so nothing is wrong
// with the release when that fails.
func (c *Client) supersede(ctx context.Context, history []installed.Release, read *record, by int) {
	ctx, stop := context.WithTimeout(ctx, supersedeFor)
	defer stop()
	for _, h := range history {
		if h.Status != installed.Deployed || h.Revision >= by {
			continue
		}
		err := wait.PollUntilContextCancel(ctx, supersedeAgain, true, func(ctx context.Context) (bool, error) {
			err := c.supersedeOne(ctx, h, read, by)
			if err == nil || apierrors.IsNotFound(err) {
				return true, nil
			}
			c.cfg.Logger.Warn("superseded revision is still called deployed; trying again", "module", h.Name, "revision", h.Revision, "error", err)
			return false, nil
		})
		if err != nil {
			return // the next action, or the look at the release after a restart, does it
		}
	}
}

const (
	supersedeFor   = 5 * time.Minute
	supersedeAgain = 2 * time.Second
)

func (c *Client) supersedeOne(ctx context.Context, h installed.Release, read *record, by int) error {
	rec := read
	if rec == nil || rec.Version != h.Revision {
		var err error
		if rec, err = c.readable(ctx, h); err != nil {
			return err
		}
	}
	if rec == nil {
		return c.records.relabel(ctx, h.Name, h.Revision, installed.Superseded)
	}
	rec.SetStatus(release.StatusSuperseded, fmt.Sprintf("Superseded by revision %d", by))
	return c.records.update(ctx, rec, c.cfg.Now())
}

// Recover marks the newest revision failed when a dead holder left it pending, so that
// Install or Upgrade go on from it; nothing is deleted (C-437 differs: the predecessor
// deletes the record). Without a pending revision it does nothing.
func (c *Client) Recover(ctx context.Context, name string) error {
	if err := c.recoverPending(ctx, name); err != nil {
		return fmt.Errorf("recover release %s: %w", name, err)
	}
	return nil
}

func (c *Client) recoverPending(ctx context.Context, name string) error {
	history, err := c.records.index(ctx, name)
	if err != nil || len(history) == 0 || !history[0].Status.Pending() {
		return err
	}
	rec, err := c.readable(ctx, history[0])
	if err != nil {
		return err
	}
	if rec == nil {
		return c.records.relabel(ctx, name, history[0].Revision, installed.Failed)
	}
	rec.SetStatus(release.StatusFailed, fmt.Sprintf("Interrupted while %s", rec.Info.Status))
	return c.records.update(ctx, rec, c.cfg.Now())
}
