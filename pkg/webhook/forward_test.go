package webhook

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// C-451: a review that reaches a standby is answered by the leader, and by nobody when there is none.
func TestAStandbyHandsConnectionsOnToTheLeader(t *testing.T) {
	// Leader and standby have one port and different addresses, as pods have.
	leader, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer leader.Close()
	_, port, _ := net.SplitHostPort(leader.Addr().String())
	go func() {
		for {
			c, err := leader.Accept()
			if err != nil {
				return
			}
			text, _ := io.ReadAll(c)
			_, _ = c.Write([]byte(strings.ToUpper(string(text))))
			_ = c.Close()
		}
	}()
	ip := make(chan string, 1)
	f := Forwarder{Config: Config{URL: "https://x", Admission: Endpoint{ListenAddress: "127.0.0.2:" + port}}, Logger: slog.New(slog.DiscardHandler),
		Leader: func() string { return <-ip }}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	ask := func(leader string) string {
		t.Helper()
		var c net.Conn
		for c == nil {
			c, _ = net.Dial("tcp", "127.0.0.2:"+port)
		}
		defer c.Close()
		ip <- leader
		_, _ = c.Write([]byte("review"))
		_ = c.(*net.TCPConn).CloseWrite()
		text, _ := io.ReadAll(c)
		return string(text)
	}
	if got := ask("127.0.0.1"); got != "REVIEW" {
		t.Errorf("the answer is %q", got)
	}
	if got := ask(""); got != "" {
		t.Errorf("without a leader the answer is %q", got)
	}
	// A connection that stays open does not keep the standby from becoming the leader.
	idle, err := net.Dial("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	ip <- "127.0.0.1"
	stop()
	<-ended
	l, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	_ = l.Close()
}
