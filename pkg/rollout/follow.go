package rollout

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/channel"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// feed is one channel of one source.
type feed struct{ source, channel string }

// follow is what is known of a feed.
type follow struct {
	url      string
	document *catalog.Document
	// keys is the digest of what the newest document was verified with, "" before there was one.
	keys     string
	manifest string // of the document
	seen     string // manifest digest of the newest answer, taken or refused
	polled   time.Time
	next     time.Time
	failures int
	// reason and message say why the newest poll brought nothing; reason is "" when it did.
	reason, message string
	// refused is why the document in seen was not taken; zero when it was.
	refused refusal
	absent  bool // the source has no such channel
}

// refusal is why a document is not taken.
type refusal struct{ reason, message string }

// Reasons of a ModuleSource's Ready condition.
const (
	reasonFollowed    = "Followed"
	reasonPending     = "Pending"
	reasonSpec        = "InvalidSpec"
	reasonUnreachable = "Unreachable"
	reasonAbsent      = "ChannelMissing"
	reasonSignature   = "SignatureInvalid"
	reasonDocument    = "DocumentInvalid"
	reasonReplayed    = "Replayed"
	reasonUntrue      = "IntegrityError"
	reasonSuspended   = "Suspended"
)

// markKey is the key of a source.Mark.
func markKey(url, channel string) string { return url + " " + channel }

// poll asks the sources that are due and answers when the next one is.
func (e *Engine) poll(ctx context.Context, now time.Time) (wake time.Time) {
	wanted := map[feed]bool{}
	for _, s := range e.inputs.Sources {
		for _, name := range e.channels(s) {
			at := feed{s.Name, name}
			wanted[at] = true
			f := e.follows[at]
			if f == nil || f.url != s.URL {
				f = e.newFollow(s, name)
				e.follows[at] = f
			}
			e.verifyAnew(s, name, f)
			if s.Suspend || s.URL == "" {
				continue
			}
			if !f.next.After(now) {
				e.ask(ctx, s, at, f)
			} else {
				wake = earlier(wake, f.next)
			}
			if d := f.document; d != nil && d.ExpiresAt.After(now) {
				wake = earlier(wake, d.ExpiresAt)
			}
		}
	}
	maps.DeleteFunc(e.follows, func(at feed, _ *follow) bool { return e.informed && !wanted[at] })
	return wake
}

// channels are those of a source that somebody may want to follow, the default one first.
func (e *Engine) channels(s source.Source) []string {
	var out []string
	if s.Channel != "" {
		out = append(out, s.Channel)
	}
	for _, key := range slices.Sorted(maps.Keys(e.settings.Choices)) {
		c := e.settings.Choices[key]
		if c.Channel != "" && (c.Source == "" || c.Source == s.Name) && !slices.Contains(out, c.Channel) {
			out = append(out, c.Channel)
		}
	}
	return out
}

// newFollow begins with the document that was fetched last, by this process or an earlier one.
func (e *Engine) newFollow(s source.Source, name string) *follow {
	f := &follow{url: s.URL, reason: reasonPending, message: "was not asked yet"}
	mark, known := e.marks[markKey(s.URL, name)]
	if !known || mark.Manifest == "" {
		return f
	}
	got, err := e.cfg.Ports.Registry.CachedChannel(mark.Manifest)
	if err != nil {
		return f
	}
	got.Manifest = mark.Manifest
	e.takeDocument(s, name, f, got)
	return f
}

// verifyAnew drops a document that the keys of now would not accept.
func (e *Engine) verifyAnew(s source.Source, name string, f *follow) {
	if f.keys == "" || f.keys == keysOf(s) {
		return
	}
	f.document, f.seen, f.keys, f.refused, f.next = nil, "", "", refusal{}, time.Time{}
	f.reason, f.message = reasonPending, "its keys changed; it is verified again"
	if mark := e.marks[markKey(s.URL, name)]; mark.Manifest != "" {
		if got, err := e.cfg.Ports.Registry.CachedChannel(mark.Manifest); err == nil {
			got.Manifest = mark.Manifest
			e.takeDocument(s, name, f, got)
		}
	}
}

func keysOf(s source.Source) string { return values.Digest([]byte(fmt.Sprintf("%q", s.Keys))) }

// ask polls one feed beside the engine.
func (e *Engine) ask(ctx context.Context, s source.Source, at feed, f *follow) {
	known := f.seen
	e.async(ctx, "poll "+at.source+" "+at.channel, func(ctx context.Context) func() {
		got, err := e.cfg.Ports.Registry.Channel(ctx, s, at.channel, known)
		return func() {
			if e.follows[at] == f && ctx.Err() == nil {
				e.answered(s, at, f, got, err)
			}
		}
	})
}

