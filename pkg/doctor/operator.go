package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The environment variables of a Deployment that say what its operator does.
const (
	envNamespace = "ADDON_OPERATOR_NAMESPACE"
	envConfigMap = "ADDON_OPERATOR_CONFIG_MAP"
	envHA        = "ADDON_OPERATOR_HA"
)

// predecessorImage is what images of the existing addon-operator are called.
var predecessorImage = regexp.MustCompile(`(^|/)flant/addon-operator($|[:@])`)

// deployed is a Deployment that runs an operator.
type deployed struct {
	appsv1.Deployment
	configMap   string
	ha          bool
	predecessor bool
}

func (d deployed) object() string { return fmt.Sprintf("Deployment %s/%s", d.Namespace, d.Name) }

func (d deployed) replicas() int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// deployments are the Deployments of the namespace that run operators with the ConfigMap looked at.
func (f Facts) deployments() []deployed {
	var out []deployed
	for _, d := range f.Deployments {
		one := deployed{Deployment: d, configMap: "addon-operator"}
		runs := d.Labels["app.kubernetes.io/name"] == "addon-operator"
		for _, c := range d.Spec.Template.Spec.Containers {
			if predecessorImage.MatchString(c.Image) {
				runs, one.predecessor = true, true
			}
			for _, e := range c.Env {
				switch e.Name {
				case envNamespace:
					runs = true
				case envConfigMap:
					one.configMap = cmp.Or(e.Value, one.configMap)
				case envHA:
					one.ha = e.Value == "true"
				}
			}
		}
		if runs && one.configMap == f.ConfigMap {
			out = append(out, one)
		}
	}
	return out
}

// operators: one Deployment, of one replica or with high availability.
func operators(f Facts) []Finding {
	all := f.deployments()
	var out []Finding
	var active []deployed
	for _, d := range all {
		out = append(out, scale(d)...)
		if d.replicas() > 0 {
			active = append(active, d)
		}
	}
	if len(all) == 0 && !f.alive() {
		out = append(out, Finding{Error, "Namespace " + f.Namespace, "no Deployment of an operator with " + f.settingsName() + " is here",
			"one operator", "install it as deploy/README.md says, or name its place with --namespace and --config-map"})
	}
	if len(active) > 1 {
		out = append(out, twice(active)...)
	} else if len(active) == 1 && active[0].predecessor && f.OwnCRDs[modulesCRD] != nil {
		out = append(out, Finding{Warning, active[0].object(), "the predecessor's operator runs where this one was",
			"one of the two", "see `addon-operator migrate check`, then scale this Deployment to 0 and start the operator of deploy/"})
	}
	return out
}

// alive says whether an operator shows itself though no Deployment does.
func (f Facts) alive() bool {
	if f.Socket != nil && f.Socket.Problem == "" {
		return true
	}
	return f.Lease != nil && f.Lease.Spec.RenewTime != nil && !f.leaseEnd().Before(f.Now)
}

func scale(d deployed) []Finding {
	switch {
	case d.replicas() == 0 && !d.predecessor:
		return []Finding{{Error, d.object(), "is scaled to 0: nothing is installed, repaired or discovered", "a replica",
			fmt.Sprintf("kubectl -n %s scale deployment %s --replicas=1", d.Namespace, d.Name)}}
	case d.replicas() > 1 && !d.ha && !d.predecessor:
		return []Finding{{Error, d.object(), fmt.Sprintf("has %d replicas without an election: they undo each other's work", d.replicas()),
			"one replica, or high availability", fmt.Sprintf("set %s=true in its environment, or kubectl -n %s scale deployment %s --replicas=1",
				envHA, d.Namespace, d.Name)}}
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return []Finding{{Error, d.object(), "its pods cannot be created: " + c.Message, "pods that the namespace admits",
				"correct what the message names: quota, Pod Security level of the namespace, ServiceAccount, admission policies"}}
		}
	}
	return nil
}

