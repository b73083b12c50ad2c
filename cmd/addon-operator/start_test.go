package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/addon-operator/addon-operator/pkg/operator"
)

// setting is a row of a table of section 11 of the contract.
type setting struct {
	flag string
	// envs are its variables, the one that wins first.
	envs []string
	// byDefault is what read answers without it; texts are two values, and what read answers then.
	byDefault  string
	texts, are [2]string
	read       func(s *startSettings) any
}

func same(texts ...string) (out [2]string) { return [2]string{texts[0], texts[1]} }

// settings are the tables of 11.2, 11.3 and 11.4.
func settings() []setting {
	text := func(flag, byDefault string, read func(s *startSettings) any, envs ...string) setting {
		return setting{flag: flag, envs: envs, byDefault: byDefault, texts: same("one", "two"), are: same("one", "two"), read: read}
	}
	number := func(flag, byDefault string, read func(s *startSettings) any, envs ...string) setting {
		return setting{flag: flag, envs: envs, byDefault: byDefault, texts: same("7", "8"), are: same("7", "8"), read: read}
	}
	truth := func(flag string, read func(s *startSettings) any, envs ...string) setting {
		return setting{flag: flag, envs: envs, byDefault: "false", texts: same("1", "true"), are: same("true", "true"), read: read}
	}
	port := func(flag, at string, read func(c *operator.Config) string, envs ...string) setting {
		host, byDefault, _ := strings.Cut(at, ":")
		return setting{flag: flag, envs: envs, byDefault: host + ":" + byDefault, texts: same("7", "8"), are: same(host+":7", host+":8"),
			read: func(s *startSettings) any { return read(&s.cfg) }}
	}
	address := func(flag, port string, read func(c *operator.Config) string, envs ...string) setting {
		return setting{flag: flag, envs: envs, byDefault: "0.0.0.0:" + port, texts: same("127.0.0.1", "::1"), are: same("127.0.0.1:"+port, "[::1]:"+port),
			read: func(s *startSettings) any { return read(&s.cfg) }}
	}
	c := func(read func(c *operator.Config) any) func(*startSettings) any {
		return func(s *startSettings) any { return read(&s.cfg) }
	}
	listen := func(c *operator.Config) string { return c.ListenAddress }
	admission := func(c *operator.Config) string { return c.Webhooks.Admission.ListenAddress }
	conversion := func(c *operator.Config) string { return c.Webhooks.Conversion.ListenAddress }
	return []setting{
		// 11.2
		text("modules-dir", "modules", c(func(c *operator.Config) any { return c.ModulesDir }), "ADDON_OPERATOR_MODULES_DIR", "MODULES_DIR"),
		text("global-hooks-dir", "global-hooks", c(func(c *operator.Config) any { return c.GlobalHooksDir }), "ADDON_OPERATOR_GLOBAL_HOOKS_DIR", "GLOBAL_HOOKS_DIR"),
		number("unnumbered-modules-order", "1", c(func(c *operator.Config) any { return c.UnnumberedWeight }), "ADDON_OPERATOR_UNNUMBERED_MODULES_ORDER", "UNNUMBERED_MODULES_ORDER"),
		text("tmp-dir", operator.Defaults().TempDir, c(func(c *operator.Config) any { return c.TempDir }), "ADDON_OPERATOR_TMP_DIR", "SHELL_OPERATOR_TMP_DIR"),
		text("namespace", "", c(func(c *operator.Config) any { return c.Namespace }), "ADDON_OPERATOR_NAMESPACE", "SHELL_OPERATOR_NAMESPACE"),
		text("config-map", "addon-operator", c(func(c *operator.Config) any { return c.ConfigMap }), "ADDON_OPERATOR_CONFIG_MAP"),
		address("prometheus-listen-address", "9650", listen, "ADDON_OPERATOR_LISTEN_ADDRESS", "SHELL_OPERATOR_LISTEN_ADDRESS"),
		port("prometheus-listen-port", "0.0.0.0:9650", listen, "ADDON_OPERATOR_LISTEN_PORT", "SHELL_OPERATOR_LISTEN_PORT"),
		text("prometheus-metrics-prefix", "addon_operator_", c(func(c *operator.Config) any { return c.MetricsPrefix }), "ADDON_OPERATOR_PROMETHEUS_METRICS_PREFIX", "SHELL_OPERATOR_PROMETHEUS_METRICS_PREFIX"),
		truth("strict-check-values-mode-enabled", c(func(c *operator.Config) any { return c.Strict }), "ADDON_OPERATOR_STRICT_CHECK_VALUES_MODE_ENABLED", "STRICT_CHECK_VALUES_MODE_ENABLED"),
		text("crd-extra-labels", "heritage=addon-operator", c(func(c *operator.Config) any { return c.CRDLabels }), "ADDON_OPERATOR_CRD_EXTRA_LABELS"),
		text("crd-filters", "doc-,_", c(func(c *operator.Config) any { return c.CRDFilters }), "ADDON_OPERATOR_CRD_FILTER_PREFIXES"),
		number("helm-history-max", "10", c(func(c *operator.Config) any { return c.HelmHistoryMax }), "HELM_HISTORY_MAX"),
		{flag: "helm-timeout", envs: []string{"HELM_TIMEOUT"}, byDefault: "20m0s", texts: same("7s", "8m"), are: same("7s", "8m0s"), read: c(func(c *operator.Config) any { return c.HelmTimeout })},
		text("helm-ignore-release", "", c(func(c *operator.Config) any { return c.HelmIgnoreRelease }), "HELM_IGNORE_RELEASE"),
		// 11.3
		text("kube-context", "", c(func(c *operator.Config) any { return c.KubeContext }), "KUBE_CONTEXT"),
		text("kube-config", "", c(func(c *operator.Config) any { return c.KubeConfig }), "KUBE_CONFIG"),
		text("kube-server", "", c(func(c *operator.Config) any { return c.KubeServer }), "KUBE_SERVER"),
		number("kube-client-qps", "0", c(func(c *operator.Config) any { return c.KubeQPS }), "KUBE_CLIENT_QPS"),
		number("kube-client-burst", "0", c(func(c *operator.Config) any { return c.KubeBurst }), "KUBE_CLIENT_BURST"),
		number("object-patcher-kube-client-qps", "0", c(func(c *operator.Config) any { return c.OperationQPS }), "OBJECT_PATCHER_KUBE_CLIENT_QPS"),
		number("object-patcher-kube-client-burst", "0", c(func(c *operator.Config) any { return c.OperationBurst }), "OBJECT_PATCHER_KUBE_CLIENT_BURST"),
		{flag: "object-patcher-kube-client-timeout", envs: []string{"OBJECT_PATCHER_KUBE_CLIENT_TIMEOUT"}, byDefault: "10s", texts: same("7s", "8m"), are: same("7s", "8m0s"),
			read: c(func(c *operator.Config) any { return c.OperationTimeout })},
		{flag: "log-level", envs: []string{"LOG_LEVEL"}, byDefault: "info", texts: same("debug", "error"), are: same("debug", "error"), read: func(s *startSettings) any { return s.logs.level }},
		{flag: "log-type", envs: []string{"LOG_TYPE"}, byDefault: "text", texts: same("json", "color"), are: same("json", "color"), read: func(s *startSettings) any { return s.logs.format }},
		truth("log-no-time", func(s *startSettings) any { return s.logs.noTime }, "LOG_NO_TIME"),
		truth("log-proxy-hook-json", c(func(c *operator.Config) any { return c.ProxyJSONLogs }), "LOG_PROXY_HOOK_JSON"),
		text("debug-unix-socket", "/var/run/addon-operator/debug.socket", c(func(c *operator.Config) any { return c.DebugSocket }), "DEBUG_UNIX_SOCKET"),
		text("debug-http-addr", "", c(func(c *operator.Config) any { return c.DebugAddress }), "DEBUG_HTTP_SERVER_ADDR"),
		truth("debug-keep-tmp-files", c(func(c *operator.Config) any { return c.KeepTempFiles }), "DEBUG_KEEP_TMP_FILES"),
		truth("debug-kubernetes-api", c(func(c *operator.Config) any { return c.LogRequests }), "DEBUG_KUBERNETES_API"),
		// 11.4
		address("listen-address", "9650", listen),
		port("listen-port", "0.0.0.0:9650", listen),
		text("validating-webhook-configuration-name", "", c(func(c *operator.Config) any { return c.Webhooks.ConfigurationName }), "VALIDATING_WEBHOOK_CONFIGURATION_NAME"),
		text("validating-webhook-service-name", "", c(func(c *operator.Config) any { return c.Webhooks.Admission.Service }), "VALIDATING_WEBHOOK_SERVICE_NAME"),
		text("validating-webhook-server-cert", "", c(func(c *operator.Config) any { return c.Webhooks.Admission.Cert }), "VALIDATING_WEBHOOK_SERVER_CERT"),
		text("validating-webhook-server-key", "", c(func(c *operator.Config) any { return c.Webhooks.Admission.Key }), "VALIDATING_WEBHOOK_SERVER_KEY"),
		text("validating-webhook-ca", "", c(func(c *operator.Config) any { return c.Webhooks.Admission.CA }), "VALIDATING_WEBHOOK_CA"),
		{flag: "validating-webhook-client-ca", envs: []string{"VALIDATING_WEBHOOK_CLIENT_CA"}, byDefault: "[]", texts: same("a,b", "c"), are: same("[a b]", "[c]"),
			read: c(func(c *operator.Config) any { return c.Webhooks.Admission.ClientCAs })},
		{flag: "validating-webhook-failure-policy", envs: []string{"VALIDATING_WEBHOOK_FAILURE_POLICY"}, byDefault: "Fail", texts: same("Ignore", "Fail"), are: same("Ignore", "Fail"),
			read: c(func(c *operator.Config) any { return c.Webhooks.FailurePolicy })},
		port("validating-webhook-listen-port", "0.0.0.0:9680", admission, "VALIDATING_WEBHOOK_LISTEN_PORT"),
		address("validating-webhook-listen-address", "9680", admission, "VALIDATING_WEBHOOK_LISTEN_ADDRESS"),
		text("conversion-webhook-service-name", "", c(func(c *operator.Config) any { return c.Webhooks.Conversion.Service }), "CONVERSION_WEBHOOK_SERVICE_NAME"),
		text("conversion-webhook-server-cert", "", c(func(c *operator.Config) any { return c.Webhooks.Conversion.Cert }), "CONVERSION_WEBHOOK_SERVER_CERT"),
		text("conversion-webhook-server-key", "", c(func(c *operator.Config) any { return c.Webhooks.Conversion.Key }), "CONVERSION_WEBHOOK_SERVER_KEY"),
		text("conversion-webhook-ca", "", c(func(c *operator.Config) any { return c.Webhooks.Conversion.CA }), "CONVERSION_WEBHOOK_CA"),
		{flag: "conversion-webhook-client-ca", envs: []string{"CONVERSION_WEBHOOK_CLIENT_CA"}, byDefault: "[]", texts: same("a,b", "c"), are: same("[a b]", "[c]"),
			read: c(func(c *operator.Config) any { return c.Webhooks.Conversion.ClientCAs })},
		port("conversion-webhook-listen-port", "0.0.0.0:9681", conversion, "CONVERSION_WEBHOOK_LISTEN_PORT"),
		address("conversion-webhook-listen-address", "9681", conversion, "CONVERSION_WEBHOOK_LISTEN_ADDRESS"),
	}
}

