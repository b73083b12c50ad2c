package converge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/testkit"
	"github.com/addon-operator/addon-operator/pkg/values"
)

var rewrite = flag.Bool("rewrite", false, "write what scenarios do into their files")

// TestScenarios runs testdata/scenarios: blocks of commands, each followed by the
// effects that they have on the outside world. See testdata/scenarios/README.md. Among them:
// C-425 (disable-enable, removal-cut-short), C-426 and C-427 (purge), C-435 and C-437
// (recover), C-432 (rollback).
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("../../testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, file) })
		})
	}
}

func play(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{world: testkit.NewWorld(map[string]string{}), schemas: map[string]string{}, patience: 15 * time.Second}
	defer s.stop()
	var out strings.Builder
	for _, b := range blocks(string(text)) {
		got := s.run(t, b.commands)
		if got != b.want && !*rewrite {
			t.Errorf("%s:\n%s----\n%swant\n%s", filepath.Base(file), strings.Join(b.commands, "\n")+"\n", got, b.want)
		}
		fmt.Fprintf(&out, "%s\n----\n%s\n", strings.Join(b.commands, "\n"), got)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.TrimSuffix(out.String(), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type block struct {
	commands []string
	want     string
}

// blocks are commands, a line ----, and effects up to an empty line.
func blocks(text string) []block {
	var out []block
	var b block
	effects := false
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		line := s.Text()
		switch {
		case line == "----":
			effects = true
		case effects && line == "":
			out = append(out, b)
			b, effects = block{}, false
		case effects:
			b.want += line + "\n"
		default:
			b.commands = append(b.commands, line)
		}
	}
	if effects {
		out = append(out, b)
	}
	return out
}

type scenario struct {
	world    *testkit.World
	modules  []*module.Descriptor
	broken   map[string]error
	static   values.Map
	schemas  map[string]string
	patience time.Duration

	loop   *converge.Loop
	cancel context.CancelFunc
	ended  chan struct{}
}

// settleTime is how long a block lasts when it does not say more: less than a retry.
const settleTime = 700 * time.Millisecond

func (s *scenario) run(t *testing.T, commands []string) string {
	var out strings.Builder
	for _, c := range commands {
		words := strings.Fields(c)
		if len(words) == 0 || strings.HasPrefix(c, "#") {
			continue
		}
		text, err := s.do(words, strings.TrimSpace(strings.TrimPrefix(c, words[0])))
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		out.WriteString(text)
	}
	advance(settleTime)
	synctest.Wait()
	for _, e := range s.world.Effects() {
		out.WriteString(e + "\n")
	}
	return out.String()
}

func (s *scenario) do(words []string, rest string) (string, error) {
	switch words[0] {
	case "module":
		return "", s.module(words[1:])
	case "schema":
		key, text, _ := strings.Cut(rest, " ")
		s.schemas[key] = text
	case "static":
		v, err := values.DecodeYAML([]byte(rest))
		s.static, _ = v.(values.Map)
		return "", err
	case "hook":
		return "", s.hook(words[1:])
	case "unhook":
		s.world.RemoveHook(id(words[1]))
	case "does":
		return "", s.does(id(words[1]), words[2], strings.Join(words[3:], " "))
	case "script":
		s.world.Script(words[1], strings.Join(words[2:], " "))
	case "fail":
		action, message, _ := strings.Cut(rest+" ", ": ")
		s.world.Fail(action, strings.TrimSpace(message))
	case "renders":
		s.world.Renders(words[1], words[2:]...)
	case "release":
		return "", s.release(words[1], words[2])
	case "patience":
		d, err := time.ParseDuration(words[1])
		s.patience = d
		return "", err
	case "configmap":
		return s.configMap(words[1:], rest)
	case "start":
		return "", s.start()
	case "stop":
		return s.stop(), nil
	case "advance":
		d, err := time.ParseDuration(words[1])
		advance(d)
		synctest.Wait()
		return "", err
	case "object":
		s.world.Object(id(words[1]), words[2], hook.WatchEvent(words[3]), strings.Join(words[4:], " "))
	case "appear":
		s.world.Appear(id(words[1]), words[2])
	case "tick":
		s.world.Tick(id(words[1]))
	case "drift":
		s.world.Drift(words[1], object.Drift{Ref: object.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "addon-operator", Name: words[2]},
			Manager: strings.Join(words[3:], " ")})
	case "health":
		s.world.SetHealth(words[1], object.State(words[2]))
	case "replace":
		set, err := s.set()
		if err != nil {
			return "", err
		}
		return "", s.loop.Replace(context.Background(), set)
	case "look":
		s.world.Look(words[1], words[2], strings.Join(words[3:], " "))
	case "hold":
		s.world.HoldObjects(words[1], words[2] == "true")
	case "status":
		return s.status(words[1:]), nil
	case "facts":
		return s.showFacts()
	case "progress":
		published, converged, unsettled := s.loop.Progress()
		return fmt.Sprintf("published %v, converged %v, unsettled %d\n", published, converged, unsettled), nil
	default:
		return "", errors.New("unknown command")
	}
	return "", nil
}

// id reads owner/hook.
func id(text string) hook.ID {
	owner, name, _ := strings.Cut(text, "/")
	if owner == "global" {
		owner = ""
	}
	return hook.ID{Owner: hook.Owner{Module: owner}, Name: name}
}

// module reads 100-name and key=value.
func (s *scenario) module(words []string) error {
	weight, name, _ := strings.Cut(words[0], "-")
	n, err := strconv.Atoi(weight)
	if err != nil {
		return err
	}
	on := true
	d := &module.Descriptor{Name: name, Key: values.Key(name), Weight: n, Version: "1.0.0", HasChart: true, HooksDir: "/" + name,
		StaticEnabled: &on, Digest: name}
	s.modules = slices.DeleteFunc(s.modules, func(m *module.Descriptor) bool { return m.Name == name })
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "off":
			d.StaticEnabled = nil
		case "gone":
			return nil
		case "broken":
			s.broken = map[string]error{name: errors.New("unreadable")}
			return nil
		case "nochart":
			d.HasChart = false
		case "onFailure":
			d.OnFailure = module.FailurePolicy(value)
		case "script":
			d.EnabledScript = "/enabled"
		case "health":
			d.Health = append(d.Health, module.HealthCheck{Name: value, HTTP: "http://" + value})
		case "requires":
			r, version, _ := strings.Cut(value, ":")
			d.Requires = append(d.Requires, module.Requirement{Module: r, Version: version})
		case "wants":
			d.Wants = append(d.Wants, value)
		case "inputs":
			d.Inputs = strings.Split(value, ",")
		case "exports":
			d.Exports = strings.Split(value, ",")
		case "namespace":
			d.Namespace = value
		case "crd":
			d.CRDs = append(d.CRDs, module.CRD{Name: value})
		case "version":
			d.Version = value
		case "digest":
			d.Digest = value
		case "static":
			v, err := values.DecodeYAML([]byte(value))
			if err != nil {
				return err
			}
			d.Static, _ = v.(values.Map)
		default:
			return fmt.Errorf("unknown %s", key)
		}
	}
	s.modules = append(s.modules, d)
	return nil
}

