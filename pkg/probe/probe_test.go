package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// clinic has hook checks whose answers a test decides, on a clock that moves when all is still.
type clinic struct {
	*Prober
	mu    sync.Mutex
	bad   map[string]string // by name of the check
	hangs map[string]bool
	looks map[string]int
	now   int
	most  int
	news  int
}

func open(t *testing.T, body func(t *testing.T, c *clinic)) {
	synctest.Test(t, func(t *testing.T) {
		c := &clinic{bad: map[string]string{}, hangs: map[string]bool{}, looks: map[string]int{}}
		c.Prober = New(Config{Hook: c.answer, Notify: func(string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.news++
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		body(t, c)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (c *clinic) answer(ctx context.Context, _ string, check module.HealthCheck) error {
	c.mu.Lock()
	c.looks[check.Name]++
	c.now++
	c.most = max(c.most, c.now)
	hangs, bad := c.hangs[check.Name], c.bad[check.Name]
	c.mu.Unlock()
	if hangs {
		<-ctx.Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	if bad != "" {
		return errors.New(bad)
	}
	return nil
}

func (c *clinic) set(name, bad string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad[name] = bad
}

func (c *clinic) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looks[name]
}

func (c *clinic) told() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.news
	c.news = 0
	return n
}

func hooks(names ...string) (out []module.HealthCheck) {
	for _, n := range names {
		out = append(out, module.HealthCheck{Name: n, Hook: n, Interval: time.Minute, Timeout: time.Second})
	}
	return out
}

// pass lets d go by and everything settle.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestAChecksResultFollowsItsLooks(t *testing.T) {
	open(t, func(t *testing.T, c *clinic) {
		expect := func(when string, looks, news int, want ...status.Check) {
			t.Helper()
			if got := c.Results("m"); !slices.Equal(got, want) || c.count("a") != looks || c.told() != news {
				t.Errorf("%s: %v after %d looks", when, got, c.count("a"))
			}
		}
		c.Configure("m", append(hooks("a"), module.HealthCheck{Name: "expression", CEL: "true"}))
		if got := c.Results("m"); !slices.Equal(got, []status.Check{{Name: "a"}}) {
			t.Errorf("before the first look: %v", got)
		}
		synctest.Wait()
		expect("first look at once", 1, 1, status.Check{Name: "a", Looked: true})
		c.Configure("m", hooks("a"))
		pass(50 * time.Second)
		expect("the same again is no news", 1, 0, status.Check{Name: "a", Looked: true})
		c.set("a", "down\n")
		pass(23 * time.Second) // an interval lasts 66 s at most, and the one after a failure 5.5 s
		if n := c.count("a"); n < 3 {
			t.Errorf("it fails and is looked at no more often: %d looks", n)
		}
		expect("it fails", c.count("a"), 1, status.Check{Name: "a", Looked: true, Problem: "down"})
		c.set("a", "down since 12:01")
		pass(6 * time.Second)
		if got := c.Results("m"); got[0].Problem != "down" || c.told() != 0 {
			t.Errorf("another text of the same failure is news at once: %v", got)
		}
		pass(40 * time.Second)
		if got := c.Results("m"); got[0].Problem != "down since 12:01" || c.told() != 1 {
			t.Errorf("another text is never told: %v", got)
		}
		c.set("a", "")
		pass(6 * time.Second)
		if got := c.Results("m"); !got[0].Holds() || c.told() != 1 {
			t.Errorf("it holds again: %v", got)
		}
		before := c.count("a")
		c.Renew("m")
		if got := c.Results("m"); got[0].Looked {
			t.Errorf("what was seen before a change counts: %v", got)
		}
		synctest.Wait()
		expect("looked at anew", before+1, 1, status.Check{Name: "a", Looked: true})
		c.Forget("m")
		pass(time.Hour)
		expect("forgotten", before+1, 0)
	})
}

func TestChecksThatChange(t *testing.T) {
	open(t, func(t *testing.T, c *clinic) {
		c.Configure("m", hooks("a", "b"))
		synctest.Wait()
		other := hooks("b", "c")
		c.Configure("m", other)
		if got := c.Results("m"); !slices.Equal(got, []status.Check{{Name: "b", Looked: true}, {Name: "c"}}) {
			t.Errorf("kept and new: %v", got)
		}
		synctest.Wait()
		if c.count("a") != 1 || c.count("b") != 1 || c.count("c") != 1 {
			t.Errorf("looks: %v", c.looks)
		}
		other[0].Interval = time.Hour
		c.Configure("m", other)
		if got := c.Results("m"); got[0].Looked {
			t.Errorf("a check that changed has the result of before: %v", got)
		}
	})
}

func TestLooksAreBoundedAndEndWhenTheyAreNotWanted(t *testing.T) {
	open(t, func(t *testing.T, c *clinic) {
		var names []string
		for i := range 20 {
			name := fmt.Sprint("hangs", i)
			names = append(names, name)
			c.hangs[name] = true
		}
		c.Configure("hanging", hooks(names...))
		synctest.Wait()
		if c.most != defaultParallel {
			t.Errorf("%d at once", c.most)
		}
		server := module.HealthCheck{Name: "server", HTTP: "http://[::1", Interval: time.Minute, Timeout: time.Second}
		c.Configure("m", append(hooks("a"), server))
		synctest.Wait()
		if got := c.Results("m"); got[0].Looked || !got[1].Looked {
			t.Errorf("executables that hang hold up requests: %v", got)
		}
		c.Renew("hanging")
		c.Forget("hanging")
		synctest.Wait()
		if got := c.Results("m"); !got[0].Holds() || c.Results("hanging") != nil {
			t.Errorf("there was no room after the end: %v", got)
		}
	})
}

func TestWhatWasUnderWayAtAChangeDoesNotCount(t *testing.T) {
	open(t, func(t *testing.T, c *clinic) {
		c.hangs["a"] = true
		c.Configure("m", hooks("a"))
		synctest.Wait()
		c.Renew("m")
		c.mu.Lock()
		c.hangs["a"] = false
		c.mu.Unlock()
		c.Prober.mu.Lock()
		c.modules["m"][0].end()
		c.Prober.mu.Unlock()
		synctest.Wait()
		if c.count("a") != 2 || c.told() != 1 {
			t.Errorf("%d looks", c.count("a"))
		}
	})
}

func TestAServerThatTurnsBadAndGoodAgain(t *testing.T) {
	answers := make(chan int, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case code := <-answers:
			w.WriteHeader(code)
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	news := make(chan string, 10)
	p := New(Config{Notify: func(m string) { news <- m }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.Configure("m", []module.HealthCheck{{Name: "api", HTTP: s.URL, Interval: 10 * time.Millisecond, Timeout: time.Minute}})
	for _, step := range []struct {
		code int
		want string
	}{{200, ""}, {500, "answers 500 Internal Server Error"}, {204, ""}} {
		answers <- step.code
		if m := <-news; m != "m" {
			t.Errorf("news of %q", m)
		}
		if got := p.Results("m"); !slices.Equal(got, []status.Check{{Name: "api", Looked: true, Problem: step.want}}) {
			t.Errorf("%d: %v", step.code, got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
