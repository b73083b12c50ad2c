package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
)

// Promotion is a version on its way into a channel.
type Promotion struct {
	catalog.Promotion
	Module string
	// Version may be empty with From: the one that channel has.
	Version string
	To      string
	// From is the channel that has the version by now; empty for a version that was pushed and is in no channel.
	From string
	// Source has From, and the artifacts; the channels of another root, or nil for the same.
	Source *Channels
	// Path are versions to walk through, listed in one of both channels or pushed; nil keeps the path.
	Path []string
}

// PlanPromotion plans a promotion: it reads both documents, finds the version by digest, and looks
// whether the artifact is there and is what it is listed as.
func (c *Channels) PlanPromotion(ctx context.Context, p Promotion) (Plan, error) {
	to, err := c.Head(ctx, p.To)
	if err != nil {
		return Plan{}, err
	}
	source := c
	if p.Source != nil {
		source = p.Source
	}
	edit, err := c.edit(ctx, source, to, &p)
	if err != nil {
		return Plan{}, err
	}
	planned, err := c.planFrom(ctx, to, edit)
	if err != nil {
		return Plan{}, err
	}
	e, _ := planned.After.Entry(p.Module)
	meta, err := source.check(ctx, p.Module, e.Ref)
	if err != nil {
		return Plan{}, err
	}
	planned.Warnings = warnings(to, p.Module, meta, e)
	if source != c {
		planned.Copies = copies(source.Remote, p.Module, to, e)
	}
	return planned, nil
}

// edit finds the version, in the other channel or by its tag.
func (c *Channels) edit(ctx context.Context, source *Channels, to Head, p *Promotion) (catalog.Edit, error) {
	if p.From == "" {
		if p.Version == "" {
			return nil, fmt.Errorf("a version of %s is needed: name it, or the channel to promote it from with --from", p.Module)
		}
		if p.MinSoak > 0 {
			return nil, errors.New("--min-soak needs --from: a version that was pushed is in no channel yet")
		}
		ref, err := source.resolve(ctx, p.Module, p.Version)
		if err != nil {
			return nil, err
		}
		p.Promotion.Path, err = source.path(ctx, p, to.Document)
		return catalog.Put(p.Module, ref, p.Promotion), err
	}
	from, err := source.Head(ctx, p.From)
	if err != nil {
		return nil, err
	}
	e, _ := from.Entry(p.Module)
	if p.Version == "" {
		p.Version = e.Version
	}
	if ref, ok := e.Find(p.Version); ok && ref != e.Ref && p.MinSoak > 0 {
		if p.Since, err = source.Since(ctx, p.From, p.Module, ref); err != nil {
			return nil, err
		}
	}
	if p.Promotion.Path, err = source.path(ctx, p, to.Document, from.Document); err != nil {
		return nil, err
	}
	return catalog.Promote(p.Module, p.Version, from.Document, p.Promotion), nil
}

// path finds versions by what the documents list, and else by their tags.
func (c *Channels) path(ctx context.Context, p *Promotion, documents ...catalog.Document) ([]catalog.Ref, error) {
	if p.Path == nil {
		return nil, nil
	}
	out := []catalog.Ref{}
	for _, version := range p.Path {
		ref, err := c.listed(ctx, p.Module, version, documents)
		if err != nil {
			return nil, fmt.Errorf("path: %w", err)
		}
		out = append(out, ref)
	}
	return out, nil
}

func (c *Channels) listed(ctx context.Context, module, version string, documents []catalog.Document) (catalog.Ref, error) {
	for _, d := range documents {
		if e, ok := d.Entry(module); ok {
			if ref, ok := e.Find(version); ok {
				return ref, nil
			}
		}
	}
	return c.resolve(ctx, module, version)
}

// resolve finds a version that was pushed, by its tag.
func (c *Channels) resolve(ctx context.Context, module, version string) (catalog.Ref, error) {
	ref := catalog.Ref{Version: version}
	if err := catalog.CheckVersion(version); err != nil {
		return ref, fmt.Errorf("version of %s: %w", module, err)
	}
	var err error
	if ref.Digest, err = registry.Resolve(ctx, c.Remote, module, version); err != nil {
		if registry.IsNotFound(err) {
			return ref, fmt.Errorf("%s %s was not pushed to %s: push it with addon-operator module push: %w", module, version, c.Remote.URL, err)
		}
		return ref, err
	}
	_, err = c.check(ctx, module, ref)
	return ref, err
}

