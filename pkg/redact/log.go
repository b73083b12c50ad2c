package redact

import (
	"context"
	"fmt"
	"log/slog"
)

// Handler passes records on to next with message and attributes as text makes
// them; attributes that hold no secret keep their type.
func Handler(next slog.Handler, text func(string) string) slog.Handler {
	return handler{next, text}
}

type handler struct {
	next slog.Handler
	text func(string) string
}

func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, h.text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, out)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = h.attr(a)
	}
	return handler{h.next.WithAttrs(out), h.text}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.next.WithGroup(name), h.text} }

func (h handler) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		if s := h.text(v.String()); s != v.String() {
			v = slog.StringValue(s)
		}
	case slog.KindGroup:
		group := make([]slog.Attr, len(v.Group()))
		for i, e := range v.Group() {
			group[i] = h.attr(e)
		}
		v = slog.GroupValue(group...)
	case slog.KindAny, slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		plain := fmt.Sprint(v.Any())
		if s := h.text(plain); s != plain {
			v = slog.StringValue(s)
		}
	case slog.KindBool, slog.KindDuration, slog.KindTime, slog.KindLogValuer:
	}
	return slog.Attr{Key: a.Key, Value: v}
}
