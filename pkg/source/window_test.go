package source

import (
	"strings"
	"testing"
	"time"
)

func TestAWindowIsOpenFromItsBeginningForItsDuration(t *testing.T) {
	saturday := Window{Cron: "0 2 * * 6", Duration: 4 * time.Hour, TimeZone: "Europe/Berlin"}
	night := Window{Cron: "0 22 * * *", Duration: 4 * time.Hour, TimeZone: "UTC"}
	berlin := Window{Cron: "30 2 * * *", Duration: time.Hour, TimeZone: "Europe/Berlin"}
	york := Window{Cron: "30 2 * * *", Duration: time.Hour, TimeZone: "America/New_York"}
	yorkOne := Window{Cron: "30 1 * * *", Duration: time.Hour, TimeZone: "America/New_York"}
	for name, c := range map[string]struct {
		window Window
		now    string
		open   bool
		change string
	}{
		"closed on a Friday, opens on Saturday at 2 in Berlin":               {saturday, "2026-11-20T12:00:00Z", false, "2026-11-21T01:00:00Z"},
		"open at its first instant":                                          {saturday, "2026-11-21T01:00:00Z", true, "2026-11-21T05:00:00Z"},
		"open at its last instant":                                           {saturday, "2026-11-21T04:59:59Z", true, "2026-11-21T05:00:00Z"},
		"closed when its duration is over":                                   {saturday, "2026-11-21T05:00:00Z", false, "2026-11-28T01:00:00Z"},
		"open before midnight":                                               {night, "2026-11-20T23:59:59Z", true, "2026-11-21T02:00:00Z"},
		"still open after midnight":                                          {night, "2026-11-21T01:59:59Z", true, "2026-11-21T02:00:00Z"},
		"closed between two nights":                                          {night, "2026-11-21T02:00:00Z", false, "2026-11-21T22:00:00Z"},
		"Berlin, spring: 02:30 is skipped, it opens at 03:00":                {berlin, "2026-03-29T00:59:00Z", false, "2026-03-29T01:00:00Z"},
		"Berlin, spring: open for its hour from 03:00":                       {berlin, "2026-03-29T01:59:00Z", true, "2026-03-29T02:00:00Z"},
		"Berlin, spring: once only":                                          {berlin, "2026-03-29T02:00:00Z", false, "2026-03-30T00:30:00Z"},
		"Berlin, autumn: 02:30 comes twice, it opens at the first":           {berlin, "2026-10-25T00:29:00Z", false, "2026-10-25T00:30:00Z"},
		"Berlin, autumn: open for an hour, not for two":                      {berlin, "2026-10-25T01:29:59Z", true, "2026-10-25T01:30:00Z"},
		"Berlin, autumn: the second 02:30 is passed over":                    {berlin, "2026-10-25T01:30:00Z", false, "2026-10-26T01:30:00Z"},
		"New York, spring: 02:30 is skipped, it opens at 03:00":              {york, "2026-03-08T06:59:59Z", false, "2026-03-08T07:00:00Z"},
		"New York, spring: the night after is as always":                     {york, "2026-03-08T08:00:00Z", false, "2026-03-09T06:30:00Z"},
		"New York, autumn: 01:30 comes twice, it opens at the first":         {yorkOne, "2026-11-01T05:30:00Z", true, "2026-11-01T06:30:00Z"},
		"New York, autumn: the second 01:30 is passed over":                  {yorkOne, "2026-11-01T06:30:00Z", false, "2026-11-02T06:30:00Z"},
		"a window over a change of the clock keeps its length":               {Window{Cron: "0 0 * * *", Duration: 6 * time.Hour, TimeZone: "Europe/Berlin"}, "2026-03-29T04:59:00Z", true, "2026-03-29T05:00:00Z"},
		"openings that overlap are told one by one":                          {Window{Cron: "0 * * * *", Duration: 90 * time.Minute}, "2026-01-01T10:10:00Z", true, "2026-01-01T10:30:00Z"},
		"a day that Samoa left out begins with the next one":                 {Window{Cron: "0 12 30 12 *", Duration: time.Hour, TimeZone: "Pacific/Apia"}, "2011-12-30T10:00:00Z", true, "2011-12-30T11:00:00Z"},
		"a month's last day that does not come every month":                  {Window{Cron: "0 0 31 * *", Duration: time.Hour, TimeZone: "UTC"}, "2026-02-01T00:00:00Z", false, "2026-03-31T00:00:00Z"},
		"an opening longer than the distance between two never ends for now": {Window{Cron: "0 0 * * *", Duration: 48 * time.Hour, TimeZone: "UTC"}, "2026-01-10T12:00:00Z", true, "2026-01-11T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			open, change, err := c.window.Open(at(t, c.now))
			if err != nil {
				t.Fatal(err)
			}
			if open != c.open || !change.Equal(at(t, c.change)) {
				t.Errorf("open %v until %s, expected %v until %s", open, change.UTC().Format(time.RFC3339), c.open, c.change)
			}
		})
	}
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAWindowThatCannotBeUsedSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		window Window
		says   string
	}{
		"four fields":              {Window{Cron: "0 2 * *", Duration: time.Hour}, "five fields"},
		"six fields":               {Window{Cron: "0 0 2 * * 6", Duration: time.Hour}, "five fields"},
		"a name in place of times": {Window{Cron: "@daily", Duration: time.Hour}, "five fields"},
		"a zone in the crontab":    {Window{Cron: "TZ=Europe/Berlin 0 2 * * 6", Duration: time.Hour}, "timeZone"},
		"a day that never comes":   {Window{Cron: "0 0 30 2 *", Duration: time.Hour}, "never comes"},
		"no duration":              {Window{Cron: "0 2 * * 6"}, "more than 0"},
		"no such zone":             {Window{Cron: "0 2 * * 6", Duration: time.Hour, TimeZone: "Europe/Nowhere"}, "IANA"},
		"the machine's zone":       {Window{Cron: "0 2 * * 6", Duration: time.Hour, TimeZone: "Local"}, "IANA"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.window.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, expected something with %q", err, c.says)
			}
		})
	}
}

func FuzzWindow(f *testing.F) {
	f.Add("0 2 * * 6", int64(4*time.Hour), "Europe/Berlin", int64(1774746000))
	f.Add("*/7 0-5 31 * *", int64(time.Minute), "America/New_York", int64(0))
	f.Add("TZ= * * * *", int64(1), "", int64(-1))
	f.Fuzz(func(t *testing.T, crontab string, length int64, zone string, unix int64) {
		w := Window{Cron: crontab, Duration: time.Duration(length), TimeZone: zone}
		now := time.Unix(unix%(200*365*24*3600), 0)
		open, change, err := w.Open(now)
		if (err == nil) != (w.Check() == nil) {
			t.Fatal("Open and Check disagree")
		}
		if err == nil && !change.IsZero() && !change.After(now) {
			t.Fatalf("open %v until %v, which is not after %v", open, change, now)
		}
	})
}

func TestReleasesAreKnownByTheirNamesOnce(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	a := Release{Module: "m", Version: "2.0.0", Digest: digest, Source: "corp", Phase: Pending}
	old := a
	old.Phase = RolledBack
	disk := Release{Module: "m", Version: "1.0.0", Phase: Deployed}
	got := Track{Next: &a, Current: &disk, History: []Release{old}}.Releases()
	if len(got) != 2 || got[0].Phase != Pending || got[0].Name() != "m-2.0.0-abababab" || got[1].Name() != "m-1.0.0-embedded" {
		t.Errorf("got %+v", got)
	}
}
