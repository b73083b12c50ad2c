package source

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // time zones of windows, also on an image without them

	"github.com/robfig/cron/v3"
)

// Check says what is wrong with a window: Cron needs five fields that meet some time, Duration
// must be positive, TimeZone a name of the IANA database.
func (w Window) Check() error {
	_, err := w.read()
	return err
}

// Open says whether the window is open, and when that changes: the end of the opening that began
// first, or the next beginning; zero when there is none within five years.
//
// An opening begins when the clock on the wall of TimeZone shows a minute that Cron matches, and lasts
// Duration. A beginning that a change of the clock skips is at the first minute after the gap; one that it
// repeats is at the first of the two. Each happens once.
func (w Window) Open(now time.Time) (open bool, change time.Time, err error) {
	s, err := w.read()
	if err != nil {
		return false, time.Time{}, err
	}
	open, change = s.at(now)
	return open, change, nil
}

// spans is a window, read.
type spans struct {
	schedule cron.Schedule
	zone     *time.Location
	length   time.Duration
}

func (w Window) read() (spans, error) {
	zone, err := time.LoadLocation(cmp.Or(w.TimeZone, "UTC"))
	if err != nil || w.TimeZone == "Local" {
		return spans{}, fmt.Errorf("timeZone %q: expected a name of the IANA database such as Europe/Berlin", w.TimeZone)
	}
	if w.Duration <= 0 {
		return spans{}, fmt.Errorf("duration of window %q: expected more than 0, got %v", w.Cron, w.Duration)
	}
	schedule, err := fiveFields(w.Cron)
	if err != nil {
		return spans{}, fmt.Errorf("cron %q: expected five fields such as \"0 2 * * 6\": %w", w.Cron, err)
	}
	return spans{schedule: schedule, zone: zone, length: w.Duration}, nil
}

// fiveFields reads a crontab whose times are those of a wall clock, as UTC.
func fiveFields(text string) (cron.Schedule, error) {
	if strings.Contains(text, "=") {
		return nil, errors.New("a time zone goes into timeZone")
	}
	schedule, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(text)
	if err != nil {
		return nil, err
	}
	if spec, ok := schedule.(*cron.SpecSchedule); ok {
		spec.Location = time.UTC
	}
	if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("it never comes")
	}
	return schedule, nil
}

// jump is more than any change of a clock there was: Samoa left out a day in 2011.
const jump = 25 * time.Hour

// at walks over the beginnings around now. They are asked of the wall clock, which shows no minute twice
// here, and made instants one by one.
func (s spans) at(now time.Time) (bool, time.Time) {
	for w := s.schedule.Next(wall(now.Add(-s.length), s.zone).Add(-jump)); !w.IsZero(); w = s.schedule.Next(w) {
		begin := instant(w, s.zone)
		end := begin.Add(s.length)
		switch {
		case begin.After(now):
			return false, begin
		case end.After(now):
			return true, end
		}
	}
	return false, time.Time{}
}

// wall is what the clock in a zone shows, as a time in UTC.
func wall(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant is when the clock in a zone first shows w: in a gap the end of the gap.
func instant(w time.Time, zone *time.Location) time.Time {
	t := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), 0, 0, zone)
	begin, end := t.ZoneBounds()
	switch shown := wall(t, zone); {
	case shown.After(w):
		return begin
	case shown.Before(w):
		return end
	}
	if begin.IsZero() {
		return t
	}
	_, before := begin.Add(-time.Nanosecond).Zone()
	earlier := w.Add(-time.Duration(before) * time.Second).In(zone)
	if earlier.Before(t) && wall(earlier, zone).Equal(w) {
		return earlier
	}
	return t
}