// answered takes the answer of a poll.
func (e *Engine) answered(s source.Source, at feed, f *follow, got Fetched, err error) {
	now := e.cfg.Now()
	e.cfg.Ports.Meter.Polled(at.source, at.channel, now, err)
	before := f.reason
	f.absent = err != nil && e.cfg.Ports.Registry.Absent(err)
	if err != nil {
		f.failures++
		f.next = now.Add(min(s.Interval, pollBackoff(f.failures)))
		f.reason, f.message = reasonUnreachable, err.Error()
		switch {
		case f.absent:
			f.reason, f.next = reasonAbsent, now.Add(s.Interval)
			f.message = fmt.Sprintf("%s has no channel %s: %v", s.URL, at.channel, err)
		case e.cfg.Ports.Registry.Untrue(err):
			f.reason = reasonUntrue
		}
		e.tellPoll(s, at, f, before)
		return
	}
	if f.failures > 0 {
		e.hurry()
	}
	f.failures, f.polled = 0, now
	if got.Unchanged && got.Manifest != f.seen {
		f.next = now // it was asked with what is not known any more
		return
	}
	f.next = now.Add(s.Interval + time.Duration(rand.Int64N(int64(s.Interval)/10+1)))
	if got.Unchanged {
		f.reason, f.message = f.refused.reason, f.refused.message
	} else {
		f.seen = got.Manifest
		e.takeDocument(s, at.channel, f, got)
		if f.refused != (refusal{}) {
			before = "" // each document that is refused is told of
		}
	}
	e.tellPoll(s, at, f, before)
}

// hurry has what should be in force and could not be fetched tried again: a registry is back.
func (e *Engine) hurry() {
	for _, p := range e.placed {
		if p.err != "" {
			p.again = time.Time{}
		}
	}
}

func pollBackoff(failures int) time.Duration { return 2 * time.Second << min(failures, 10) }

// tellPoll tells of a poll that ended in another way than the one before.
func (e *Engine) tellPoll(s source.Source, at feed, f *follow, before string) {
	if f.reason == before || f.absent && at.channel != s.Channel {
		return
	}
	if f.reason != "" {
		e.log.Error("channel cannot be followed; what runs keeps running", "source", at.source, "channel", at.channel, "reason", f.reason, "error", f.message)
		e.cfg.Ports.Reporter.EventOnSource(at.source, true, f.reason, "channel "+at.channel+": "+f.message)
		return
	}
	if f.document != nil {
		e.log.Info("channel followed", "source", at.source, "channel", at.channel, "seq", f.document.Seq, "modules", len(f.document.Modules))
		e.cfg.Ports.Reporter.EventOnSource(at.source, false, reasonFollowed, fmt.Sprintf("channel %s, document %d", at.channel, f.document.Seq))
	}
}

// takeDocument verifies a document and puts it in force; one that is refused leaves the one before.
func (e *Engine) takeDocument(s source.Source, name string, f *follow, got Fetched) {
	f.keys = keysOf(s)
	d, reason, err := e.verified(s, name, got)
	if err != nil {
		f.refused = refusal{reason, err.Error()}
		f.reason, f.message = f.refused.reason, f.refused.message
		return
	}
	news := f.document == nil || f.document.Seq != d.Seq
	f.reason, f.message, f.refused = "", "", refusal{}
	f.document, f.manifest = &d, got.Manifest
	if f.seen == "" {
		f.seen = got.Manifest
	}
	e.marks[markKey(s.URL, name)] = source.Mark{Seq: d.Seq, Digest: digestOf(got.Document), Manifest: got.Manifest}
	e.cfg.Ports.Meter.Followed(s.Name, name, d)
	if news && e.loop != nil {
		e.log.Info("channel document taken", "source", s.Name, "channel", name, "seq", d.Seq, "modules", len(d.Modules))
	}
}

// verified checks signature, content and number of a document.
func (e *Engine) verified(s source.Source, name string, got Fetched) (d catalog.Document, reason string, err error) {
	keys, err := catalog.ParseKeys(s.Keys)
	if err != nil {
		return d, reasonSpec, fmt.Errorf("spec.verify.keys: %w", err)
	}
	if err := keys.Verify(got.Document, got.Signature); err != nil {
		return d, reasonSignature, err
	}
	if d, err = catalog.Parse(got.Document); err != nil {
		return d, reasonDocument, err
	}
	if d.Channel != name {
		return d, reasonDocument, fmt.Errorf("the document below the tag of channel %s is of channel %s; it is not taken", name, d.Channel)
	}
	mark, known := e.marks[markKey(s.URL, name)]
	switch {
	case !known:
	case d.Seq < mark.Seq:
		return d, reasonReplayed, fmt.Errorf("document %d is older than document %d, which was followed before; it is not taken. "+
			"If the channel was made anew, give it a higher number: addon-operator channel init --seq %d", d.Seq, mark.Seq, mark.Seq+1)
	case d.Seq == mark.Seq && digestOf(got.Document) != mark.Digest:
		return d, reasonReplayed, fmt.Errorf("there are two different documents with the number %d; the one that came first stays. Publish the next one with a higher number", d.Seq)
	}
	return d, "", nil
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// offers are the sources with their valid documents.
func (e *Engine) offers() []channel.Offer {
	var out []channel.Offer
	for _, s := range e.inputs.Sources {
		o := channel.Offer{Source: s, Documents: map[string]catalog.Document{}}
		for at, f := range e.follows {
			if at.source == s.Name && f.document != nil {
				o.Documents[at.channel] = *f.document
			}
		}
		out = append(out, o)
	}
	return out
}

// source returns a ModuleSource by name.
func (e *Engine) source(name string) (source.Source, bool) {
	n := slices.IndexFunc(e.inputs.Sources, func(s source.Source) bool { return s.Name == name })
	if n < 0 {
		return source.Source{}, false
	}
	return e.inputs.Sources[n], true
}
