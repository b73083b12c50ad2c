package web_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/web"
)

// C-451, C-492: a standby is ready when the leader is; each of its five answers.
func TestAStandbyIsReadyWhenItsLeaderIs(t *testing.T) {
	status := http.StatusOK
	leader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("the leader was asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(leader.Close)
	host, port, _ := net.SplitHostPort(leader.Listener.Addr().String())
	address := netip.MustParseAddr(host)
	closed := httptest.NewServer(http.NotFoundHandler())
	_, nobody, _ := net.SplitHostPort(closed.Listener.Addr().String())
	closed.Close()
	for name, c := range map[string]struct {
		leader web.Leader
		port   string
		status int
		code   int
		text   string
	}{
		"the leader is ready":             {web.Leader{Identity: "a.127-0-0-1.n.pod", Address: address}, port, 200, 200, "HA mode is enabled and waiting for acquiring the lock.\n"},
		"the leader is not ready":         {web.Leader{Identity: "a.127-0-0-1.n.pod", Address: address}, port, 500, 500, "is not ready"},
		"nobody leads":                    {web.Leader{}, port, 200, 500, "no leader is elected"},
		"the identity is no host name":    {web.Leader{Identity: "a b%"}, port, 200, 500, "can be made"},
		"nobody answers at its address":   {web.Leader{Identity: "a.127-0-0-1.n.pod", Address: address}, nobody, 200, 500, "does not answer"},
		"without an address DNS is asked": {web.Leader{Identity: "localhost"}, port, 200, 200, "waiting"},
	} {
		t.Run(name, func(t *testing.T) {
			status = c.status
			h := web.Standby(func() web.Leader { return c.leader }, c.port, http.NotFoundHandler(), http.NotFoundHandler())
			code, text := get(h, "/readyz")
			if code != c.code || !strings.Contains(text, c.text) {
				t.Errorf("%d %q, expected %d %q", code, text, c.code, c.text)
			}
		})
	}
}

// A Lease may name a replica that is a standby by now.
func TestStandbysDoNotAskEachOtherInACircle(t *testing.T) {
	var self web.Switch
	server := httptest.NewServer(&self)
	t.Cleanup(server.Close)
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	l := web.Leader{Identity: "a.127-0-0-1.n.pod", Address: netip.MustParseAddr(host)}
	self.To(web.Standby(func() web.Leader { return l }, port, http.NotFoundHandler(), http.NotFoundHandler()))
	code, text := get(&self, "/readyz")
	if code != 500 || !strings.Contains(text, "is not ready") {
		t.Errorf("%d %q", code, text)
	}
}

// C-491: the other pages of a standby answer too.
func TestAStandbyAnswersItsOtherPages(t *testing.T) {
	shows := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) })
	}
	h := web.Standby(func() web.Leader { return web.Leader{} }, "1", shows("self"), shows("hooks"))
	for path, want := range map[string]string{"/healthz": "", "/metrics": "self", "/metrics/hooks": "hooks", "/status/converge": "STARTUP_CONVERGE_NOT_STARTED\n"} {
		if code, text := get(h, path); code != 200 || text != want {
			t.Errorf("%s: %d %q, expected %q", path, code, text, want)
		}
	}
}

func TestTheSocketOfAStandbySaysWhomToAsk(t *testing.T) {
	for name, c := range map[string]struct{ identity, text string }{
		"with a leader":    {"a.127-0-0-1.n.pod", "a.127-0-0-1.n.pod"},
		"without a leader": {"", "nobody leads"},
	} {
		t.Run(name, func(t *testing.T) {
			code, text := get(web.StandbyDebug(func() web.Leader { return web.Leader{Identity: c.identity} }), "/module/list.yaml")
			if code != http.StatusServiceUnavailable || !strings.Contains(text, c.text) {
				t.Errorf("%d %q", code, text)
			}
		})
	}
}

func TestASwitchAnswersAsItIsSet(t *testing.T) {
	var s web.Switch
	if code, _ := get(&s, "/"); code != http.StatusServiceUnavailable {
		t.Errorf("unset: %d", code)
	}
	s.To(http.NotFoundHandler())
	if code, _ := get(&s, "/"); code != http.StatusNotFound {
		t.Errorf("set: %d", code)
	}
}
