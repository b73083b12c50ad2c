package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
)

// ErrLostRace is of a channel that somebody else wrote at the same time.
var ErrLostRace = errors.New("somebody else wrote the channel at the same time")

// abandoned is how old a document must be that was written and never put in force, for its number
// to be passed over: whoever wrote it has ended since.
const abandoned = 5 * time.Minute

// Channels reads and writes the channels of one root. All fields but Sign and Logger are needed.
type Channels struct {
	Remote registry.Remote
	// Keys are those of which one must have signed what is read, and what is written.
	Keys catalog.Keys
	// Sign makes the signature of a new document (catalog.Keys); nil for reading only.
	Sign func(ctx context.Context, document []byte) ([]byte, error)
	Now  func() time.Time
	// Logger is told of what is passed over; nil for nobody.
	Logger *slog.Logger
}

// Head is a verified document, as it is stored.
type Head struct {
	catalog.Document
	// Bytes are what is signed, Manifest is the digest of the artifact that holds them.
	Bytes     []byte
	Signature []byte
	Manifest  string
	// SignedBy is the ID of the key that signed.
	SignedBy string
}

// Head reads the newest document of a channel.
func (c *Channels) Head(ctx context.Context, channel string) (Head, error) {
	if err := catalog.CheckChannel(channel); err != nil {
		return Head{}, err
	}
	stored, err := registry.ReadChannel(ctx, c.Remote, channel)
	if registry.IsNotFound(err) {
		return Head{}, fmt.Errorf("channel %s is not there at %s: begin it with addon-operator channel init %s: %w", channel, c.Remote.URL, channel, err)
	}
	h, err := c.trust(channel, stored, err)
	if err != nil {
		return Head{}, err
	}
	if h.Channel != channel {
		return Head{}, fmt.Errorf("channel %s at %s: the document is of channel %s: somebody moved the tag", channel, c.Remote.URL, h.Channel)
	}
	return h, nil
}

// At reads a document of a channel's history.
func (c *Channels) At(ctx context.Context, channel string, seq int64) (Head, error) {
	stored, err := registry.ReadChannelAt(ctx, c.Remote, channel, seq)
	h, err := c.trust(tag(channel, seq), stored, err)
	if err != nil {
		return Head{}, err
	}
	if h.Channel != channel || h.Seq != seq {
		return Head{}, fmt.Errorf("%s at %s: the document is seq %d of channel %s: somebody moved the tag", tag(channel, seq), c.Remote.URL, h.Seq, h.Channel)
	}
	return h, nil
}

// Read reads a document by tag: CHANNEL, or CHANNEL-SEQ for one of its history.
func (c *Channels) Read(ctx context.Context, name string) (Head, error) {
	if channel, number, ok := cutSeq(name); ok {
		return c.At(ctx, channel, number)
	}
	return c.Head(ctx, name)
}

func cutSeq(name string) (channel string, seq int64, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return name, 0, false
	}
	seq, err := strconv.ParseInt(name[i+1:], 10, 64)
	return name[:i], seq, err == nil
}

func tag(channel string, seq int64) string { return channel + "-" + strconv.FormatInt(seq, 10) }

// trust verifies what was read.
func (c *Channels) trust(tag string, stored registry.Fetched, err error) (Head, error) {
	if err != nil {
		return Head{}, err
	}
	h := Head{Bytes: stored.Document, Signature: stored.Signature, Manifest: stored.Manifest}
	if h.SignedBy, err = c.Keys.Signer(h.Bytes, h.Signature); err != nil {
		return Head{}, fmt.Errorf("channels:%s at %s: %w; if it was signed with another key, give that one's public part to --verify-key", tag, c.Remote.URL, err)
	}
	if h.Document, err = catalog.Parse(h.Bytes); err != nil {
		return Head{}, fmt.Errorf("channels:%s at %s: %w", tag, c.Remote.URL, err)
	}
	return h, nil
}

