package report

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// ReportSource takes the newest status of a ModuleSource and returns at once. The resource is
// its user's: it is never made, and one that is gone is passed over.
func (r *Reporter) ReportSource(s source.Status) {
	r.want(entry{key: key{Sources, s.Name}, uid: types.UID(s.UID),
		render: func(before map[string]any, now time.Time) map[string]any { return renderSource(s, before, now) }})
}

// ReportRelease takes the newest state of a release and returns at once. Its ModuleRelease is made
// where there is none; the spec is its user's and is never written.
func (r *Reporter) ReportRelease(s source.Release) {
	r.want(entry{key: key{Releases, s.Name()}, make: true, labels: map[string]string{moduleLabel: s.Module, sourceLabel: s.Source},
		render: func(map[string]any, time.Time) map[string]any { return renderRelease(s) }})
}

// KeepReleases deletes the ModuleReleases of this operator that are not in names, and has those made
// again that were reported in this process and that somebody has deleted.
func (r *Reporter) KeepReleases(ctx context.Context, names map[string]bool) error {
	kept, err := r.keep(ctx, Releases, names)
	if err != nil {
		return err
	}
	r.restore(kept)
	r.poke()
	return nil
}

// restore forgets releases that are not in the cluster, and wants them anew.
func (r *Reporter) restore(kept map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, s := range r.shown {
		if k.resource != Releases || kept[k.name] || r.writing[k] || s.newest.render == nil {
			continue
		}
		delete(r.shown, k)
		if _, newer := r.wanted[k]; !newer {
			r.wanted[k] = s.newest
		}
	}
}

// EventOnSource records a Kubernetes Event on a ModuleSource that was reported.
func (r *Reporter) EventOnSource(name string, warning bool, reason, message string) {
	r.event(key{Sources, name}, warning, reason, message)
}

func renderSource(s source.Status, before map[string]any, now time.Time) map[string]any {
	list := make([]condition, len(s.Conditions))
	for i, c := range s.Conditions {
		list[i] = condition{c.Type, c.Reason, c.Message, c.Status}
	}
	out := map[string]any{"observedGeneration": s.Generation, "conditions": conditions(list, before, now), "modules": int64(s.Modules)}
	var channels, rejected []any
	for _, c := range s.Channels {
		one := map[string]any{"channel": c.Channel, "seq": c.Seq}
		setText(one, "digest", c.Digest)
		setTime(one, "createdAt", c.CreatedAt)
		setTime(one, "expiresAt", c.Expires)
		channels = append(channels, one)
	}
	for _, d := range s.Rejected {
		one := map[string]any{"version": d.Version, "digest": d.Digest, "reason": d.Reason}
		setText(one, "module", d.Module)
		setTime(one, "time", d.Time)
		rejected = append(rejected, one)
	}
	setList(out, "channels", channels)
	setList(out, "rejected", rejected)
	setTime(out, "lastPoll", s.Polled)
	setTime(out, "nextPoll", s.NextPoll)
	return out
}

func setList(out map[string]any, name string, list []any) {
	if len(list) > 0 {
		out[name] = list
	}
}

func renderRelease(s source.Release) map[string]any {
	out := map[string]any{"module": s.Module, "version": s.Version, "phase": string(s.Phase)}
	for name, text := range map[string]string{"digest": s.Digest, "source": s.Source, "channel": s.Channel,
		"reason": s.Reason, "message": s.Message, "retried": s.Retried} {
		setText(out, name, text)
	}
	for name, at := range map[string]time.Time{"since": s.Since, "readySince": s.ReadySince, "notBefore": s.NotBefore, "promotedAt": s.PromotedAt} {
		setTime(out, name, at)
	}
	if s.Approved {
		out["approved"] = true
	}
	if s.Doc > 0 {
		out["document"] = s.Doc
	}
	return out
}
