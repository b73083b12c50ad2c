package operator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/addon-operator/addon-operator/pkg/doctor"
	"github.com/addon-operator/addon-operator/pkg/helm"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// ErrCannotLook is in the chain of Doctor's error when the API server cannot be asked at all.
var ErrCannotLook = errors.New("the cluster cannot be looked at")

// leaseName is the Lease of operators with high availability (C-450).
const leaseName = "addon-operator-leader-election"

// Doctor looks at an operator from outside and says what is wrong. Of cfg it uses
// namespace, ConfigMap, kubeconfig and debug socket, and where ModulesDir is set
// and there, the modules. rbac are the documents of deploy/rbac.yaml.
func Doctor(ctx context.Context, cfg Config, rbac []byte) ([]doctor.Finding, error) {
	rc, _, err := clientConfig(cfg)
	if err != nil {
		return nil, errors.Join(ErrCannotLook, err)
	}
	rc.QPS = -1
	// Deprecations and the like are no findings, and would stand between them.
	rc.WarningHandler = rest.NoWarnings{}
	typed, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return nil, errors.Join(ErrCannotLook, err)
	}
	dyn, err := dynamic.NewForConfig(rc)
	if err != nil {
		return nil, errors.Join(ErrCannotLook, err)
	}
	e := &examiner{cfg: cfg, rest: rc, typed: typed, dynamic: dyn, facts: doctor.Facts{Namespace: cfg.Namespace, ConfigMap: cfg.ConfigMap}}
	if e.facts.Now, err = serverTime(ctx, rc); err != nil {
		return nil, errors.Join(ErrCannotLook, err)
	}
	e.operator(ctx)
	e.rights(ctx, rbac)
	e.settings(ctx)
	e.modules(ctx)
	e.channels(ctx)
	e.directories()
	e.crds(ctx)
	e.webhooks(ctx)
	e.namespaces(ctx)
	return doctor.Examine(e.facts), nil
}

// examiner reads what the doctor's rules look at.
type examiner struct {
	cfg     Config
	rest    *rest.Config
	typed   kubernetes.Interface
	dynamic dynamic.Interface
	facts   doctor.Facts
}

// serverTime is the clock of the API server, from the header of an answer that everybody gets.
func serverTime(ctx context.Context, rc *rest.Config) (time.Time, error) {
	client, err := rest.HTTPClientFor(rc)
	if err != nil {
		return time.Time{}, err
	}
	base, _, err := rest.DefaultServerURL(rc.Host, rc.APIPath, k8sschema.GroupVersion{}, rest.IsConfigTransportTLS(*rc))
	if err != nil {
		return time.Time{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), nil)
	if err != nil {
		return time.Time{}, err
	}
	res, err := client.Do(req)
	if err != nil {
		return time.Time{}, fmt.Errorf("the API server %s does not answer: %w", rc.Host, err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized {
		return time.Time{}, fmt.Errorf("the API server %s does not know who asks: renew the credentials of the kubeconfig", rc.Host)
	}
	at, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		at = time.Now() // some proxy took the header away
	}
	return at, nil
}

// note takes down what could not be read. It says whether it was.
func (e *examiner) note(what string, err error) bool {
	if err == nil {
		return true
	}
	e.facts.Unread = append(e.facts.Unread, doctor.Unread{What: what, Why: err.Error()})
	return false
}

// found is note for an object that may be absent.
func (e *examiner) found(what string, err error) bool {
	return !apierrors.IsNotFound(err) && e.note(what, err)
}

func (e *examiner) operator(ctx context.Context) {
	ns := e.cfg.Namespace
	if list, err := e.typed.AppsV1().Deployments(ns).List(ctx, metav1.ListOptions{}); e.note("Deployments of namespace "+ns, err) {
		e.facts.Deployments = list.Items
	}
	if list, err := e.typed.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{}); e.note("Pods of namespace "+ns, err) {
		e.facts.Pods = list.Items
	}
	if lease, err := e.typed.CoordinationV1().Leases(ns).Get(ctx, leaseName, metav1.GetOptions{}); e.found("Lease "+ns+"/"+leaseName, err) {
		e.facts.Lease = lease
	}
	if _, err := os.Stat(e.cfg.DebugSocket); err == nil {
		e.facts.Socket = &doctor.Socket{Path: e.cfg.DebugSocket}
		ask, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if _, err := web.Ask(ask, e.cfg.DebugSocket, "/module/list.json"); err != nil {
			e.facts.Socket.Problem = err.Error()
		}
	}
}

// account is the operator's ServiceAccount; false when nothing in the cluster runs with it.
func (e *examiner) account(ctx context.Context) (string, bool) {
	for _, d := range e.facts.Deployments {
		if d.Labels["app.kubernetes.io/name"] == "addon-operator" {
			return cmp.Or(d.Spec.Template.Spec.ServiceAccountName, "default"), true
		}
	}
	const usual = "addon-operator"
	_, err := e.typed.CoreV1().ServiceAccounts(e.cfg.Namespace).Get(ctx, usual, metav1.GetOptions{})
	return usual, err == nil
}

