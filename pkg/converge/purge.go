package converge

import (
	"context"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// purger uninstalls releases of modules that are in no directory any more, as
// narrowly as can be: they bear our instance label and embedded
// origin, every directory loaded and none is empty, the process has converged,
// and a grace period has passed since an Event announced it.
type purger struct {
	*Loop
}

// purgeLook is how often the purger looks for orphans.
const purgeLook = time.Minute

// originLabel is the release label that says where a module came from.
const (
	originLabel    = "addon-operator.io/origin"
	originEmbedded = "embedded"
)

func (p purger) run(ctx context.Context) {
	tick := time.NewTicker(min(purgeLook, p.cfg.PurgeGrace))
	defer tick.Stop()
	announced := map[string]time.Time{}
	webhooks := true // are to be looked at
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if p.converged.Load() && !p.Modules().Incomplete && len(p.all()) > 0 {
			webhooks = p.look(ctx, announced, webhooks)
		}
	}
}

// look answers whether webhooks have to be looked at the next time.
func (p purger) look(ctx context.Context, announced map[string]time.Time, webhooks bool) bool {
	rels, err := p.cfg.Ports.Installer.List(ctx)
	if err != nil {
		p.log.Warn("cannot list releases to purge", "error", err)
		return webhooks
	}
	if webhooks && p.cfg.Ports.Webhooks != nil {
		if err := p.cfg.Ports.Webhooks.Keep(ctx, p.speaking(rels)); err != nil {
			p.log.Warn("webhooks of modules that are gone cannot be withdrawn and are tried again", "error", err)
		} else {
			webhooks = false
		}
	}
	for _, rel := range rels {
		if !p.orphan(rel) {
			continue
		}
		since, known := announced[rel.Name]
		switch {
		case !known:
			announced[rel.Name] = time.Now()
			p.log.Warn("release of a module that is in no modules directory will be uninstalled", "release", rel.Name, "in", p.cfg.PurgeGrace)
			p.cfg.Ports.Reporter.Event("", true, "Purge", "release "+rel.Name+" is of a module that is in no modules directory; it will be uninstalled in "+
				p.cfg.PurgeGrace.String()+" unless the module is back")
		case time.Since(since) >= p.cfg.PurgeGrace:
			if err := p.purge(ctx, rel.Name); err != nil {
				p.log.Error("purge failed and is tried again", "release", rel.Name, "error", err)
				continue
			}
			delete(announced, rel.Name)
			p.cfg.Ports.Reporter.Report(status.Module{Name: rel.Name, Gone: true})
			p.log.Info("release purged", "release", rel.Name)
			webhooks = true
		}
	}
	return webhooks
}

func (p purger) purge(ctx context.Context, name string) error {
	if _, err := p.cfg.Ports.Installer.Uninstall(ctx, name); err != nil {
		return err
	}
	return p.cfg.Ports.Installer.Forget(ctx, name)
}

// speaking are the owners whose webhooks stay: all but modules that were decided to
// be off, and those of which neither a directory nor a release is left.
func (p purger) speaking(rels []installed.Release) []hook.Owner {
	owners := []hook.Owner{hook.Global}
	for name := range p.Modules().Broken {
		owners = append(owners, hook.Owner{Module: name})
	}
	for _, rel := range rels {
		if p.state(rel.Name) == nil {
			owners = append(owners, hook.Owner{Module: rel.Name})
		}
	}
	for _, st := range p.all() {
		st.mu.Lock()
		off := st.decided && !st.decision.On && !st.decision.Held
		st.mu.Unlock()
		if !off {
			owners = append(owners, st.unit.Owner)
		}
	}
	return owners
}

func (p purger) orphan(rel installed.Release) bool {
	return rel.Instance == p.cfg.Instance && rel.Labels[originLabel] == originEmbedded &&
		rel.Name != p.cfg.IgnoreRelease && p.state(rel.Name) == nil && p.Modules().Broken[rel.Name] == nil
}