// check reads what an artifact says of itself, and whether that is what it is listed as.
func (c *Channels) check(ctx context.Context, module string, ref catalog.Ref) (artifact.Meta, error) {
	meta, err := registry.ReadMeta(ctx, c.Remote, module, ref.Digest)
	if err != nil {
		return meta, fmt.Errorf("%s %s (%s) at %s: %w", module, ref.Version, catalog.ShortID(ref.Digest), c.Remote.URL, err)
	}
	if err := meta.Expect(module, ref.Version); err != nil {
		return meta, fmt.Errorf("%s %s (%s) at %s: %w", module, ref.Version, catalog.ShortID(ref.Digest), c.Remote.URL, err)
	}
	return meta, nil
}

// warnings tell of clusters that will wait: those that run the version that is replaced, when
// neither it nor a version of the path may be upgraded from.
func warnings(to Head, module string, meta artifact.Meta, e catalog.Entry) []string {
	old, had := to.Entry(module)
	if !had || meta.UpgradeFrom == "" || e.Rollback {
		return nil
	}
	from, err := semver.NewConstraint(meta.UpgradeFrom)
	if err != nil {
		return []string{fmt.Sprintf("%s %s has upgradeFrom %q, which is no range: %v", module, e.Version, meta.UpgradeFrom, err)}
	}
	for _, ref := range append([]catalog.Ref{old.Ref}, e.Path...) {
		if v, err := semver.StrictNewVersion(ref.Version); err == nil && from.Check(v) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s %s upgrades from %s only, and channel %s has %s until now, with no such version on the path: clusters will wait; give --path",
		module, e.Version, meta.UpgradeFrom, to.Channel, old.Version)}
}

// copies are the artifacts that the new entry offers and the old one did not.
func copies(from registry.Remote, module string, to Head, e catalog.Entry) []Copy {
	old, had := to.Entry(module)
	var out []Copy
	for _, ref := range e.Offers() {
		if !had || !slices.Contains(old.Offers(), ref) {
			out = append(out, Copy{From: from, Module: module, Ref: ref})
		}
	}
	return out
}

// PlanAll plans to promote, in one document, every module whose version in from is higher than in to. What
// cannot be promoted, for it was not there long enough or was yanked, is left out and told in Warnings.
func (c *Channels) PlanAll(ctx context.Context, p Promotion) (Plan, error) {
	to, err := c.Head(ctx, p.To)
	if err != nil {
		return Plan{}, err
	}
	source := c
	if p.Source != nil {
		source = p.Source
	}
	from, err := source.Head(ctx, p.From)
	if err != nil {
		return Plan{}, err
	}
	var edits []catalog.Edit
	var all Plan
	for _, module := range from.Names() {
		edit := catalog.Promote(module, mustVersion(from, module), from.Document, p.Promotion)
		one, err := plan(to, c.Now(), []catalog.Edit{edit})
		switch {
		case errors.Is(err, catalog.ErrNoChange):
			continue
		case err != nil:
			all.Warnings = append(all.Warnings, "left out: "+err.Error())
			continue
		}
		e, _ := one.After.Entry(module)
		meta, err := source.check(ctx, module, e.Ref)
		if err != nil {
			return Plan{}, err
		}
		edits = append(edits, edit)
		all.Warnings = append(all.Warnings, warnings(to, module, meta, e)...)
		if source != c {
			all.Copies = append(all.Copies, copies(source.Remote, module, to, e)...)
		}
	}
	if len(edits) == 0 {
		return Plan{}, fmt.Errorf("%w: channel %s has nothing for %s now%s", catalog.ErrNoChange, p.From, p.To, because(all.Warnings))
	}
	planned, err := c.planFrom(ctx, to, edits...)
	planned.Copies, planned.Warnings = all.Copies, all.Warnings
	return planned, err
}

func because(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return ":\n  " + strings.Join(warnings, "\n  ")
}

func mustVersion(h Head, module string) string {
	e, _ := h.Entry(module)
	return e.Version
}
