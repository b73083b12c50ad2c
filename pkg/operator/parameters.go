package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/web"
)

// parameters are what can be changed while the process runs (C-483). A change with a
// duration ends by a timer; Close ends the timers.
type parameters struct {
	log *slog.Logger

	mu     sync.Mutex
	closed bool
	all    []*parameter
}

// parameter is one of them. get and set are called with the lock of parameters held.
type parameter struct {
	name, help string
	get        func() string
	set        func(value string) error
	// expires says how long a value stays when nobody says so; 0 is for good.
	expires func(value string) time.Duration

	timer *time.Timer // ends a temporary value; nil without one
	turn  int         // of the newest temporary value
	until time.Time
	was   string // the value to go back to
}

// debugExpires is how long debug messages are logged when nobody says so (C-483).
const debugExpires = 30 * time.Minute

// newParameters has log.level, where the logger has a level that can be changed.
func newParameters(level *slog.LevelVar, log *slog.Logger) *parameters {
	p := &parameters{log: log}
	if level == nil {
		return p
	}
	p.all = append(p.all, &parameter{
		name: "log.level", help: "messages from this level on are logged: debug, info, warn or error; debug ends after 30 minutes",
		get: func() string { return strings.ToLower(level.Level().String()) },
		set: func(value string) error {
			var l slog.Level
			if err := l.UnmarshalText([]byte(value)); err != nil {
				return fmt.Errorf("log.level %q: expected debug, info, warn or error", value)
			}
			level.Set(l)
			return nil
		},
		expires: func(value string) time.Duration {
			if strings.EqualFold(value, "debug") {
				return debugExpires
			}
			return 0
		},
	})
	return p
}

// addSwitch adds a parameter that is true or false.
func (p *parameters) addSwitch(name, help string, get func() bool, set func(bool)) {
	p.all = append(p.all, &parameter{
		name: name, help: help,
		get: func() string { return strconv.FormatBool(get()) },
		set: func(value string) error {
			on, err := strconv.ParseBool(value)
			if err != nil {
				return fmt.Errorf("%s %q: expected true or false", name, value)
			}
			set(on)
			return nil
		},
		expires: func(string) time.Duration { return 0 },
	})
}

// Close ends the timers; temporary values stay.
func (p *parameters) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, x := range p.all {
		x.stop()
	}
}

func (x *parameter) stop() {
	if x.timer != nil {
		x.timer.Stop()
		x.timer = nil
	}
}

// set gives a parameter a value, for a duration if that is not 0.
func (p *parameters) set(name, value string, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.all, func(x *parameter) bool { return x.name == name })
	if i < 0 {
		return fmt.Errorf("parameter %q: expected one of %s: %w", name, strings.Join(p.names(), ", "), web.ErrNotFound)
	}
	x := p.all[i]
	was := x.get()
	if x.timer != nil {
		was = x.was
	}
	if err := x.set(value); err != nil {
		return fmt.Errorf("%w: %w", err, web.ErrBadRequest)
	}
	x.stop()
	d = cmp.Or(d, x.expires(value))
	p.log.Info("runtime parameter set", "parameter", name, "value", value, "for", d)
	if d > 0 && !p.closed {
		x.was, x.until = was, time.Now().Add(d)
		x.turn++
		turn := x.turn
		x.timer = time.AfterFunc(d, func() { p.expire(x, turn) })
	}
	return nil
}

// expire goes back to the value before, unless another was set meanwhile.
func (p *parameters) expire(x *parameter, turn int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.timer == nil || x.turn != turn {
		return
	}
	x.timer = nil
	if err := x.set(x.was); err != nil {
		p.log.Error("runtime parameter keeps its temporary value", "parameter", x.name, "error", err)
		return
	}
	p.log.Info("runtime parameter is back", "parameter", x.name, "value", x.was)
}

func (p *parameters) names() []string {
	out := make([]string, len(p.all))
	for i, x := range p.all {
		out[i] = x.name
	}
	return out
}

// parameterRow is a parameter as /config/list shows it.
type parameterRow struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Description string `json:"description"`
	// Until is when the value before comes back, in RFC 3339; empty for a value that stays.
	Until string `json:"until,omitempty"`
}

// parameterList is the answer of /config/list.
type parameterList []parameterRow

// Text is the form for people.
func (l parameterList) Text() string {
	var b strings.Builder
	for _, row := range l {
		fmt.Fprintf(&b, "%s=%s - %s", row.Name, row.Value, row.Description)
		if row.Until != "" {
			fmt.Fprintf(&b, " (until %s)", row.Until)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (p *parameters) list() parameterList {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := parameterList{}
	for _, x := range p.all {
		row := parameterRow{Name: x.name, Value: x.get(), Description: x.help}
		if x.timer != nil {
			row.Until = x.until.UTC().Format(time.RFC3339)
		}
		out = append(out, row)
	}
	return out
}

// routes list and set parameters; they are set over the socket only.
func (p *parameters) routes() []web.Route {
	return []web.Route{
		{Path: "/config/list", Help: "what can be changed while the operator runs", Remote: true,
			Answer: func(context.Context, web.Query) (any, error) { return p.list(), nil }},
		{Method: "POST", Path: "/config/set", Help: "set a parameter; form: name, value, and duration for a temporary value",
			Answer: func(_ context.Context, q web.Query) (any, error) {
				name, value := q.Form.Get("name"), q.Form.Get("value")
				if name == "" || value == "" {
					return nil, fmt.Errorf("expected a form with name and value: %w", web.ErrBadRequest)
				}
				var d time.Duration
				if text := q.Form.Get("duration"); text != "" {
					var err error
					if d, err = time.ParseDuration(text); err == nil && d <= 0 {
						err = errors.New("expected more than 0")
					}
					if err != nil {
						return nil, fmt.Errorf("duration: %w, such as 10m: %w", err, web.ErrBadRequest)
					}
				}
				if err := p.set(name, value, d); err != nil {
					return nil, err
				}
				return p.list(), nil
			}},
	}
}