// History is the newest documents of a channel, newest first, at most limit (0 for all). Numbers that were
// never put in force are passed over. It ends early, with an error and what was found, where a document is
// missing or is not the one that its successor names.
func (c *Channels) History(ctx context.Context, channel string, limit int) ([]Head, error) {
	h, err := c.Head(ctx, channel)
	if err != nil {
		return nil, err
	}
	out := []Head{h}
	for limit <= 0 || len(out) < limit {
		h, ok, err := c.before(ctx, out[len(out)-1])
		if err != nil || !ok {
			return out, err
		}
		out = append(out, h)
	}
	return out, nil
}

// maxGap bounds how many numbers one after another may have been passed over.
const maxGap = 20

// before finds the document before h; false when h is the first.
func (c *Channels) before(ctx context.Context, h Head) (Head, bool, error) {
	if h.Previous == "" {
		return Head{}, false, nil
	}
	var last error
	for seq := h.Seq - 1; seq >= 1 && seq >= h.Seq-maxGap; seq-- {
		b, err := c.At(ctx, h.Channel, seq)
		switch {
		case err == nil && catalog.Digest(b.Bytes) == h.Previous:
			return b, true, nil
		case err == nil:
			last = fmt.Errorf("%s is another document", tag(h.Channel, seq))
		case !registry.IsNotFound(err):
			return Head{}, false, err
		default:
			last = err
		}
	}
	return Head{}, false, fmt.Errorf("channel %s at %s: seq %d follows %s, which is not there any more, so nothing is known of what was before: %w",
		h.Channel, c.Remote.URL, h.Seq, catalog.ShortID(h.Previous), last)
}

// Since is when a version came into force in a channel for the last time, as its history tells; zero when it does not.
func (c *Channels) Since(ctx context.Context, channel, module string, ref catalog.Ref) (time.Time, error) {
	h, err := c.Head(ctx, channel)
	for found := true; err == nil && found; h, found, err = c.before(ctx, h) {
		if e, _ := h.Entry(module); e.Ref == ref {
			return e.PromotedAt, nil
		}
	}
	return time.Time{}, err
}

// Plan is a new document that is not written yet.
type Plan struct {
	// Before is what it follows; its Bytes are empty for the first document of a channel.
	Before Head
	After  catalog.Document
	// Bytes are what will be signed.
	Bytes []byte
	// Copies are done before the document is written.
	Copies []Copy
	// Warnings are for people; they stop nothing.
	Warnings []string
}

// Copy is an artifact of a module that has to be in the channel's root, and is in another.
type Copy struct {
	From   registry.Remote
	Module string
	Ref    catalog.Ref
}

// Plan makes the next document of a channel.
func (c *Channels) Plan(ctx context.Context, channel string, edits ...catalog.Edit) (Plan, error) {
	h, err := c.Head(ctx, channel)
	if err != nil {
		return Plan{}, err
	}
	return c.planFrom(ctx, h, edits...)
}

func (c *Channels) planFrom(ctx context.Context, h Head, edits ...catalog.Edit) (Plan, error) {
	seq, err := c.freeSeq(ctx, h.Channel, h.Seq+1)
	if err != nil {
		return Plan{}, err
	}
	return plan(h, c.Now(), append(edits, catalog.AtSeq(seq)))
}

func plan(h Head, now time.Time, edits []catalog.Edit) (Plan, error) {
	after, err := catalog.Next(h.Bytes, now, edits...)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Before: h, After: after}
	p.Bytes, err = catalog.Encode(after)
	return p, err
}

