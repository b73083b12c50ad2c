package publish

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/explain"
)

// Patch is the unified diff of the JSON before and after, as a pull request shows it.
func (p Plan) Patch() string {
	before := ""
	if p.Before.Seq > 0 {
		before = tag(p.Before.Channel, p.Before.Seq)
	}
	return explain.Unified(orDevNull(before), tag(p.After.Channel, p.After.Seq), string(p.Before.Bytes), string(p.Bytes))
}

// Patch is the unified diff of two documents' JSON.
func Patch(a, b Head) string {
	return explain.Unified(tag(a.Channel, a.Seq), tag(b.Channel, b.Seq), string(a.Bytes), string(b.Bytes))
}

func orDevNull(name string) string {
	if name == "" {
		return "/dev/null"
	}
	return name
}

// WriteChanges writes what a plan changes, one line each.
func (p Plan) WriteChanges(w io.Writer) {
	if p.Before.Seq == 0 {
		fmt.Fprintf(w, "  begins with %d modules, %s, expires %s\n", len(p.After.Names()), p.After.Rollout, expiry(p.After.ExpiresAt))
		return
	}
	changes := catalog.Diff(p.Before.Document, p.After)
	for _, c := range changes {
		fmt.Fprintln(w, " ", c.Text)
	}
	if len(changes) == 0 {
		fmt.Fprintln(w, "  renewed")
	}
}

// WriteWritten tells of a document that is in force now.
func WriteWritten(w io.Writer, h Head) {
	fmt.Fprintf(w, "channel %s is at seq %d (%s), signed with key %s\n", h.Channel, h.Seq, catalog.ShortID(h.Manifest), catalog.ShortID(h.SignedBy))
}

// WriteHead writes a channel as a table, for people.
func WriteHead(w io.Writer, h Head) error {
	fmt.Fprintf(w, "channel %s, seq %d of %s, expires %s, %s, signed with key %s\n\n", h.Channel, h.Seq, stamp(h.CreatedAt), expiry(h.ExpiresAt), h.Rollout,
		catalog.ShortID(h.SignedBy))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODULE\tVERSION\tDIGEST\tPROMOTED\tFROM\tAVAILABLE\tNOTES")
	for _, name := range h.Names() {
		e, _ := h.Entry(name)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, e.Version, catalog.ShortID(e.Digest), stamp(e.PromotedAt), orDash(e.From),
			orDash(words(e.Available)), orDash(notes(e)))
	}
	return t.Flush()
}

func words(refs []catalog.Ref) string {
	out := ""
	for i, r := range refs {
		if i > 0 {
			out += ","
		}
		out += r.Version
	}
	return out
}

func notes(e catalog.Entry) string {
	out := ""
	add := func(text string) {
		if out != "" {
			out += "; "
		}
		out += text
	}
	if e.Rollback {
		add("rollback")
	}
	if e.Urgency == catalog.Security {
		add("security")
	}
	if len(e.Path) > 0 {
		add("path " + words(e.Path))
	}
	for _, y := range e.Yanked {
		add("yanked " + y.Version)
	}
	return out
}

// Logged is one document of a history, with what it changed.
type Logged struct {
	Seq       int64     `json:"seq"`
	CreatedAt time.Time `json:"createdAt"`
	Digest    string    `json:"digest"`
	// Previous is the digest of the document before, empty in the first.
	Previous string `json:"previous,omitempty"`
	SignedBy string `json:"signedBy"`
	// Changes are from the document before; of the oldest that is known they are all it lists.
	Changes []catalog.Change `json:"changes"`
}

// Log tells of a history, newest first as History has it.
func Log(heads []Head) []Logged {
	out := make([]Logged, 0, len(heads))
	for i, h := range heads {
		l := Logged{Seq: h.Seq, CreatedAt: h.CreatedAt, Digest: catalog.Digest(h.Bytes), Previous: h.Previous, SignedBy: h.SignedBy, Changes: []catalog.Change{}}
		before := catalog.Document{Channel: h.Channel, CreatedAt: h.CreatedAt, ExpiresAt: h.ExpiresAt, Rollout: h.Rollout}
		if i+1 < len(heads) {
			before = heads[i+1].Document
		}
		l.Changes = append(l.Changes, catalog.Diff(before, h.Document)...)
		out = append(out, l)
	}
	return out
}

// WriteLog writes a history for people.
func WriteLog(w io.Writer, channel string, log []Logged) {
	for _, l := range log {
		fmt.Fprintf(w, "%s  %s  %s  key %s\n", tag(channel, l.Seq), stamp(l.CreatedAt), catalog.ShortID(l.Digest), catalog.ShortID(l.SignedBy))
		for _, c := range l.Changes {
			fmt.Fprintln(w, " ", c.Text)
		}
		switch {
		case l.Previous == "":
			fmt.Fprintln(w, "  begins")
		case len(l.Changes) == 0:
			fmt.Fprintln(w, "  renewed")
		}
	}
}

// Write writes what Verify found.
func (a Audit) Write(w io.Writer) {
	fmt.Fprintf(w, "channel %s is at seq %d of %s, expires %s, signed with key %s\n", a.Head.Channel, a.Head.Seq, stamp(a.Head.CreatedAt),
		expiry(a.Head.ExpiresAt), catalog.ShortID(a.Head.SignedBy))
	fmt.Fprintf(w, "read and verified: documents of its history: %d, artifacts: %d\n", a.Documents, a.Artifacts)
	for _, p := range a.Problems {
		fmt.Fprintln(w, "problem:", p)
	}
}

func expiry(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return stamp(t)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