// hook reads owner/name and binding=order, watch=name:option:…, every=name:option:…
func (s *scenario) hook(words []string) error {
	h := hook.Hook{ID: id(words[0]), Digest: "d", Spec: hook.Spec{Version: "v1", Orders: map[hook.Binding]float64{}}}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "v0":
			h.Spec.Version = "v0"
		case "watch":
			r, opts := route(value)
			k := hook.Kubernetes{Route: r, Kind: "Pod", OnSynchronization: !slices.Contains(opts, "nosync"),
				WaitForSynchronization: !slices.Contains(opts, "nowait")}
			h.Spec.Kubernetes = append(h.Spec.Kubernetes, k)
		case "every":
			r, _ := route(value)
			h.Spec.Schedules = append(h.Spec.Schedules, hook.Schedule{Route: r, Crontab: h.ID.String()})
		case "interval":
			d, err := time.ParseDuration(value)
			if err != nil {
				return err
			}
			h.Spec.MinInterval, h.Spec.Burst = d, 1
		default:
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return err
			}
			h.Spec.Orders[hook.Binding(key)] = n
		}
	}
	s.world.Hook(h)
	return nil
}

func route(text string) (hook.Route, []string) {
	parts := strings.Split(text, ":")
	r := hook.Route{Name: parts[0], Queue: "main"}
	for _, p := range parts[1:] {
		switch key, value, _ := strings.Cut(p, "="); key {
		case "queue":
			r.Queue = value
		case "group":
			r.Group = value
		case "allowFailure":
			r.AllowFailure = true
		}
	}
	return r, parts[1:]
}

