package testkit

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A Write is one answered write in the audit log of a cluster that was started with --audit-log.
type Write struct {
	Verb, UserAgent, User                               string
	Group, Resource, Subresource, Namespace, Name, Path string
	// Code is the status of the answer.
	Code int
	// Received is when the API server began with it.
	Received time.Time
}

// Writes reads the audit log, in the order in which writes were answered. An
// answered write is in it.
func (c *LocalCluster) Writes(t testing.TB) []Write {
	t.Helper()
	f, err := os.Open(filepath.Join(c.Dir, "audit.log"))
	if err != nil {
		t.Fatalf("start the cluster with --audit-log: %v", err)
	}
	defer f.Close()
	var out []Write
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			Verb, UserAgent, RequestURI string
			User                        struct{ Username string }
			ObjectRef                   struct{ APIGroup, Resource, Subresource, Namespace, Name string }
			ResponseStatus              struct{ Code int }
			RequestReceivedTimestamp    time.Time
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // the last line may be half written
		}
		out = append(out, Write{Verb: e.Verb, UserAgent: e.UserAgent, User: e.User.Username, Group: e.ObjectRef.APIGroup,
			Resource: e.ObjectRef.Resource, Subresource: e.ObjectRef.Subresource, Namespace: e.ObjectRef.Namespace, Name: e.ObjectRef.Name,
			Path: e.RequestURI, Code: e.ResponseStatus.Code, Received: e.RequestReceivedTimestamp})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
