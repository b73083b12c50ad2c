package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hooklint"
	"github.com/addon-operator/addon-operator/pkg/hooktest"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// hookCommand is what authors of hooks work with; none of it needs a running operator.
func hookCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "hook", Short: "Check, run and test hooks on the desk, without a running operator"}
	cmd.AddCommand(hookLintCommand(), hookRunCommand(), hookTestCommand())
	return cmd
}

// likeGoTest lets hook test take -run and -update as go test does.
func likeGoTest(args []string) []string {
	if len(args) < 2 || args[0] != "hook" || args[1] != "test" {
		return args
	}
	out := slices.Clone(args)
	for i, a := range out {
		name, _, _ := strings.Cut(a, "=")
		if name == "-run" || name == "-update" {
			out[i] = "-" + a
		}
	}
	return out
}

// usageError is a wrong command line: status 2, as against 1 for what was found.
type usageError struct{ error }

func (usageError) ExitCode() int { return 2 }

// asUsage gives a command status 2 for a wrong command line.
func asUsage(cmd *cobra.Command, args cobra.PositionalArgs) {
	cmd.Args = func(cmd *cobra.Command, given []string) error {
		if err := args(cmd, given); err != nil {
			return usageError{fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
		}
		return nil
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
}

// ownerFlags let the command line say whose hooks they are, where the place does not.
type ownerFlags struct {
	standalone, global bool
	module             string
}

func (o *ownerFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.standalone, "standalone", false, "they are hooks without modules (start --hooks-dir)")
	cmd.Flags().BoolVar(&o.global, "global", false, "they are global hooks")
	cmd.Flags().StringVar(&o.module, "module", "", "they are hooks of this module")
}

func (o *ownerFlags) owner() (*hook.Owner, error) {
	text := o.module
	switch {
	case o.standalone && o.global, o.module != "" && (o.standalone || o.global):
		return nil, usageError{errors.New("--standalone, --global and --module exclude each other")}
	case o.standalone:
		text = "standalone"
	case o.global:
		text = "global"
	}
	owner, err := hooktest.ParseOwner(text)
	if err != nil {
		return nil, usageError{err}
	}
	return owner, nil
}

func hookLintCommand() *cobra.Command {
	var owner ownerFlags
	var format string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "lint FILE|DIR...",
		Short: "Say what each file is taken for, what it declares, and what is wrong with it",
		Long: `Looks at a hook, a directory of hooks, of a module, of modules, or of global hooks.
It runs each hook with --config and nothing else.

Status 1 when the operator would refuse a hook; warnings leave it at 0. A comment
"# hook-lint: ignore=RULE[,RULE]" in a file silences warnings.`,
		Example: "  addon-operator hook lint global-hooks modules\n  addon-operator hook lint --standalone ./hooks",
	}
	asUsage(cmd, cobra.MinimumNArgs(1))
	owner.add(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long a hook may take to answer --config")
	cmd.RunE = func(cmd *cobra.Command, paths []string) error {
		o, err := owner.owner()
		if err != nil {
			return err
		}
		if format != "text" && format != "json" {
			return usageError{fmt.Errorf("-o is %q: expected text or json", format)}
		}
		finder, err := exec.New(exec.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		defer finder.Close()
		report, err := hooklint.Lint(cmd.Context(), finder, paths, hooklint.Options{Owner: o, Timeout: timeout})
		if err != nil {
			return usageError{err}
		}
		if err := writeReport(cmd.OutOrStdout(), report, format); err != nil {
			return err
		}
		switch {
		case report.Errors > 0:
			return errors.New("the operator would refuse what is listed above without the word warning")
		case len(report.Files) == 0:
			return usageError{errors.New("there is no file in these directories: name a hook, or a directory that holds some")}
		}
		return nil
	}
	return cmd
}

func writeReport(w io.Writer, r hooklint.Report, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	hooklint.Write(w, r)
	return nil
}

// hookRun is the command line of hook run.
type hookRun struct {
	owner                                ownerFlags
	kubeConfig, kubeContext              string
	objects                              []string
	values, configValues                 string
	binding, schedule, event, object     string
	review, from, to                     string
	globalHooksDir                       string
	showContext, apply, cluster, noColor bool
	timeout                              time.Duration
}

func hookRunCommand() *cobra.Command {
	var r hookRun
	cmd := &cobra.Command{
		Use:   "run HOOK",
		Short: "Run one hook on real or given objects and values, and show what it would change",
		Long: `Runs a hook as the operator would, on the objects of a cluster or of files and
with the values that its module would have, and shows its log, the difference of
values, object operations, metrics and answers. It changes nothing unless --apply
is given, and then performs the object operations.

Without --binding it does what a start of the operator does: onStartup,
Synchronization, beforeAll or beforeHelm.`,
		Example: `  addon-operator hook run global-hooks/hooks/nodes.sh --kube-config ~/.kube/config
  addon-operator hook run hooks/pods.sh --objects testdata/pods.yaml --show-context
  addon-operator hook run hooks/pods.sh --objects testdata --binding pods --event Added --object new-pod.yaml
  addon-operator hook run hooks/check.sh --binding check.example.com --review review.yaml`,
	}
	asUsage(cmd, cobra.ExactArgs(1))
	r.owner.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&r.cluster, "cluster", false, "take the objects from the cluster of KUBECONFIG")
	f.StringVar(&r.kubeConfig, "kube-config", "", "take the objects from the cluster of this kubeconfig")
	f.StringVar(&r.kubeContext, "kube-context", "", "take the objects from the cluster of this context of the kubeconfig")
	f.StringArrayVar(&r.objects, "objects", nil, "take the objects from this file or directory of manifests; may be repeated")
	f.StringVar(&r.values, "values", "", "file with values beside the module's defaults: {global: {…}, myModule: {…}}")
	f.StringVar(&r.configValues, "config-values", "", "file with the settings of the ConfigMap, in the same shape")
	f.StringVar(&r.globalHooksDir, "global-hooks-dir", "", "directory with the schemas of global values (default: global-hooks beside the modules directory)")
	f.StringVar(&r.binding, "binding", "", "what wakes the hook: the name of a binding, or beforeHelm and its like")
	f.StringVar(&r.schedule, "schedule", "", "the same as --binding, for a schedule")
	f.StringVar(&r.event, "event", "", "Added, Modified or Deleted: an event of the binding in place of its Synchronization")
	f.StringVar(&r.object, "object", "", "file with the object of the event")
	f.StringVar(&r.review, "review", "", "file with the review for an admission or conversion binding")
	f.StringVar(&r.from, "from-version", "", "version that a conversion starts from")
	f.StringVar(&r.to, "to-version", "", "version that a conversion leads to")
	f.BoolVar(&r.showContext, "show-context", false, "show the binding contexts; secrets in them are not masked")
	f.BoolVar(&r.apply, "apply", false, "perform the object operations in the cluster")
	f.BoolVar(&r.noColor, "no-color", os.Getenv("NO_COLOR") != "", "no colours (NO_COLOR)")
	f.DurationVar(&r.timeout, "timeout", 10*time.Minute, "bound of a run without settings.timeout")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0]) }
	return cmd
}