// PlanInit makes the first document of a channel, which must not be there yet.
func (c *Channels) PlanInit(ctx context.Context, b catalog.Beginning) (Plan, error) {
	after, err := catalog.Init(b, c.Now())
	if err != nil {
		return Plan{}, err
	}
	stored, err := registry.ReadChannel(ctx, c.Remote, b.Channel)
	switch {
	case err == nil:
		return Plan{}, fmt.Errorf("channel %s is there already at %s (%s): clusters take no lower seq, so it cannot begin again under this name",
			b.Channel, c.Remote.URL, catalog.ShortID(stored.Manifest))
	case !absent(err):
		return Plan{}, err
	}
	if seq, err := c.freeSeq(ctx, b.Channel, after.Seq); err != nil {
		return Plan{}, err
	} else if seq != after.Seq {
		return Plan{}, fmt.Errorf("channel %s is not there at %s, and its history is (%s): clusters may have followed it; begin above it, with --seq %d",
			b.Channel, c.Remote.URL, tag(b.Channel, after.Seq), seq)
	}
	p := Plan{After: after}
	p.Bytes, err = catalog.Encode(after)
	return p, err
}

// absent also holds for a directory that is no image layout yet: a channel may begin there.
func absent(err error) bool { return registry.IsNotFound(err) || errors.Is(err, fs.ErrNotExist) }

// freeSeq is the first number from seq that no document has. A document with a number above the channel's was
// written and not put in force: by a command that runs just now, or by one that was interrupted.
func (c *Channels) freeSeq(ctx context.Context, channel string, seq int64) (int64, error) {
	for ; ; seq++ {
		stored, err := registry.ReadChannelAt(ctx, c.Remote, channel, seq)
		if absent(err) {
			return seq, nil
		}
		if err != nil {
			return 0, err
		}
		d, err := catalog.Parse(stored.Document)
		if age := c.Now().Sub(d.CreatedAt); err == nil && age < abandoned {
			return 0, fmt.Errorf("%w: %s was written %s ago and is not in force yet; "+
				"if the command that wrote it was interrupted, try again in %s", ErrLostRace, tag(channel, seq), age.Round(time.Second), (abandoned - age).Round(time.Second))
		}
		if c.Logger != nil {
			c.Logger.Warn("A document was written and never put in force; its number is passed over", "tag", tag(channel, seq))
		}
	}
}

// Commit copies, signs and writes what is planned.
//
// With ErrLostRace the channel is somebody else's document, and what was planned is in force nowhere.
func (c *Channels) Commit(ctx context.Context, p Plan) (Head, error) {
	if c.Sign == nil {
		return Head{}, errors.New("a key is needed to write a channel: give --key")
	}
	h := Head{Document: p.After, Bytes: p.Bytes}
	var err error
	if h.Signature, err = c.Sign(ctx, p.Bytes); err != nil {
		return Head{}, err
	}
	if h.SignedBy, err = c.Keys.Signer(h.Bytes, h.Signature); err != nil {
		return Head{}, fmt.Errorf("the key that signs is none of those that verify: %w", err)
	}
	for _, copied := range p.Copies {
		if err := registry.Copy(ctx, copied.From, c.Remote, copied.Module, copied.Ref.Version, copied.Ref.Digest); err != nil {
			return Head{}, fmt.Errorf("copy %s %s (%s) from %s to %s: %w", copied.Module, copied.Ref.Version, catalog.ShortID(copied.Ref.Digest),
				copied.From.URL, c.Remote.URL, err)
		}
	}
	h.Manifest, err = registry.PushChannel(ctx, c.Remote, h.Channel, h.Seq, h.Bytes, h.Signature, p.Before.Manifest)
	if registry.IsConflict(err) {
		err = fmt.Errorf("%w: %w; run the command again, on what is there now", ErrLostRace, err)
	}
	return h, err
}

// Pair reads the two documents that are to be compared; one name stands for it and the one before it.
func (c *Channels) Pair(ctx context.Context, names []string) (a, b Head, err error) {
	if len(names) > 1 {
		if a, err = c.Read(ctx, names[0]); err != nil {
			return a, b, err
		}
		b, err = c.Read(ctx, names[1])
		return a, b, err
	}
	if b, err = c.Read(ctx, names[0]); err != nil {
		return a, b, err
	}
	a, found, err := c.before(ctx, b)
	if err == nil && !found {
		err = fmt.Errorf("%s is the first document of its channel: there is none before it to compare with", tag(b.Channel, b.Seq))
	}
	return a, b, err
}
