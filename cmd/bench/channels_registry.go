package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// shelf is a registry in this process that counts what it is asked, and the bytes of its connections in both directions.
type shelf struct {
	host   string
	server *http.Server
	ended  chan struct{}
	bytes  atomic.Int64

	mu       sync.Mutex
	requests map[string]int // by METHOD REPOSITORY
	// document is when a document was fetched last: when the poll that found it had its answer.
	document time.Time
}

func openShelf(ctx context.Context) (*shelf, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &shelf{host: l.Addr().String(), ended: make(chan struct{}), requests: map[string]int{}}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note(r)
		handler.ServeHTTP(w, r)
	}), ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(&countedListener{l, &s.bytes})
	}()
	return s, nil
}

func (s *shelf) close() {
	_ = s.server.Close()
	<-s.ended
}

// channelHead is the request of a poll with nothing new.
const channelHead = "HEAD channels"

func (s *shelf) note(r *http.Request) {
	repository := "modules"
	if strings.Contains(r.URL.Path, "/channels/") {
		repository = "channels"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.Method+" "+repository]++
	if r.Method == http.MethodGet && repository == "channels" && strings.Contains(r.URL.Path, "/manifests/") {
		s.document = time.Now()
	}
}

// forget begins a new count.
func (s *shelf) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = map[string]int{}
	s.bytes.Store(0)
}

// counted is how many requests there were since forget, how many of them were polls, and their bytes.
func (s *shelf) counted() (all, polls int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.requests {
		all += n
	}
	return all, s.requests[channelHead], s.bytes.Load()
}

// asked says what the requests were.
func (s *shelf) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.requests)
}

func (s *shelf) found() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.document
}

// bareHead is what one HEAD of a channel takes, on a connection of its own as the operator makes them.
func (s *shelf) bareHead(ctx context.Context, root string) (took time.Duration, bytes int64, err error) {
	s.forget()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+s.host+"/v2/"+root+"/channels/manifests/"+channelName, nil)
	if err != nil {
		return 0, 0, err
	}
	req.Close = true
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, 0, errors.New("HEAD of the channel: " + resp.Status)
	}
	_, _, bytes = s.counted()
	return took, bytes, nil
}

// countedListener counts the bytes of its connections.
type countedListener struct {
	net.Listener
	bytes *atomic.Int64
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{c, l.bytes}, nil
}

type countedConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}