// given reads the settings from a command line.
func given(t *testing.T, args ...string) *startSettings {
	t.Helper()
	flags := pflag.NewFlagSet("start", pflag.ContinueOnError)
	s := newStartSettings(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := s.read(); err != nil {
		t.Fatal(err)
	}
	return s
}

// C-460, C-461, C-462, C-465, C-466, C-467: every flag and variable of the tables, its default, and who wins.
func TestEverySettingOfTheContract(t *testing.T) {
	for _, x := range settings() {
		for _, env := range x.envs {
			t.Setenv(env, "") // whatever this process has
			if err := os.Unsetenv(env); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, x := range settings() {
		t.Run(x.flag, func(t *testing.T) {
			check := func(how, want string, s *startSettings) {
				t.Helper()
				if got := fmt.Sprint(x.read(s)); got != want {
					t.Errorf("%s: %q, expected %q", how, got, want)
				}
			}
			check("by default", x.byDefault, given(t))
			check("by flag", x.are[0], given(t, "--"+x.flag+"="+x.texts[0]))
			for i := len(x.envs) - 1; i >= 0; i-- { // from the one that loses
				t.Setenv(x.envs[i], x.texts[i%2])
				check("by "+x.envs[i], x.are[i%2], given(t))
				check("flag over variable", x.are[(i+1)%2], given(t, "--"+x.flag+"="+x.texts[(i+1)%2]))
			}
		})
	}
}

// C-467: what else is by default without modules.
func TestDefaultsOfHooksOnly(t *testing.T) {
	t.Setenv("SHELL_OPERATOR_HOOKS_DIR", t.TempDir())
	c := given(t).cfg
	if c.HooksDir == "" || c.ListenAddress != "0.0.0.0:9115" || c.MetricsPrefix != "shell_operator_" || c.DebugSocket != "/var/run/shell-operator/debug.socket" ||
		!strings.HasSuffix(c.TempDir, "/shell-operator") {
		t.Errorf("%+v", c)
	}
}

// C-460: what is malformed is named; C-465: what is left out is accepted and warned about.
func TestSettingsThatAreMalformedOrLeftOut(t *testing.T) {
	for env, value := range map[string]string{"HELM_TIMEOUT": "soon", "HELM_HISTORY_MAX": "x", "LOG_NO_TIME": "maybe", "ADDON_OPERATOR_ORDER": "luck"} {
		t.Run(env, func(t *testing.T) {
			t.Setenv(env, value)
			err := newStartSettings(pflag.NewFlagSet("start", pflag.ContinueOnError)).read()
			if err == nil || !strings.Contains(err.Error(), value) {
				t.Error(err)
			}
		})
	}
	for _, x := range newStartSettings(pflag.NewFlagSet("start", pflag.ContinueOnError)).left {
		t.Run(x.flag+x.env, func(t *testing.T) {
			warned := func(args ...string) string {
				s := given(t, args...)
				var out bytes.Buffer
				s.left.warn(s.binder, slog.New(slog.NewTextHandler(&out, nil)))
				return out.String()
			}
			if text := warned(); strings.Contains(text, x.env) {
				t.Errorf("a warning without reason: %s", text)
			}
			t.Setenv(x.env, "1234")
			if text := warned(); !strings.Contains(text, x.env) || !strings.Contains(text, x.instead) {
				t.Errorf("no warning: %s", text)
			}
			if x.flag != "" {
				if text := warned("--" + x.flag + "=5"); !strings.Contains(text, "--"+x.flag) {
					t.Errorf("no warning: %s", text)
				}
			}
			for _, h := range x.harmless {
				t.Setenv(x.env, h)
				if text := warned(); strings.Contains(text, x.env) {
					t.Errorf("%s: a warning: %s", h, text)
				}
			}
		})
	}
}

// C-470: flags that the help leaves out are listed.
func TestDebugOptions(t *testing.T) {
	var out bytes.Buffer
	cmd := debugOptionsCommand()
	cmd.SetOut(&out)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--debug-unix-socket", "--debug-http-addr", "--debug-keep-tmp-files", "--debug-kubernetes-api", "--shell-chroot-dir"} {
		if !strings.Contains(out.String(), flag) {
			t.Errorf("%s is missing in\n%s", flag, out.String())
		}
	}
}

// C-460: a duration is in Go's syntax.
func TestADurationIsGos(t *testing.T) {
	if got := given(t, "--helm-timeout", "1h2m3s").cfg.HelmTimeout; got != time.Hour+2*time.Minute+3*time.Second {
		t.Error(got)
	}
}