// does sets what a hook does: nothing, fail, hang, or what it writes.
func (s *scenario) does(h hook.ID, what, arg string) error {
	var out hook.Output
	var err error
	switch what {
	case "nothing":
		s.world.Behave(h, nil)
		return nil
	case "fail":
		s.world.Behave(h, func(context.Context, map[string]any) (hook.Output, error) { return hook.Output{}, errors.New(arg) })
		return nil
	case "hang":
		s.world.Behave(h, hang)
		return nil
	case "slow": // half a second
		s.world.Behave(h, func(context.Context, map[string]any) (hook.Output, error) {
			advance(500 * time.Millisecond)
			return hook.Output{}, nil
		})
		return nil
	case "count": // writes another number each time
		n := 0
		s.world.Behave(h, func(context.Context, map[string]any) (hook.Output, error) {
			n++
			return hook.Output{Values: []values.Op{{Op: "add", Path: arg, Value: int64(n)}}}, nil
		})
		return nil
	case "copy": // global.a /path
		from, to, _ := strings.Cut(arg, " ")
		s.world.Behave(h, func(_ context.Context, v map[string]any) (hook.Output, error) {
			found, _ := values.Get(values.Normalize(v), strings.Split(from, ".")...)
			return hook.Output{Values: []values.Op{{Op: "add", Path: to, Value: found}}}, nil
		})
		return nil
	case "values":
		out.Values, err = values.ParsePatch([]byte(arg))
	case "config":
		out.Config, err = values.ParsePatch([]byte(arg))
	case "all": // every kind of output at once
		if out.Values, err = values.ParsePatch([]byte(arg)); err == nil {
			out.Config = out.Values
		}
		out.Operations = []hook.Operation{{Verb: hook.Create, Kind: "ConfigMap", Name: "made"}}
		out.Samples = []hook.Sample{{Name: "m", Action: "set"}}
	case "metric":
		out.Samples = []hook.Sample{{Name: arg, Action: "set"}}
	default:
		err = errors.New("unknown behaviour")
	}
	s.world.Behave(h, func(context.Context, map[string]any) (hook.Output, error) { return out, nil })
	return err
}

func hang(ctx context.Context, _ map[string]any) (hook.Output, error) {
	t := time.NewTimer(10 * time.Minute)
	defer t.Stop()
	select {
	case <-t.C:
		return hook.Output{}, errors.New("no result within 10m0s")
	case <-ctx.Done():
		return hook.Output{}, context.Cause(ctx)
	}
}

func (s *scenario) release(name, what string) error {
	r := installed.Release{Name: name, Revision: 3, Status: installed.Deployed}
	switch what {
	case "ours":
		r.Instance = testkit.Instance
		r.Labels = map[string]string{"addon-operator.io/origin": "embedded"}
	case "pending":
		r.Instance, r.Status = testkit.Instance, installed.PendingUpgrade
	case "uninstalling":
		r.Instance, r.Status = testkit.Instance, installed.Uninstalling
	case "predecessor":
		r.PredecessorChecksum = "x"
	case "foreign":
	default:
		return errors.New("unknown kind of release")
	}
	s.world.Seed(r)
	return nil
}

