package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// screen is what the user sees.
type screen struct {
	out   io.Writer
	begin time.Time
}

func newScreen(out io.Writer) *screen { return &screen{out: out, begin: time.Now()} }

func (s *screen) elapsed() time.Duration { return time.Since(s.begin) }

func (s *screen) print(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// say prints a line with the time since the demo began.
func (s *screen) say(format string, args ...any) {
	fmt.Fprintf(s.out, "%6.1fs  "+format+"\n", append([]any{s.elapsed().Seconds()}, args...)...)
}

// facts prints global.discovery as the operator has it.
func (s *screen) facts(ctx context.Context, p *operator) error {
	text, err := p.ask(ctx, "global", "values", "-o", "yaml")
	if err != nil {
		return err
	}
	shown, err := discovered(text)
	if err != nil {
		return err
	}
	s.print("\nDiscovered facts (global.discovery):\n%s", indent(shown))
	return nil
}

// discovered is the section discovery of the global values. The API versions are hundreds, so only their number is told.
func discovered(global []byte) (string, error) {
	var all map[string]any
	if err := yaml.Unmarshal(global, &all); err != nil {
		return "", fmt.Errorf("read the global values: %w", err)
	}
	if inner, ok := all["global"].(map[string]any); ok {
		all = inner
	}
	facts, ok := all["discovery"].(map[string]any)
	if !ok || len(facts) == 0 {
		return "", fmt.Errorf("the global values hold no discovered facts:\n%s", global)
	}
	if versions, ok := facts["apiVersions"].([]any); ok {
		facts["apiVersions"] = fmt.Sprintf("%d versions and kinds", len(versions))
	}
	text, err := yaml.Marshal(facts)
	return string(text), err
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// table prints what kubectl says of the modules.
func (s *screen) table(ctx context.Context, c *cluster) error {
	text, err := c.kubectl(ctx, "get", "modules")
	if err != nil {
		return err
	}
	s.print("\n$ kubectl get modules\n%s", text)
	return nil
}

// hints tells how to look around and what to try.
func (s *screen) hints(o options, p *operator) {
	path := ""
	if dir := os.Getenv("LOCALCLUSTER_DIR"); dir != "" {
		path = " PATH=" + filepath.Join(dir, "bin") + ":$PATH"
	}
	s.print(`
In another terminal:

  export KUBECONFIG=%[1]s%[2]s DEBUG_UNIX_SOCKET=%[3]s

Six things to try; what happens is told here:

  1. Change a setting: only the release of prometheus gets a new revision.
       kubectl -n addon-operator edit configmap addon-operator     # prometheus: retention
  2. Make an invalid edit: nothing changes, and an Event says what is wrong.
       kubectl -n addon-operator patch configmap addon-operator --type merge -p '{"data":{"prometheus":"retention: 5 minutes"}}'
       kubectl get events -A --field-selector type=Warning
       kubectl -n addon-operator patch configmap addon-operator --type merge -p '{"data":{"prometheus":"retention: 30d"}}'
  3. Label a node: the discovered facts change, and the modules that read them.
       kubectl label node $(kubectl get nodes -o name -l dedicated!=ingress | head -1 | cut -d/ -f2) dedicated=ingress
       %[4]s/addon-operator global values | grep -A 10 ' nodes:'
  4. Delete something: it comes back within seconds, without a new revision.
       kubectl -n cert-manager delete deployment cert-manager-controller; kubectl -n cert-manager get deployments -w
  5. Ask why, and what would happen.
       %[4]s/addon-operator module explain ingress-nginx
       kubectl -n addon-operator get cm addon-operator -o yaml | sed 's/ingressNginxEnabled: "true"/ingressNginxEnabled: "false"/' | %[4]s/addon-operator plan -f -
  6. Switch a module off and on again.
       kubectl -n addon-operator patch configmap addon-operator --type merge -p '{"data":{"ingressNginxEnabled":"false"}}'
       kubectl -n addon-operator patch configmap addon-operator --type merge -p '{"data":{"ingressNginxEnabled":"true"}}'

The operator's log is %[5]s, its metrics are at http://127.0.0.1:%[6]d/metrics.
Ctrl-C stops everything and removes all files.

`, o.Kubeconfig, path, p.socket, filepath.Join(o.Root, "bin"), p.log, p.port)
}
