package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/helm"
	"github.com/addon-operator/addon-operator/pkg/hooklint"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/leader"
	"github.com/addon-operator/addon-operator/pkg/migrate"
)

// MigrateCheck reads a cluster that the predecessor looks after, and the modules'
// directories if there are any in cfg, and says what becomes of it here. Nothing is
// written. Hooks are asked for their configuration and are not run otherwise. An
// error is that something could not be read.
func MigrateCheck(ctx context.Context, cfg Config) ([]migrate.Finding, error) {
	if cfg.Namespace == "" {
		return nil, errors.New("no namespace: set --namespace to that of the predecessor")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	rc, _, err := clientConfig(cfg)
	if err != nil {
		return nil, err
	}
	clients, err := kube.NewClients(rc, kube.WithFence(readOnly{}))
	if err != nil {
		return nil, err
	}
	typed, err := kubernetes.NewForConfigAndClient(clients.REST, clients.HTTP)
	if err != nil {
		return nil, err
	}
	s := surveyor{cfg: cfg, typed: typed, clients: clients, facts: migrate.Facts{Namespace: cfg.Namespace, ConfigMap: cfg.ConfigMap}}
	for _, read := range []func(context.Context) error{s.deployments, s.settings, s.releases, s.lease, s.modules} {
		if err := read(ctx); err != nil {
			return nil, err
		}
	}
	return migrate.Check(s.facts), nil
}

// readOnly is a fence that lets nothing but reads pass.
type readOnly struct{}

func (readOnly) Write() error { return errors.New("a check writes nothing") }
func (readOnly) Send() error  { return nil }

// surveyor reads the facts of a migration.
type surveyor struct {
	cfg     Config
	typed   kubernetes.Interface
	clients *kube.Clients
	facts   migrate.Facts
}

func (s *surveyor) deployments(ctx context.Context) error {
	list, err := s.typed.AppsV1().Deployments(s.cfg.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list Deployments of namespace %s: %w", s.cfg.Namespace, err)
	}
	for _, d := range list.Items {
		for _, c := range d.Spec.Template.Spec.Containers {
			if env := environmentOf(c); isPredecessor(c, env) {
				s.facts.Operators = append(s.facts.Operators, migrate.Operator{Object: "Deployment " + d.Namespace + "/" + d.Name,
					Replicas: replicasOf(d), Env: env})
			}
		}
	}
	return nil
}

func environmentOf(c corev1.Container) map[string]string {
	env := map[string]string{}
	for _, v := range c.Env {
		env[v.Name] = v.Value
	}
	return env
}

// isPredecessor goes by the image and by variables that only an addon-operator has.
func isPredecessor(c corev1.Container, env map[string]string) bool {
	if strings.Contains(c.Image, "addon-operator") {
		return true
	}
	for name := range env {
		if strings.HasPrefix(name, "ADDON_OPERATOR_") {
			return true
		}
	}
	return false
}

func replicasOf(d appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

func (s *surveyor) settings(ctx context.Context) error {
	cm, err := s.typed.CoreV1().ConfigMaps(s.cfg.Namespace).Get(ctx, s.cfg.ConfigMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ConfigMap %s/%s: %w", s.cfg.Namespace, s.cfg.ConfigMap, err)
	}
	s.facts.Settings = map[string]string{}
	for key, text := range cm.Data {
		s.facts.Settings[key] = text
	}
	return nil
}

func (s *surveyor) releases(ctx context.Context) error {
	client, err := helm.New(helm.Config{REST: s.clients.REST, Discovery: s.clients.Discovery, Mapper: s.clients.Mapper,
		Namespace: s.cfg.Namespace, Instance: s.cfg.instance(), Logger: s.cfg.Logger})
	if err != nil {
		return err
	}
	if s.facts.Releases, err = client.List(ctx); err != nil {
		return fmt.Errorf("list releases of namespace %s: %w", s.cfg.Namespace, err)
	}
	list, err := s.typed.CoreV1().ConfigMaps(s.cfg.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		return fmt.Errorf("list ConfigMaps of namespace %s: %w", s.cfg.Namespace, err)
	}
	for _, cm := range list.Items {
		s.facts.Elsewhere = append(s.facts.Elsewhere, cm.Labels["name"])
	}
	slices.Sort(s.facts.Elsewhere)
	s.facts.Elsewhere = slices.Compact(s.facts.Elsewhere)
	return nil
}

func (s *surveyor) lease(ctx context.Context) error {
	l, err := s.typed.CoordinationV1().Leases(s.cfg.Namespace).Get(ctx, leader.LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	s.facts.Lease = l
	return err
}

// modules reads the directories and lints their hooks.
func (s *surveyor) modules(ctx context.Context) (err error) {
	if s.cfg.ModulesDir == "" {
		return nil
	}
	if s.facts.Modules, err = readModules(s.cfg); err != nil {
		return err
	}
	var paths []string
	for _, m := range s.facts.Modules.Modules {
		if m.HooksDir != "" {
			paths = append(paths, m.HooksDir)
		}
	}
	if dir := absolute(s.cfg.GlobalHooksDir); s.cfg.GlobalHooksDir != "" && isDir(dir) {
		paths = append(paths, dir)
	}
	if len(paths) == 0 {
		return nil
	}
	finder, err := exec.New(exec.Config{TempDir: s.cfg.TempDir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finder.Close()) }()
	report, err := hooklint.Lint(ctx, finder, paths, hooklint.Options{})
	if err != nil {
		return err
	}
	for _, file := range report.Files {
		for _, x := range file.Findings {
			if x.Severity != hooklint.Error {
				continue // habits, which are no matter of the migration: hook lint tells them
			}
			s.facts.Hooks = append(s.facts.Hooks, migrate.Hook{File: filepath.ToSlash(file.Path), Refused: true,
				Message: strings.TrimPrefix(x.Path+": "+x.Message, ": "), Fix: x.Fix})
		}
	}
	return nil
}