func (s *scenario) configMap(words []string, rest string) (string, error) {
	edit := s.world.Edit
	switch words[0] {
	case "delete":
		s.world.DeleteConfigMap()
		return "", nil
	case "show":
		text, err := json.Marshal(s.world.ConfigMap())
		return string(text) + "\n", err
	case "before-patch":
		edit = s.world.EditBeforePatch
		rest = strings.TrimSpace(strings.TrimPrefix(rest, words[0]))
	}
	changes := map[string]string{}
	for _, part := range strings.Split(rest, ";") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return "", errors.New("expected key=text")
		}
		changes[key] = value
	}
	edit(changes)
	return "", nil
}

func (s *scenario) start() error {
	set, err := s.set()
	if err != nil {
		return err
	}
	facts := s.world.Facts()
	st, err := store.New(set, facts)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	s.loop = converge.New(converge.Config{Modules: set, Store: st, Settings: s.world.Settings(), Facts: facts, GlobalHooksDir: "/global",
		Namespace: "addon-operator", Instance: testkit.Instance, OrderPatience: s.patience, Ports: s.world.Ports(), Logger: log})
	s.world.Attach(s.loop)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan struct{})
	go func() {
		defer close(s.ended)
		_ = s.loop.Run(ctx)
	}()
	return nil
}

// set is what reading the modules' directories gives.
func (s *scenario) set() (*module.Set, error) {
	set := &module.Set{GlobalStatic: s.static, Broken: s.broken}
	for _, m := range s.modules {
		if text := s.schemas[m.Key]; text != "" {
			loaded, err := schema.Load([]byte(text), nil)
			if err != nil {
				return nil, err
			}
			m.Schemas = loaded
		}
		set.Modules = append(set.Modules, m)
	}
	if text := s.schemas["global"]; text != "" {
		loaded, err := schema.Load([]byte(text), []byte(text))
		if err != nil {
			return nil, err
		}
		set.GlobalSchema = loaded
	}
	slices.SortFunc(set.Modules, func(a, b *module.Descriptor) int {
		if a.Weight != b.Weight {
			return a.Weight - b.Weight
		}
		return strings.Compare(a.Name, b.Name)
	})
	return set, nil
}

// stop ends the operator and says how long that took.
func (s *scenario) stop() string {
	if s.cancel == nil {
		return ""
	}
	began := time.Now()
	s.cancel()
	<-s.ended
	s.cancel = nil
	return fmt.Sprintf("stopped after %s\n", time.Since(began).Round(time.Second))
}

func (s *scenario) status(names []string) string {
	var out strings.Builder
	if len(names) == 0 {
		for _, m := range s.modules {
			names = append(names, m.Name)
		}
	}
	for _, name := range names {
		m := s.world.Status(name)
		fmt.Fprintf(&out, "%s enabled=%v %s revision=%d", name, m.Enabled, m.Phase, m.Revision)
		for _, c := range m.Conditions {
			if c.Type == "Ready" {
				message, _, _ := strings.Cut(c.Message, " (next try")
				fmt.Fprintf(&out, " Ready=%v %s: %s", c.Status, c.Reason, timeless(message))
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// timeless cuts the time of day, which differs with random backoffs.
func timeless(message string) string {
	before, _, ok := strings.Cut(message, " since ")
	if ok {
		return before + " since …"
	}
	return message
}

func (s *scenario) showFacts() (string, error) {
	f := s.world.Facts()
	var out strings.Builder
	for _, owner := range slices.Sorted(maps.Keys(f.Sets)) {
		for _, name := range slices.Sorted(maps.Keys(f.Sets[owner])) {
			var ops []string
			for _, op := range f.Sets[owner][name].Ops {
				text, err := json.Marshal(op.Value)
				if err != nil {
					return "", err
				}
				ops = append(ops, fmt.Sprintf("%s %s %s", op.Op.Op, op.Path, text))
			}
			fmt.Fprintf(&out, "%s/%s %s\n", owner, name, strings.Join(ops, ", "))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.Flags)) {
		fmt.Fprintf(&out, "flag %s %v by %s\n", key, f.Flags[key].On, f.Flags[key].Hook)
	}
	text, err := json.Marshal(f.Decisions)
	fmt.Fprintf(&out, "decisions %s\n", text)
	return out.String(), err
}
