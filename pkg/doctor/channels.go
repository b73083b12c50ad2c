package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// long is how long a release may wait for somebody before it is worth a word.
const long = 24 * time.Hour

// sources: each answers, and its documents have not expired.
func sources(f Facts) []Finding {
	var out []Finding
	for _, s := range f.Sources {
		out = append(out, f.source(s)...)
	}
	return out
}

func (f Facts) source(s Source) []Finding {
	object := "ModuleSource " + s.Name
	if s.Suspend {
		return []Finding{{Note, object, "is suspended: nothing new is seen and nothing is upgraded", "spec.suspend: false",
			"somebody wants it so; what runs goes on"}}
	}
	if len(s.Conditions) == 0 {
		return []Finding{{Warning, object, "has no status: no operator has looked at it", "the state of its channels",
			"start the operator; it needs the rights of deploy/rbac.yaml on modulesources/status"}}
	}
	var out []Finding
	if s.Observed < s.Generation {
		out = append(out, Finding{Warning, object, fmt.Sprintf("generation %d of its spec is not in force, %d is", s.Generation, s.Observed), "the newest spec",
			"wait a moment; if it lasts, see whether an operator runs"})
	}
	for _, c := range s.Conditions {
		lasted := f.age(c.LastTransitionTime.Time)
		switch {
		case c.Type == source.Available && c.Status == metav1.ConditionFalse:
			out = append(out, Finding{Error, object, fmt.Sprintf("is not Ready for %s: %s%s", lasted, join(c.Reason, c.Message), f.answered(s)), "a valid, signed document of every channel in use",
				"mend what the message names: registry, Secret, CA, keys or a key of the ConfigMap; what runs goes on meanwhile (docs/module-sources.md)"})
		case c.Type == source.Stale && c.Status == metav1.ConditionTrue:
			out = append(out, Finding{Warning, object, fmt.Sprintf("is stale for %s: %s", lasted, join(c.Reason, c.Message)), "a document that has not expired",
				"sign a new one (addon-operator channel promote); if there is one, see what keeps this cluster from it"})
		}
	}
	return out
}

func (f Facts) answered(s Source) string {
	if s.LastPoll == nil {
		return "; it has not answered yet"
	}
	return "; it answered last " + f.age(s.LastPoll.Time) + " ago"
}

// offered: of each module the newest release that went wrong, if nothing better runs since, and what waits for somebody.
func offered(f Facts) []Finding {
	var out []Finding
	for _, r := range f.Offered {
		if found, ok := f.offer(r); ok {
			out = append(out, found)
		}
	}
	return out
}

func (f Facts) offer(r Offered) (Finding, bool) {
	object := fmt.Sprintf("ModuleRelease %s (%s %s)", r.Name, r.Module, r.Version)
	since := r.Created.Time
	if r.Since != nil {
		since = r.Since.Time
	}
	what := fmt.Sprintf("is %s for %s: %s", cmp.Or(r.Phase, "in no phase"), f.age(since), join(r.Reason, r.Message))
	retry := "promote a better version, change the module's values, or `addon-operator release retry " + r.Name + "`"
	switch source.Phase(r.Phase) {
	case source.Failed:
		return Finding{Error, object, what, "Deployed, or another version in its place", "a human decides, for it must not or cannot be undone: " + retry}, !f.overtaken(r, since)
	case source.RolledBack:
		return Finding{Warning, object, what, "a version that becomes and stays Ready", "the version before runs: " + retry}, !f.overtaken(r, since)
	case source.Applying, source.Verifying, source.RollingBack, source.Preflight:
		return Finding{Warning, object, what, "an end", "see `kubectl describe module " + r.Module + "`, and whether an operator runs"}, f.Now.Sub(since) > long
	case source.Pending, source.Scheduled:
		if r.Reason == "WaitingForApproval" && !r.Approved && f.Now.Sub(since) > long {
			return Finding{Note, object, what, "a decision", "addon-operator release approve " + r.Name}, true
		}
	}
	return Finding{}, false
}

// overtaken says that another version came into force after a release ended.
func (f Facts) overtaken(r Offered, ended time.Time) bool {
	return slices.ContainsFunc(f.Offered, func(o Offered) bool {
		return o.Module == r.Module && o.Name != r.Name && o.Phase == string(source.Deployed) && o.Since != nil && o.Since.After(ended) && o.Created.After(r.Created.Time)
	})
}