func twice(active []deployed) []Finding {
	var out []Finding
	for i, d := range active {
		others := slices.Delete(slices.Clone(active), i, i+1)
		what := "another operator of the same ConfigMap"
		if d.predecessor {
			what = "an operator of the predecessor with the same ConfigMap"
		}
		out = append(out, Finding{Error, d.object(), fmt.Sprintf("is %s as %s: they undo each other's work", what, others[0].object()),
			"one operator for one ConfigMap", fmt.Sprintf("keep one and stop the other, such as kubectl -n %s scale deployment %s --replicas=0", d.Namespace, d.Name)})
	}
	// The one to stop is enough: that of the predecessor, if one of them is.
	if i := slices.IndexFunc(active, func(d deployed) bool { return d.predecessor }); i >= 0 {
		return out[i : i+1]
	}
	return out[len(out)-1:]
}

// pods of the operator: there, started, Ready.
func pods(f Facts) []Finding {
	var out []Finding
	for _, d := range f.deployments() {
		selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		if err != nil || d.replicas() == 0 || d.predecessor {
			continue
		}
		for _, p := range f.Pods {
			if selector.Matches(labels.Set(p.Labels)) && p.DeletionTimestamp == nil {
				out = append(out, f.pod(p)...)
			}
		}
	}
	return out
}

// Patience with what may be under way.
const (
	slow         = 5 * time.Minute
	manyRestarts = 3
)

func (f Facts) pod(p corev1.Pod) []Finding {
	object := fmt.Sprintf("Pod %s/%s", p.Namespace, p.Name)
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return []Finding{{Error, object, "cannot be scheduled: " + c.Message, "a node for it",
				"make room, or add a toleration or node selector to the operator's Deployment"}}
		}
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if found := f.container(object, p, c); len(found) > 0 {
			return found
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse && p.Status.Phase == corev1.PodRunning &&
			f.Now.Sub(c.LastTransitionTime.Time) > slow {
			return []Finding{{Warning, object, "is not Ready for " + f.age(c.LastTransitionTime.Time) + ": not everything was attempted since it began",
				"Ready after the first attempt at all modules", fmt.Sprintf("look for what holds it up: kubectl -n %s exec %s -- addon-operator queue list, "+
					"kubectl -n %s logs %s", p.Namespace, p.Name, p.Namespace, p.Name)}}
		}
	}
	return nil
}

// starting are reasons of waiting that pass by themselves.
func starting(reason string) bool {
	return reason == "ContainerCreating" || reason == "PodInitializing"
}

func (f Facts) container(object string, p corev1.Pod, c corev1.ContainerStatus) []Finding {
	logs := fmt.Sprintf("kubectl -n %s logs %s -c %s --previous", p.Namespace, p.Name, c.Name)
	w := c.State.Waiting
	switch {
	case w != nil && (strings.Contains(w.Reason, "Image") || w.Reason == "RegistryUnavailable"):
		return []Finding{{Error, object, join("image "+c.Image+" cannot be had", w.Reason, w.Message), "an image that nodes can pull",
			"correct the image in the operator's Deployment, or give it an imagePullSecret: " +
				fmt.Sprintf("kubectl -n %s set image deployment/NAME %s=REGISTRY/IMAGE:TAG", p.Namespace, c.Name)}}
	case w != nil && w.Reason == "CrashLoopBackOff":
		return []Finding{{Error, object, fmt.Sprintf("container %s ends again and again, %d times so far%s", c.Name, c.RestartCount, ended(c)),
			"a container that goes on running", "the last lines of its log say why: " + logs + memory(c)}}
	case w != nil && !starting(w.Reason):
		return []Finding{{Error, object, join("container "+c.Name+" cannot start", w.Reason, w.Message), "a container that starts",
			"correct what the message names in the operator's Deployment"}}
	case c.RestartCount >= manyRestarts:
		return []Finding{{Warning, object, fmt.Sprintf("container %s has been restarted %d times%s", c.Name, c.RestartCount, ended(c)),
			"no restarts", "the last lines of its log say why: " + logs + memory(c)}}
	}
	return nil
}

func ended(c corev1.ContainerStatus) string {
	t := c.LastTerminationState.Terminated
	if t == nil {
		return ""
	}
	return fmt.Sprintf("; last by %s with exit code %d", cmp.Or(t.Reason, "itself"), t.ExitCode)
}

