package rollout

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/channel"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// show reports what changed: sources, releases, and which of them are left.
func (e *Engine) show(ctx context.Context, now time.Time) {
	if e.loop == nil || !e.informed {
		return
	}
	for _, s := range e.inputs.Sources {
		st := e.status(s, now)
		e.once("source "+s.Name, st, func() { e.cfg.Ports.Reporter.ReportSource(st) })
	}
	names := map[string]bool{}
	for _, t := range e.tracks {
		for _, r := range e.releases(t) {
			names[r.Name()] = true
			e.once("release "+r.Name(), r, func() { e.cfg.Ports.Reporter.ReportRelease(r) })
		}
	}
	e.once("releases", slices.Sorted(maps.Keys(names)), func() { e.keepReleases(ctx, names) })
	maps.DeleteFunc(e.shown, func(key string, _ any) bool {
		name, is := strings.CutPrefix(key, "release ")
		return is && !names[name]
	})
	maps.DeleteFunc(e.checks, func(name string, _ check) bool { return !names[name] })
}

// keepReleases deletes the resources of releases that are forgotten.
func (e *Engine) keepReleases(ctx context.Context, names map[string]bool) {
	e.async(ctx, "keep releases", func(ctx context.Context) func() {
		err := e.cfg.Ports.Reporter.KeepReleases(ctx, names)
		return func() {
			if err != nil {
				e.log.Warn("ModuleReleases that are over cannot be deleted", "error", err)
			}
		}
	})
}

// releases are those of a module that have a ModuleRelease, each digest once, newest first.
func (e *Engine) releases(t source.Track) []source.Release {
	var out []source.Release
	add := func(r *source.Release) {
		if r == nil || r.Digest == "" || slices.ContainsFunc(out, func(o source.Release) bool { return o.Digest == r.Digest }) {
			return
		}
		shown := *r
		shown.Approved = e.inputs.Orders[r.Name()].Approved
		out = append(out, shown)
	}
	add(t.Next)
	add(t.Undone)
	add(t.Current)
	add(t.Previous)
	for i := range t.History {
		add(&t.History[i])
	}
	return out
}

// once calls f when v is another than the last time.
func (e *Engine) once(key string, v any, f func()) {
	if reflect.DeepEqual(e.shown[key], v) {
		return
	}
	e.shown[key] = v
	f()
}

// status is what a ModuleSource shows.
func (e *Engine) status(s source.Source, now time.Time) source.Status {
	st := source.Status{Name: s.Name, UID: s.UID, Generation: s.Generation}
	ready := source.Condition{Type: source.Available, Status: true, Reason: reasonFollowed}
	stale := source.Condition{Type: source.Stale, Reason: "Fresh"}
	var lines, old []string
	modules := map[string]bool{}
	for _, name := range e.channels(s) {
		f := e.follows[feed{s.Name, name}]
		if f == nil {
			continue
		}
		if f.polled.After(st.Polled) {
			st.Polled = f.polled
		}
		if f.reason != "" && !(f.absent && name != s.Channel && !e.named(s.Name, name)) {
			ready.Status, ready.Reason = false, f.reason
			lines = append(lines, "channel "+name+": "+f.message)
		}
		d := f.document
		if d == nil {
			continue
		}
		for m := range d.Modules {
			modules[m] = true
		}
		st.Channels = append(st.Channels, source.ChannelStatus{Channel: name, Seq: d.Seq, Digest: f.manifest, CreatedAt: d.CreatedAt, Expires: d.ExpiresAt})
		if !d.ExpiresAt.IsZero() && !d.ExpiresAt.After(now) {
			old = append(old, fmt.Sprintf("document %d of channel %s expired at %s", d.Seq, name, d.ExpiresAt.UTC().Format(time.RFC3339)))
		}
	}
	st.Modules = len(modules)
	switch {
	case s.Problem != "":
		ready.Status, ready.Reason, lines = false, reasonSpec, []string{s.Problem}
	case s.Suspend:
		ready.Status, ready.Reason, lines = false, reasonSuspended, []string{"spec.suspend is set: nothing is polled, and nothing new begins"}
	}
	ready.Message = cmp.Or(strings.Join(lines, "; "), fmt.Sprintf("modules listed: %d, channels in use: %d", st.Modules, len(st.Channels)))
	if len(old) > 0 {
		stale = source.Condition{Type: source.Stale, Status: true, Reason: "Expired",
			Message: strings.Join(old, "; ") + "; what runs keeps running, and nothing is upgraded until a newer document is published (addon-operator channel renew)"}
	}
	st.Conditions = []source.Condition{ready, stale}
	for _, name := range slices.Sorted(maps.Keys(e.tracks)) {
		t := e.tracks[name]
		if t.Current != nil && t.Current.Source == s.Name {
			st.Rejected = append(st.Rejected, t.Rejected...)
		}
	}
	return st
}

// named says that the ConfigMap asks for a channel of this very source.
func (e *Engine) named(name, channel string) bool {
	for _, c := range e.settings.Choices {
		if c.Source == name && c.Channel == channel {
			return true
		}
	}
	return false
}

// tellOrigin notes what the Module resource shows of where its version is from.
func (e *Engine) tellOrigin(name string, step channel.Step, target channel.Target) {
	if name == artifact.GlobalName {
		return
	}
	t := step.Track
	o := status.Origin{Reason: step.Reason, Message: step.Message}
	if t.Current != nil && !t.Current.Embedded() {
		o.Source, o.Channel = t.Current.Source, t.Current.Channel
	}
	if offered := cmp.Or(target.Goal.Version, target.Entry.Version); t.Current == nil || offered != t.Current.Version {
		o.Available = offered
	}
	e.tellChoice(name, t, target)
	e.cfg.Ports.Meter.YankedRuns(name, target.Yanked != "")
	if had, ok := e.origins.Swap(name, o); !ok || had != o {
		e.loop.Show(name)
	}
}

// tellChoice tells once why a module that is there stays as it is. That a document was not read yet is the source's
// business.
func (e *Engine) tellChoice(name string, t source.Track, target channel.Target) {
	if target.Reason == channel.ReasonNoDocument || t.Current == nil && t.Next == nil && !e.onDisk(name) {
		return
	}
	e.once("choice "+name, target.Reason+" "+target.Message, func() {
		if target.Reason != "" {
			e.log.Warn("no version is chosen; what runs keeps running", "module", name, "reason", target.Reason, "why", target.Message)
			e.cfg.Ports.Reporter.Event(name, true, target.Reason, target.Message)
		}
	})
}

// Origin is what the Module resource shows of where a module's version is from. Anybody may ask.
func (e *Engine) Origin(name string) status.Origin {
	o, _ := e.origins.Load(name)
	got, _ := o.(status.Origin)
	return got
}