// rights asks of every right that the manifests grant whether the account has it.
func (e *examiner) rights(ctx context.Context, manifests []byte) {
	account, ok := e.account(ctx)
	if !ok {
		return
	}
	e.facts.Account = e.cfg.Namespace + "/" + account
	needed, err := neededRights(manifests, e.cfg.Namespace)
	if !e.note("the rights of ServiceAccount "+e.facts.Account, err) {
		return
	}
	denied := make([]bool, len(needed))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, r := range needed {
		group.Go(func() error {
			allowed, err := e.allowed(ctx, account, r)
			denied[i] = !allowed
			return err
		})
	}
	if !e.note("the rights of ServiceAccount "+e.facts.Account, group.Wait()) {
		return
	}
	for i, r := range needed {
		if denied[i] {
			e.facts.Denied = append(e.facts.Denied, r)
		}
	}
}

func (e *examiner) allowed(ctx context.Context, account string, r doctor.Right) (bool, error) {
	resource, sub, _ := strings.Cut(r.Resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + e.cfg.Namespace + ":" + account,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + e.cfg.Namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: r.Namespace, Verb: r.Verb, Group: r.Group,
			Resource: resource, Subresource: sub},
	}}
	answer, err := e.typed.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

// ownRoles is the name of the ClusterRole and Role with what the operator does
// itself; what charts of modules need shows in the modules.
const ownRoles = "addon-operator"

func neededRights(manifests []byte, namespace string) ([]doctor.Right, error) {
	var out []doctor.Right
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		var role rbacv1.ClusterRole // a Role has the same fields
		err := docs.Decode(&role)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if role.Name != ownRoles || role.Kind != "ClusterRole" && role.Kind != "Role" {
			continue
		}
		ns := ""
		if role.Kind == "Role" {
			ns = namespace
		}
		for _, rule := range role.Rules {
			out = append(out, rightsOf(rule, ns)...)
		}
	}
}

func rightsOf(rule rbacv1.PolicyRule, namespace string) []doctor.Right {
	var out []doctor.Right
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				out = append(out, doctor.Right{Verb: verb, Group: group, Resource: resource, Namespace: namespace})
			}
		}
	}
	return out
}

func (e *examiner) settings(ctx context.Context) {
	ns, name := e.cfg.Namespace, e.cfg.ConfigMap
	get := func(name string) *corev1.ConfigMap {
		m, err := e.typed.CoreV1().ConfigMaps(ns).Get(ctx, name, metav1.GetOptions{})
		if !e.found("ConfigMap "+ns+"/"+name, err) {
			return nil
		}
		return m
	}
	e.facts.Settings, e.facts.Learned = get(name), get(name+"-facts")
	e.facts.Secret = e.secret(ctx, name+"-values")
	list, err := e.typed.CoreV1().Events(ns).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=ConfigMap,involvedObject.name=" + name})
	if e.note("Events of ConfigMap "+ns+"/"+name, err) {
		e.facts.Events = list.Items
	}
}