func (r *hookRun) run(cmd *cobra.Command, path string) error {
	scene, env, err := r.scene(path)
	if err != nil {
		return usageError{err}
	}
	if r.apply && scene.Cluster == nil {
		return usageError{errors.New("--apply needs a cluster: give --cluster, --kube-config or --kube-context")}
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	desk := hooktest.New(hooktest.Config{Timeout: r.timeout, Logger: log, Env: env})
	defer desk.Close()
	result, err := desk.Run(cmd.Context(), scene)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	show := hooktest.Show{Contexts: r.showContext, Live: hooktest.LiveIn(scene.Objects),
		Colour: !r.noColor && term.IsTerminal(int(os.Stdout.Fd())) && out == os.Stdout}
	if scene.Cluster != nil {
		show.Live = func(op hook.Operation) (hooktest.Object, error) { return scene.Cluster.Live(cmd.Context(), op) }
		show.DryRun = func(op hook.Operation, before, after hooktest.Object) (hooktest.Object, error) {
			return scene.Cluster.DryRun(cmd.Context(), op, before, after)
		}
		show.Applies = r.apply
	} else if len(r.objects) == 0 {
		show.Live = nil
	}
	result.Write(out, show)
	if result.Err != nil {
		return errors.New("the operator would count this run as failed, and try it again")
	}
	if !r.apply {
		return nil
	}
	return r.perform(cmd, scene, result)
}

// perform does the object operations, and says what is not done.
func (r *hookRun) perform(cmd *cobra.Command, scene hooktest.Scene, result hooktest.Result) error {
	out := cmd.OutOrStdout()
	if len(result.Operations) > 0 {
		if err := scene.Cluster.Apply(cmd.Context(), result.Operations); err != nil {
			return fmt.Errorf("object operations: %w", err)
		}
	}
	fmt.Fprintf(out, "\n== applied: %d object operations\n", len(result.Operations))
	if len(result.Values) > 0 {
		fmt.Fprintln(out, "not written: values, which live in a running operator; have it run the hook, and see addon-operator module values")
	}
	if len(result.Config) > 0 {
		fmt.Fprintln(out, "not written: settings; edit the ConfigMap of the operator as the difference above shows")
	}
	if len(result.Samples) > 0 {
		fmt.Fprintln(out, "not shown anywhere: metrics, which a running operator serves at /metrics/hooks")
	}
	return nil
}

// scene puts the command line into effect; env is the environment of the hook,
// nil for that of this process.
func (r *hookRun) scene(path string) (s hooktest.Scene, env []string, err error) {
	owner, err := r.owner.owner()
	if err != nil {
		return s, nil, err
	}
	if s.Hook, err = filepath.Abs(path); err != nil {
		return s, nil, err
	}
	if s.Place, err = hooktest.Locate(s.Hook, owner); err != nil {
		return s, nil, err
	}
	if r.globalHooksDir != "" {
		if s.Place.GlobalHooksDir, err = filepath.Abs(r.globalHooksDir); err != nil {
			return s, nil, err
		}
	}
	for _, name := range r.objects {
		more, err := hooktest.ReadObjects(name)
		if err != nil {
			return s, nil, err
		}
		s.Objects = append(s.Objects, more...)
	}
	if s.Values, err = readMap("--values", r.values); err != nil {
		return s, nil, err
	}
	if s.ConfigValues, err = readMap("--config-values", r.configValues); err != nil {
		return s, nil, err
	}
	if s.Trigger, err = r.trigger(); err != nil {
		return s, nil, err
	}
	if !r.cluster && r.kubeConfig == "" && r.kubeContext == "" {
		return s, nil, nil
	}
	if len(r.objects) > 0 {
		return s, nil, errors.New("--objects and a cluster exclude each other: objects are from one of them")
	}
	s.Cluster, env, err = r.connect()
	return s, env, err
}

func (r *hookRun) trigger() (hooktest.Trigger, error) {
	if r.binding != "" && r.schedule != "" {
		return hooktest.Trigger{}, errors.New("--binding and --schedule exclude each other")
	}
	t := hooktest.Trigger{Binding: r.binding + r.schedule, Event: hook.WatchEvent(r.event), From: r.from, To: r.to}
	switch t.Event {
	case "", hook.Added, hook.Modified, hook.Deleted:
	default:
		return t, fmt.Errorf("--event is %q: expected Added, Modified or Deleted", r.event)
	}
	if r.object != "" {
		objects, err := hooktest.ReadObjects(r.object)
		if err == nil && len(objects) != 1 {
			err = fmt.Errorf("--object %s: expected one object, found %d", r.object, len(objects))
		}
		if err != nil {
			return t, err
		}
		t.Object = objects[0]
	}
	if r.review != "" {
		text, err := os.ReadFile(r.review)
		if err == nil {
			t.Review, err = yaml.YAMLToJSON(text)
		}
		if err != nil {
			return t, fmt.Errorf("--review: %w", err)
		}
	}
	return t, nil
}

func readMap(flag, file string) (values.Map, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	v, err := values.DecodeYAML(text)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, file, err)
	}
	m, ok := v.(values.Map)
	if !ok && v != nil {
		return nil, fmt.Errorf("%s %s: expected an object with the keys global and that of the module", flag, file)
	}
	return m, nil
}