func memory(c corev1.ContainerStatus) string {
	if t := c.LastTerminationState.Terminated; t != nil && t.Reason == "OOMKilled" {
		return "; it needs a higher memory limit, and GOMEMLIMIT with it"
	}
	return ""
}

// skew is how far ahead of the API server's the clock of a holder may be; a request takes its time.
const skew = 5 * time.Second

func (f Facts) leaseEnd() time.Time {
	seconds := int32(15)
	if f.Lease.Spec.LeaseDurationSeconds != nil {
		seconds = *f.Lease.Spec.LeaseDurationSeconds
	}
	return f.Lease.Spec.RenewTime.Add(time.Duration(seconds) * time.Second)
}

// leader: with high availability somebody holds the Lease and renews it.
func leader(f Facts) []Finding {
	ha := slices.ContainsFunc(f.deployments(), func(d deployed) bool { return d.ha && d.replicas() > 0 })
	if !ha {
		return nil
	}
	if f.Lease == nil {
		return []Finding{{Error, "Namespace " + f.Namespace, "has no Lease: no replica has ever led", "a Lease that one replica holds",
			"see the logs of the operator's pods; they need the rights of deploy/rbac.yaml on leases.coordination.k8s.io"}}
	}
	object := fmt.Sprintf("Lease %s/%s", f.Lease.Namespace, f.Lease.Name)
	logs := fmt.Sprintf("see the pods and their logs: kubectl -n %s get pods", f.Namespace)
	holder := ""
	if f.Lease.Spec.HolderIdentity != nil {
		holder = *f.Lease.Spec.HolderIdentity
	}
	switch {
	case holder == "" || f.Lease.Spec.RenewTime == nil:
		return []Finding{{Error, object, "is held by nobody: no replica acts", "a holder", logs}}
	case f.leaseEnd().Before(f.Now):
		return []Finding{{Error, object, fmt.Sprintf("was renewed last %s ago by %s and has run out: no replica acts", f.age(f.Lease.Spec.RenewTime.Time), holder),
			"a renewal every few seconds", logs + "; a replica that can reach the API server takes over by itself"}}
	case f.Lease.Spec.RenewTime.Sub(f.Now) > skew:
		return []Finding{{Warning, object, fmt.Sprintf("was renewed by %s %s after the time of the API server: their clocks differ", holder,
			f.Lease.Spec.RenewTime.Sub(f.Now).Round(time.Second)), "clocks that agree", "set the clocks of the nodes by NTP; elections go by each one's own"}}
	}
	return nil
}

func socket(f Facts) []Finding {
	if f.Socket == nil || f.Socket.Problem == "" {
		return nil
	}
	return []Finding{{Warning, "Socket " + f.Socket.Path, "is there and nobody answers: " + f.Socket.Problem, "an operator that answers",
		"the operator that made it has ended or hangs: see its log, or name another socket with --debug-unix-socket"}}
}

// rights: what deploy/rbac.yaml grants is granted.
func rights(f Facts) []Finding {
	type place struct{ group, resource, namespace string }
	verbs := map[place][]string{}
	for _, r := range f.Denied {
		p := place{r.Group, r.Resource, r.Namespace}
		verbs[p] = append(verbs[p], r.Verb)
	}
	order := slices.SortedFunc(maps.Keys(verbs), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.resource, b.resource), cmp.Compare(a.namespace, b.namespace))
	})
	var out []Finding
	for _, p := range order {
		what := strings.TrimSuffix(p.resource+"."+p.group, ".")
		if p.resource == "*" {
			what = "all resources"
		}
		where := "in all namespaces"
		if p.namespace != "" {
			where = "in namespace " + p.namespace
		}
		out = append(out, Finding{Error, "ServiceAccount " + f.Account,
			fmt.Sprintf("may not %s %s %s", strings.Join(verbs[p], ", "), what, where),
			"the rights of deploy/rbac.yaml", "kubectl apply -f deploy/rbac.yaml (with the operator's namespace in it)"})
	}
	return out
}