func (e *examiner) secret(ctx context.Context, name string) *corev1.Secret {
	s, err := e.typed.CoreV1().Secrets(e.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
	if !e.found("Secret "+e.cfg.Namespace+"/"+name, err) {
		return nil
	}
	return s
}

// instanceLabel says which operator made an object.
const instanceLabel = "addon-operator.io/instance"

func (e *examiner) modules(ctx context.Context) {
	list, err := e.dynamic.Resource(report.Resource).List(ctx, metav1.ListOptions{LabelSelector: instanceLabel + "=" + e.cfg.instance()})
	if e.found("Module resources", err) {
		for _, item := range list.Items {
			m := doctor.Module{Name: item.GetName()}
			if err := decode(item.Object["status"], &m); err == nil {
				e.facts.Modules = append(e.facts.Modules, m)
			}
		}
	}
	e.releases(ctx)
}

// channels are the ModuleSources and ModuleReleases.
func (e *examiner) channels(ctx context.Context) {
	list, err := e.dynamic.Resource(report.Sources).List(ctx, metav1.ListOptions{})
	if e.found("ModuleSources", err) {
		for _, item := range list.Items {
			s := doctor.Source{Name: item.GetName(), Generation: item.GetGeneration()}
			s.Suspend, _, _ = unstructured.NestedBool(item.Object, "spec", "suspend")
			if err := decode(item.Object["status"], &s); err == nil {
				e.facts.Sources = append(e.facts.Sources, s)
			}
		}
	}
	list, err = e.dynamic.Resource(report.Releases).List(ctx, metav1.ListOptions{LabelSelector: instanceLabel + "=" + e.cfg.instance()})
	if e.found("ModuleReleases", err) {
		for _, item := range list.Items {
			r := doctor.Offered{Name: item.GetName(), Created: item.GetCreationTimestamp()}
			r.Approved, _, _ = unstructured.NestedBool(item.Object, "spec", "approved")
			if err := decode(item.Object["status"], &r); err == nil {
				e.facts.Offered = append(e.facts.Offered, r)
			}
		}
	}
}

// decode turns a part of an object into a struct.
func decode(part, into any) error {
	text, err := json.Marshal(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// releases are the newest revisions, in pages: records are large.
func (e *examiner) releases(ctx context.Context) {
	newest := map[string]doctor.Release{}
	opts := metav1.ListOptions{LabelSelector: "owner=helm", Limit: 100}
	for {
		page, err := e.typed.CoreV1().Secrets(e.cfg.Namespace).List(ctx, opts)
		if !e.note("releases (Secrets) of namespace "+e.cfg.Namespace, err) {
			return
		}
		for _, s := range page.Items {
			if r, ok := releaseOf(s); ok && r.Revision > newest[r.Name].Revision {
				newest[r.Name] = r
			}
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(newest)) {
		e.facts.Releases = append(e.facts.Releases, newest[name])
	}
}

// releaseOf reads a release record by its labels, as Helm writes them.
func releaseOf(s corev1.Secret) (doctor.Release, bool) {
	l := s.Labels
	revision, err := strconv.Atoi(l["version"])
	if err != nil || l["name"] == "" {
		return doctor.Release{}, false
	}
	updated := s.CreationTimestamp.Time
	for _, key := range []string{"createdAt", "modifiedAt"} {
		if sec, err := strconv.ParseInt(l[key], 10, 64); err == nil {
			updated = time.Unix(sec, 0)
		}
	}
	return doctor.Release{Bytes: len(s.Data["release"]), Release: installed.Release{
		Name: l["name"], Revision: revision, Status: installed.Status(l["status"]), Updated: updated,
		Instance: l[helm.LabelInstance], PredecessorChecksum: l[helm.LabelPredecessor],
	}}, true
}

// directories reads the modules where they are at hand, as in the operator's container.
func (e *examiner) directories() {
	if e.cfg.ModulesDir == "" {
		return
	}
	set, err := module.Load(e.cfg.moduleDirs(), module.LoadOptions{UnnumberedWeight: e.cfg.UnnumberedWeight,
		GlobalHooksDir: absolute(e.cfg.GlobalHooksDir), CRDFilterPrefixes: strings.Split(e.cfg.CRDFilters, ",")})
	if !e.note("modules directory "+e.cfg.ModulesDir, err) {
		return
	}
	e.facts.Schemas = map[string]schema.Set{hook.Global.Section(): set.GlobalSchema}
	for _, m := range set.Modules {
		e.facts.Schemas[m.Key] = m.Schemas
	}
	e.facts.Broken = map[string]string{}
	for name, err := range set.Broken {
		e.facts.Broken[name] = err.Error()
	}
}

var crdResource = k8sschema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"} //nolint:gochecknoglobals // constant

func (e *examiner) crds(ctx context.Context) {
	wanted, err := report.CRDs()
	e.note("the built-in CRDs", err)
	e.facts.WantedCRDs, e.facts.OwnCRDs = map[string]map[string]any{}, map[string]map[string]any{}
	for _, crd := range wanted {
		var object map[string]any
		if err := json.Unmarshal(crd.Text, &object); err == nil {
			e.facts.WantedCRDs[crd.Name] = object
		}
	}
	list, err := e.dynamic.Resource(crdResource).List(ctx, metav1.ListOptions{})
	if !e.note("CustomResourceDefinitions", err) {
		return
	}
	for _, item := range list.Items {
		if _, ours := e.facts.WantedCRDs[item.GetName()]; ours {
			e.facts.OwnCRDs[item.GetName()] = item.Object
		}
		c := doctor.CRD{Name: item.GetName(), Deleting: item.GetDeletionTimestamp()}
		conditions, _, _ := unstructured.NestedSlice(item.Object, "status", "conditions")
		if err := decode(conditions, &c.Conditions); err == nil {
			e.facts.CRDs = append(e.facts.CRDs, c)
		}
		e.conversion(item)
	}
}

func (e *examiner) namespaces(ctx context.Context) {
	list, err := e.typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if !e.note("Namespaces", err) {
		return
	}
	finder := newRemains(e)
	for _, ns := range list.Items {
		if ns.DeletionTimestamp == nil {
			continue
		}
		e.facts.Terminating = append(e.facts.Terminating, doctor.Terminating{
			Name: ns.Name, Since: *ns.DeletionTimestamp, Conditions: ns.Status.Conditions, Left: finder.in(ctx, ns),
		})
	}
}