// connect reaches the cluster; hooks that call it too find it by KUBECONFIG.
func (r *hookRun) connect() (*hooktest.Cluster, []string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	env := os.Environ()
	if r.kubeConfig != "" {
		rules.ExplicitPath = r.kubeConfig
		path, err := filepath.Abs(r.kubeConfig)
		if err != nil {
			return nil, nil, err
		}
		env = append(env, "KUBECONFIG="+path)
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: r.kubeContext})
	rc, err := loader.ClientConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("no way to reach an API server: give --kube-config, or set KUBECONFIG: %w", err)
	}
	rc.UserAgent = "addon-operator hook run"
	clients, err := kube.NewClients(rc)
	if err != nil {
		return nil, nil, err
	}
	return hooktest.NewCluster(clients, slog.New(slog.DiscardHandler)), env, nil
}

func hookTestCommand() *cobra.Command {
	var opts hooktest.Options
	var only string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "test DIR|FILE...",
		Short: "Run the declarative test cases of hooks, without a cluster",
		Long: `Runs every case.yaml and NAME.case.yaml below the given directories and compares
what the hooks ask for with the want of the case, or with its golden file
(golden.yaml, NAME.golden.yaml), which --update writes.

Status 1 when a case fails.`,
		Example: "  addon-operator hook test global-hooks modules\n  addon-operator hook test --update -run 'nodes' global-hooks",
	}
	asUsage(cmd, cobra.MinimumNArgs(1))
	cmd.Flags().StringVar(&only, "run", "", "only cases whose file or name matches this regular expression")
	cmd.Flags().BoolVar(&opts.Update, "update", false, "write what the hooks do now into the golden files")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "list every case with its times")
	cmd.Flags().IntVar(&opts.Parallel, "parallel", 0, "cases run at once (default: the number of cores)")
	cmd.RunE = func(cmd *cobra.Command, paths []string) error {
		if only != "" {
			re, err := regexp.Compile(only)
			if err != nil {
				return usageError{fmt.Errorf("--run: %w", err)}
			}
			opts.Only = re
		}
		desk := hooktest.New(hooktest.Config{})
		defer desk.Close()
		report, err := hooktest.Test(cmd.Context(), desk, paths, opts)
		switch {
		case err != nil && cmd.Context().Err() == nil:
			return usageError{err}
		case err != nil:
			return err
		}
		report.Write(cmd.OutOrStdout(), verbose)
		if n := report.Failed(); n > 0 {
			return fmt.Errorf("%d cases failed", n)
		}
		if len(report.Outcomes) == 0 {
			return usageError{errors.New("no case matches --run " + only)}
		}
		return nil
	}
	return cmd
}
