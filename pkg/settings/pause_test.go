package settings

import (
	"strings"
	"testing"
	"time"
)

func TestAPauseHasAnEnd(t *testing.T) {
	end := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	s := Parse(map[string]string{"fooPausedUntil": " 2026-11-23T10:00:00Z\n", "barPausedUntil": "2026-11-23T12:00:00+02:00", "bazPausedUntil": ""}, nil, Settings{})
	if len(s.Problems) > 0 || len(s.PausedUntil) != 2 || !s.PausedUntil["foo"].Equal(end) || !s.PausedUntil["bar"].Equal(end) {
		t.Errorf("got %v, problems %v", s.PausedUntil, s.Problems)
	}
	// A bad end keeps the last good one, and the module's section is not concerned.
	next := Parse(map[string]string{"foo": "a: 1", "fooPausedUntil": "tomorrow", "globalPausedUntil": "2026-11-23T10:00:00Z"}, nil, s)
	if !next.PausedUntil["foo"].Equal(end) || len(next.Sections["foo"]) != 1 || len(next.Problems) != 2 ||
		!strings.Contains(next.Problems[0].Message, "RFC 3339") || !strings.Contains(next.Problems[1].Message, "only modules") {
		t.Errorf("got %v, problems %v", next.PausedUntil, next.Problems)
	}
	// A key that holds an object is the section of a module of that name.
	if odd := Parse(map[string]string{"fooPausedUntil": "{a: 1}"}, nil, Settings{}); len(odd.Sections["fooPausedUntil"]) != 1 || len(odd.PausedUntil) != 0 {
		t.Errorf("got %+v", odd)
	}
}
