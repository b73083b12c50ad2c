package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/dynamic"

	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// ShownRelease is a ModuleRelease as it is in the cluster.
type ShownRelease struct {
	Name     string     `json:"name"`
	Module   string     `json:"module"`
	Version  string     `json:"version"`
	Digest   string     `json:"digest,omitempty"`
	Source   string     `json:"source,omitempty"`
	Channel  string     `json:"channel,omitempty"`
	Phase    string     `json:"phase"`
	Reason   string     `json:"reason,omitempty"`
	Message  string     `json:"message,omitempty"`
	Approved bool       `json:"approved"`
	Before   *time.Time `json:"notBefore,omitempty"`
	Created  time.Time  `json:"created"`
}

// Releases are the ModuleReleases of a module, or of all with "", by module and newest first. Of cfg it uses the
// kubeconfig: what may be seen and done is what its user may.
func Releases(ctx context.Context, cfg Config, module string) ([]ShownRelease, error) {
	client, err := releaseClient(cfg)
	if err != nil {
		return nil, err
	}
	return listReleases(ctx, client, module)
}

// ApproveRelease sets spec.approved of one ModuleRelease by its name, or of the one of a module that
// waits, and answers its name.
func ApproveRelease(ctx context.Context, cfg Config, name string) (string, error) {
	return order{"wait for approval", func(r ShownRelease) bool { return !r.Approved && waiting(r.Phase) },
		func(r ShownRelease) (map[string]any, error) {
			switch source.Phase(r.Phase) {
			case source.Deployed, source.Superseded:
				return nil, fmt.Errorf("ModuleRelease %s is %s: there is nothing to approve", r.Name, r.Phase)
			}
			return map[string]any{"approved": true}, nil
		}}.give(ctx, cfg, name)
}

// RetryRelease asks for one more try of a ModuleRelease by its name, or of the newest of a module that failed
// or was rolled back, and answers its name.
func RetryRelease(ctx context.Context, cfg Config, name string) (string, error) {
	return order{"failed or were rolled back", func(r ShownRelease) bool { return failed(r.Phase) },
		func(r ShownRelease) (map[string]any, error) {
			if !failed(r.Phase) && !waiting(r.Phase) {
				return nil, fmt.Errorf("ModuleRelease %s is %s: there is nothing to try again", r.Name, r.Phase)
			}
			return map[string]any{"retry": time.Now().UTC().Format(time.RFC3339Nano)}, nil
		}}.give(ctx, cfg, name)
}

func waiting(phase string) bool {
	return slices.Contains([]source.Phase{source.Pending, source.Scheduled, source.Suspended}, source.Phase(phase))
}

func failed(phase string) bool {
	return slices.Contains([]source.Phase{source.Failed, source.RolledBack}, source.Phase(phase))
}

func releaseClient(cfg Config) (dynamic.ResourceInterface, error) {
	rc, _, err := clientConfig(cfg)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(rc)
	if err != nil {
		return nil, err
	}
	return client.Resource(report.Releases), nil
}

func listReleases(ctx context.Context, client dynamic.ResourceInterface, module string) ([]ShownRelease, error) {
	list, err := client.List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, errors.New("the cluster knows no ModuleReleases: the operator applies their CRD when it starts")
	}
	if err != nil {
		return nil, fmt.Errorf("list ModuleReleases: %w", err)
	}
	var out []ShownRelease
	for _, item := range list.Items {
		if r := shownRelease(item); module == "" || r.Module == module {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b ShownRelease) int {
		return cmp.Or(strings.Compare(a.Module, b.Module), b.Created.Compare(a.Created), strings.Compare(b.Name, a.Name))
	})
	return out, nil
}

func shownRelease(u unstructured.Unstructured) ShownRelease {
	text := func(field string) string {
		s, _, _ := unstructured.NestedString(u.Object, "status", field)
		return s
	}
	r := ShownRelease{Name: u.GetName(), Module: text("module"), Version: text("version"), Digest: text("digest"), Source: text("source"), Channel: text("channel"),
		Phase: text("phase"), Reason: text("reason"), Message: text("message"), Created: u.GetCreationTimestamp().Time}
	r.Approved, _, _ = unstructured.NestedBool(u.Object, "spec", "approved")
	if at, err := time.Parse(time.RFC3339, text("notBefore")); err == nil {
		r.Before = &at
	}
	return r
}

// order is what a user asks of one release.
type order struct {
	// what says what those do that fit.
	what string
	fits func(ShownRelease) bool
	// spec is what to write, or why nothing can be asked of this one.
	spec func(ShownRelease) (map[string]any, error)
}

// give writes a part of the spec of one release: of that name, or of the module of that name the newest that fits.
func (o order) give(ctx context.Context, cfg Config, name string) (string, error) {
	client, err := releaseClient(cfg)
	if err != nil {
		return "", err
	}
	all, err := listReleases(ctx, client, "")
	if err != nil {
		return "", err
	}
	r, err := o.pick(all, name)
	if err != nil {
		return "", err
	}
	spec, err := o.spec(r)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		return "", err
	}
	_, err = client.Patch(ctx, r.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "addon-operator-release"})
	if apierrors.IsForbidden(err) {
		return "", fmt.Errorf("%w; it takes the right to patch modulereleases (docs/module-sources.md)", err)
	}
	return r.Name, err
}

// pick finds what a name means.
func (o order) pick(all []ShownRelease, name string) (ShownRelease, error) {
	if i := slices.IndexFunc(all, func(r ShownRelease) bool { return r.Name == name }); i >= 0 {
		return all[i], nil
	}
	var of []string
	for _, r := range all {
		if r.Module == name && o.fits(r) {
			return r, nil
		}
		if r.Module == name {
			of = append(of, r.Name+" ("+r.Phase+")")
		}
	}
	if len(of) == 0 {
		return ShownRelease{}, fmt.Errorf("%q is the name of no ModuleRelease and of no module that has one; addon-operator release list shows all", name)
	}
	return ShownRelease{}, fmt.Errorf("module %s has no ModuleReleases that %s; there are %s", name, o.what, strings.Join(of, ", "))
}

// PrintReleases writes a table for people.
func PrintReleases(out io.Writer, list []ShownRelease, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tMODULE\tVERSION\tCHANNEL\tPHASE\tNOT-BEFORE\tAPPROVED\tREASON\tAGE")
	for _, r := range list {
		before := ""
		if r.Before != nil {
			before = r.Before.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%t\t%s\t%s\n", r.Name, r.Module, r.Version, r.Channel, r.Phase, before, r.Approved, r.Reason, duration.HumanDuration(now.Sub(r.Created)))
	}
	return w.Flush()
}
