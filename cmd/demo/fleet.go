package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/addon-operator/addon-operator/pkg/report"
)

// clusterReady is in the line that localcluster prints when its control plane is ready.
const clusterReady = "ready in "

// member is one cluster of the fleet, with its operator.
type member struct {
	*cluster
	control  *process
	operator *operator

	seen     map[string]string // line last printed, by release
	releases map[string]release
	module   state
}

// release is what a ModuleRelease says, by version; the demo has one module.
type release struct{ phase, reason, message, digest string }

func (r release) String() string {
	text := r.phase
	if r.reason != "" {
		text += ", " + r.reason
	}
	return text
}

// fleet is the clusters of the demo.
type fleet struct {
	members []*member
	screen  *screen
	last    error // of the last look
}

// start starts a control plane with the operator in it, and no module or hook but those that come from sources.
func (f *fleet) start(ctx context.Context, o options, dir, name, settings string) error {
	dir = filepath.Join(dir, name)
	for _, d := range []string{"modules", "global-hooks", "cluster"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	m := &member{seen: map[string]string{}}
	f.members = append(f.members, m)
	if err := m.startControlPlane(ctx, o, dir, name); err != nil {
		return err
	}
	if err := m.install(ctx, o.Root, settings); err != nil {
		return err
	}
	var err error
	m.operator, err = m.startOperator(ctx, o, dir, filepath.Join(dir, "modules"), filepath.Join(dir, "global-hooks"))
	if err != nil {
		return err
	}
	f.screen.say("cluster %s: a control plane, and the operator with no module; its log is %s", name, m.operator.log)
	return f.wait(ctx, o, "the operators to make the resource ModuleSource", func() bool { return m.served(ctx) })
}

// startControlPlane starts localcluster and connects to it.
func (m *member) startControlPlane(ctx context.Context, o options, dir, name string) error {
	binary, err := o.built("localcluster")
	if err != nil {
		return err
	}
	own, log := filepath.Join(dir, "cluster"), filepath.Join(dir, "cluster.log")
	kubeconfig := filepath.Join(dir, "kubeconfig")
	m.control, err = startProcess("the control plane of cluster "+name, log, exec.Command(binary, "up", "--dir", own, "--kubeconfig", kubeconfig))
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	err = poll(limited, []*process{m.control}, func() bool {
		text, err := os.ReadFile(log)
		return err == nil && bytes.Contains(text, []byte(clusterReady))
	})
	if err != nil {
		return m.control.explain(fmt.Errorf("wait for %s: %w", m.control.name, err))
	}
	if m.cluster, err = connect(kubeconfig); err != nil {
		return err
	}
	m.name, m.dir = name, own
	return nil
}

// served says that ModuleSources can be made.
func (m *member) served(ctx context.Context) bool {
	_, err := m.dynamic.Resource(report.Sources).List(ctx, metav1.ListOptions{Limit: 1})
	return err == nil
}

// stop ends the operators, then the control planes.
func (f *fleet) stop() error {
	var errs []error
	for _, m := range f.members {
		if m.operator != nil && m.operator.process != nil {
			errs = append(errs, m.operator.stop())
		}
	}
	for _, m := range f.members {
		if m.control != nil {
			errs = append(errs, m.control.stop())
		}
	}
	return errors.Join(errs...)
}

// wait looks at all clusters, printing what changes, until ok; what is named in the error when that takes too long.
func (f *fleet) wait(ctx context.Context, o options, what string, ok func() bool) error {
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	err := f.until(limited, ok)
	if err == nil || ctx.Err() != nil {
		return err
	}
	err = errors.Join(fmt.Errorf("waited for %s, which did not come true within %s: %w", what, o.Timeout, err), f.last)
	for _, m := range f.members {
		if m.operator != nil && m.operator.process != nil {
			err = m.operator.explain(err)
		}
	}
	return err
}

// until is wait without a bound but that of ctx.
func (f *fleet) until(ctx context.Context, ok func() bool) error {
	var running []*process
	for _, m := range f.members {
		running = append(running, m.control)
		if m.operator != nil {
			running = append(running, m.operator.process)
		}
	}
	return poll(ctx, running, func() bool {
		f.last = nil
		for _, m := range f.members {
			f.last = errors.Join(f.last, m.look(ctx, f.screen))
		}
		return ok()
	})
}

// look reads modules and releases of a cluster and prints the releases that changed.
func (m *member) look(ctx context.Context, s *screen) error {
	list, err := m.dynamic.Resource(report.Releases).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil //nolint:nilerr // the operator has not applied the CRD yet; wait tells what it waits for
	}
	m.releases = map[string]release{}
	slices.SortFunc(list.Items, func(a, b unstructured.Unstructured) int {
		return a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time)
	})
	for _, item := range list.Items {
		status, _, _ := unstructured.NestedMap(item.Object, "status")
		field := func(name string) string { text, _ := status[name].(string); return text }
		r, version := release{field("phase"), field("reason"), field("message"), field("digest")}, field("version")
		m.releases[version] = r
		if line := r.String(); r.phase != "" && m.seen[version] != line {
			m.seen[version] = line
			s.say("%s  %s %s: %s", m.name, field("module"), version, line)
		}
	}
	modules, err := m.dynamic.Resource(report.Resource).List(ctx, metav1.ListOptions{})
	if err == nil && len(modules.Items) > 0 {
		m.module = stateOf(&modules.Items[0])
	}
	return err
}

// runs says that a version is deployed, and the module Ready.
func (m *member) runs(version string) bool {
	return m.releases[version].phase == "Deployed" && m.module.ready
}

// tables prints what kubectl says in every cluster.
func (f *fleet) tables(ctx context.Context) error {
	for _, m := range f.members {
		text, err := m.kubectl(ctx, "get", "modulesources,modulereleases,modules")
		if err != nil {
			return err
		}
		f.screen.print("\n$ kubectl get modulesources,modulereleases,modules    # cluster %s\n%s", m.name, text)
	}
	f.screen.print("\n")
	return nil
}
