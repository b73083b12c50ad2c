// Package migrate says what becomes of a cluster that the predecessor looks after
// when this operator takes its place: what is taken over, what differs, and what to
// change first. Rules are pure functions; who reads is package operator.
package migrate

import (
	"cmp"
	"fmt"
	"slices"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
)

// Kind is what a finding asks for.
type Kind string

const (
	// Change: something has to be changed before the operator is started.
	Change Kind = "change"
	// Step: something to do when the operators are exchanged.
	Step Kind = "step"
	// Differs: something works in another way here.
	Differs Kind = "differs"
	// Takes: what the operator will do with what is there.
	Takes Kind = "takes over"
)

func (k Kind) rank() int { return slices.Index([]Kind{Change, Step, Differs, Takes}, k) }

// Finding is one thing to know.
type Finding struct {
	Kind Kind `json:"kind"`
	// Object is what it is about: kind, and name with its namespace if it has one.
	Object string `json:"object"`
	// What is what was seen and what it means, WayOut what to do; empty where nothing is.
	What   string `json:"what"`
	WayOut string `json:"wayOut,omitempty"`
}

// Facts are what the rules look at.
type Facts struct {
	// Namespace and ConfigMap name the predecessor.
	Namespace, ConfigMap string
	// Operators are its Deployments.
	Operators []Operator
	// Settings is the data of its ConfigMap, nil if there is none.
	Settings map[string]string
	// Releases are the newest revisions in Secrets, Elsewhere the names of releases that are kept in ConfigMaps.
	Releases  []installed.Release
	Elsewhere []string
	// Modules are those of the directories; nil without any.
	Modules *module.Set
	// Hooks are what lint found.
	Hooks []Hook
	// Lease is the one of leader election, nil if there is none.
	Lease *coordinationv1.Lease
}

// Operator is a container that runs the predecessor.
type Operator struct {
	// Object is the Deployment as namespace/name, with its replicas.
	Object   string
	Replicas int32
	// Env has the variables that are set, those set from elsewhere with an empty value.
	Env map[string]string
}

// Hook is a finding of hook lint.
type Hook struct {
	// File is the hook's path; Refused is that the operator would not run it.
	File, Message, Fix string
	Refused            bool
}

func (f Facts) instance() string { return f.Namespace + "." + f.ConfigMap }

// Check applies all rules. What has to be changed comes first.
func Check(f Facts) []Finding {
	var out []Finding
	for _, look := range []func(Facts) []Finding{operators, lease, settingsMap, modules, hooks, releases} {
		out = append(out, look(f)...)
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(a.Kind.rank(), b.Kind.rank()) })
	return out
}

// Changes says whether something has to be changed first.
func Changes(found []Finding) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.Kind == Change })
}

func modules(f Facts) []Finding {
	if f.Modules == nil {
		return []Finding{{Step, "modules", "no directories of modules were given: releases, settings and hooks are judged without them",
			"run it again with --modules-dir and --global-hooks-dir, in the image of the predecessor or a checkout"}}
	}
	var out []Finding
	for _, name := range sortedKeys(f.Modules.Broken) {
		out = append(out, Finding{Change, "module " + name, f.Modules.Broken[name].Error(),
			"mend it; until then its release stays as it is, and other modules are not concerned"})
	}
	for _, m := range f.Modules.Modules {
		for _, w := range m.Warnings {
			out = append(out, Finding{Differs, "module " + m.Name, w, ""})
		}
	}
	for _, w := range f.Modules.Warnings {
		out = append(out, Finding{Differs, "modules", w, ""})
	}
	return out
}

func hooks(f Facts) []Finding {
	var out []Finding
	for _, h := range f.Hooks {
		kind := Differs
		if h.Refused {
			kind = Change
		}
		out = append(out, Finding{kind, "hook " + h.File, h.Message, cmp.Or(h.Fix, "`addon-operator hook lint` with its directory says more")})
	}
	return out
}

func lease(f Facts) []Finding {
	if f.Lease == nil || f.Lease.Spec.HolderIdentity == nil || *f.Lease.Spec.HolderIdentity == "" {
		return nil
	}
	return []Finding{{Step, fmt.Sprintf("Lease %s/%s", f.Lease.Namespace, f.Lease.Name),
		fmt.Sprintf("%s holds it; a replica here with ADDON_OPERATOR_HA=true waits until it is released or has expired", *f.Lease.Spec.HolderIdentity),
		"start the operator with ADDON_OPERATOR_HA=true, then scale the predecessor to 0"}}
}
