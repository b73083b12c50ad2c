package hook

import (
	"fmt"
	"strings"

	"github.com/robfig/cron/v3"
)

// ParseCrontab reads a schedule (C-041): five fields, or six with leading
// seconds, or a descriptor such as @every 30s or @daily; a prefix TZ=<zone> or
// CRON_TZ=<zone> says in which time zone it is meant.
func ParseCrontab(crontab string) (cron.Schedule, error) {
	text := strings.TrimSpace(crontab)
	// The library takes the zone up to a blank for granted.
	if strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=") {
		zone, rest, ok := strings.Cut(text, " ")
		if !ok || strings.TrimSpace(rest) == "" {
			return nil, fmt.Errorf("crontab is invalid: %q has a time zone and no schedule after it", crontab)
		}
		text = zone + " " + strings.TrimSpace(rest)
	}
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	schedule, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("crontab is invalid: %q: %w", crontab, err)
	}
	return schedule, nil
}
