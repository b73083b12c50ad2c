package hooklint

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// describe tells what a hook asked for, one line for each binding.
func describe(s hook.Spec) []string {
	var out []string
	for _, b := range []hook.Binding{hook.OnStartup, hook.BeforeAll, hook.AfterAll, hook.BeforeHelm, hook.AfterHelm, hook.BeforeDeleteHelm, hook.AfterDeleteHelm} {
		if order, ok := s.Orders[b]; ok {
			out = append(out, string(b)+" "+strconv.FormatFloat(order, 'g', -1, 64))
		}
	}
	for _, b := range s.Schedules {
		out = append(out, "schedule "+b.Name+" ("+join(b.Crontab, route(b.Route))+")")
	}
	for _, b := range s.Kubernetes {
		out = append(out, "kubernetes "+b.Name+" ("+join(kindOf(b), eventsOf(b), selectionOf(b), filterOf(b), route(b.Route))+")")
	}
	for _, b := range s.Admissions {
		kind := "kubernetesValidating "
		if b.Mutating {
			kind = "kubernetesMutating "
		}
		out = append(out, kind+b.Name+" ("+join(rulesOf(b), string(b.FailurePolicy), route(b.Route))+")")
	}
	for _, b := range s.Conversions {
		var steps []string
		for _, r := range b.Rules {
			steps = append(steps, r.From+" > "+r.To)
		}
		out = append(out, "kubernetesCustomResourceConversion "+b.Name+" ("+join(b.CRD, strings.Join(steps, " "), route(b.Route))+")")
	}
	return out
}

func join(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, ", ")
}

func route(r hook.Route) string {
	var parts []string
	if r.Group != "" {
		parts = append(parts, "group "+r.Group)
	}
	if r.Queue != hook.DefaultQueue && r.Queue != "" {
		parts = append(parts, "queue "+r.Queue)
	}
	if r.AllowFailure {
		parts = append(parts, "may fail")
	}
	return strings.Join(parts, ", ")
}

func kindOf(b hook.Kubernetes) string {
	if b.APIVersion == "" {
		return b.Kind
	}
	return b.APIVersion + "/" + b.Kind
}

func eventsOf(b hook.Kubernetes) string {
	names := make([]string, 0, 4)
	if b.OnSynchronization {
		names = append(names, "Synchronization")
	}
	for _, e := range b.Events {
		names = append(names, string(e))
	}
	if len(names) == 0 {
		return "snapshot only"
	}
	return strings.Join(names, ",")
}

// selectionOf names what narrows the binding down.
func selectionOf(b hook.Kubernetes) string {
	var parts []string
	switch {
	case len(b.Names) > 3:
		parts = append(parts, fmt.Sprintf("%d names", len(b.Names)))
	case len(b.Names) > 0:
		parts = append(parts, strings.Join(b.Names, " "))
	}
	switch {
	case b.NamespaceLabels != nil:
		parts = append(parts, "in namespaces by label")
	case len(b.Namespaces) > 3:
		parts = append(parts, fmt.Sprintf("in %d namespaces", len(b.Namespaces)))
	case len(b.Namespaces) > 0:
		parts = append(parts, "in "+strings.Join(b.Namespaces, " "))
	}
	if b.Labels != nil {
		parts = append(parts, "by label")
	}
	if b.Fields != "" {
		parts = append(parts, b.Fields)
	}
	return strings.Join(parts, ", ")
}

func filterOf(b hook.Kubernetes) string {
	switch {
	case b.Filter != nil && !b.KeepFullObjects:
		return "filtered"
	case b.Filter != nil:
		return "filtered and whole"
	}
	return ""
}

func rulesOf(b hook.Admission) string {
	var out []string
	for _, r := range b.Rules {
		ops := make([]string, len(r.Operations))
		for i, o := range r.Operations {
			ops[i] = string(o)
		}
		out = append(out, strings.Join(ops, ",")+" "+strings.Join(r.Resources, ","))
	}
	return strings.Join(out, "; ")
}
