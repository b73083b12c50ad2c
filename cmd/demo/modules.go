package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// pollEvery is how often the modules are looked at; a list of a few objects costs nothing, and needs no CRD to begin.
const pollEvery = 200 * time.Millisecond

// maxLine keeps what is said of a module on one line of a wide terminal.
const maxLine = 120

// modules follows the Module resources and prints every change of their state.
type modules struct {
	client dynamic.Interface
	wanted []string
	screen *screen

	seen    map[string]string // line last printed, by module
	isReady map[string]bool
	last    error // of the last look
}

// enabledModules are the modules that a ConfigMap manifest switches on.
func enabledModules(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var cm corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &cm); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var names []string
	for key, value := range cm.Data {
		if section, ok := strings.CutSuffix(key, "Enabled"); ok && value == "true" {
			names = append(names, values.Name(section))
		}
	}
	slices.Sort(names)
	return names, nil
}

// until looks again and again until ok, until ctx ends or until the operator ended.
func (m *modules) until(ctx context.Context, p *process, ok func() bool) error {
	err := poll(ctx, []*process{p}, func() bool { m.look(ctx); return ok() })
	if err != nil && ctx.Err() != nil {
		return m.missing(err)
	}
	return err
}

// poll asks again and again until ok, until ctx ends or until a process ended.
func poll(ctx context.Context, running []*process, ok func() bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok() {
			return nil
		}
		for _, p := range running {
			select {
			case <-p.done:
				return errors.Join(fmt.Errorf("%s ended by itself", p.name), p.err)
			default:
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look lists the modules and prints what changed. A failing list is tried again: the API server may be restarting.
func (m *modules) look(ctx context.Context) {
	list, err := m.client.Resource(report.Resource).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return // the operator has not applied the CRD yet
	}
	m.last = err
	if err != nil {
		return
	}
	m.isReady = map[string]bool{}
	for _, item := range list.Items {
		state := stateOf(&item)
		m.isReady[item.GetName()] = state.ready
		line := state.String()
		if m.seen[item.GetName()] == line || (m.seen[item.GetName()] == "" && state.phase == "Disabled") {
			continue
		}
		m.seen[item.GetName()] = line
		m.screen.say("%-22s %s", item.GetName(), line)
	}
}

// ready says that every wanted module is.
func (m *modules) ready() bool {
	return !slices.ContainsFunc(m.wanted, func(name string) bool { return !m.isReady[name] })
}

// missing names the modules that are not ready.
func (m *modules) missing(cause error) error {
	var waiting []string
	for _, name := range m.wanted {
		if !m.isReady[name] {
			waiting = append(waiting, fmt.Sprintf("%s (%s)", name, m.seen[name]))
		}
	}
	return errors.Join(fmt.Errorf("waiting for %s: %w", strings.Join(waiting, ", "), cause), m.last)
}

// state is what a line says of a module.
type state struct {
	phase, reason, message string
	revision               int64
	ready                  bool
}

func stateOf(u *unstructured.Unstructured) (s state) {
	s.phase, _, _ = unstructured.NestedString(u.Object, "status", "phase")
	s.reason, _, _ = unstructured.NestedString(u.Object, "status", "reason")
	s.revision, _, _ = unstructured.NestedInt64(u.Object, "status", "revision")
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, entry := range conditions {
		if c, ok := entry.(map[string]any); ok && c["type"] == "Ready" {
			s.ready = c["status"] == "True"
			s.message, _ = c["message"].(string)
		}
	}
	return s
}

func (s state) String() string {
	text := s.phase
	if s.revision > 0 {
		text += fmt.Sprintf(", revision %d", s.revision)
	}
	if s.ready || s.phase == "Disabled" {
		return text
	}
	if s.reason != "" && s.reason != s.phase {
		text += ", " + s.reason
	}
	message, _, _ := strings.Cut(s.message, "\n")
	if message != "" {
		text += ": " + message
	}
	if cut := []rune(text); len(cut) > maxLine {
		return string(cut[:maxLine-1]) + "…"
	}
	return text
}
