package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// variable judges one variable of the predecessor's container.
type variable struct {
	kind Kind
	// fine are values that mean the same here.
	fine   []string
	what   string
	wayOut string
}

// variables are those of section 11 of the contract that work in another way here.
func variables() map[string]variable {
	helm2 := variable{Change, nil, "Helm 2 is not supported, and the operator does not start with it (C-430)", "unset it; move releases to Helm 3 first"}
	unused := func(instead string) variable {
		return variable{Differs, []string{"false", "0"}, "has no effect: " + instead, ""}
	}
	return map[string]variable{
		"HELM2":                                   helm2,
		"TILLER_MAX_HISTORY":                      helm2,
		"TILLER_BIN_PATH":                         helm2,
		"ADDON_OPERATOR_TILLER_LISTEN_PORT":       helm2,
		"ADDON_OPERATOR_TILLER_PROBE_LISTEN_PORT": helm2,
		"HELM_DRIVER": {Change, []string{"secret", "secrets"}, "releases are kept in Secrets here, and records elsewhere are not read",
			"move the records to Secrets, or expect each module to be installed over its objects by a new release, then delete the old records"},
		"USE_NELM":                      {Differs, []string{"false", "0"}, "charts are applied by Helm's own library; releases that nelm recorded are read as Helm's", ""},
		"NELM_DEPENDENCY_GRAPH_ENABLED": unused("objects are applied kind by kind, in Helm's order"),
		"ADDON_OPERATOR_SHELL_CHROOT_DIR": {Change, nil, "hooks run in the operator's own root (C-021)",
			"put what hooks need into the image at the paths that they use; --hook-user and --hook-memory-limit bound them"},
		"ADDON_OPERATOR_APPLIED_MODULE_EXTENDERS": {Change, []string{"Static,DynamicallyEnabled,KubeConfig,ScriptEnabled"},
			"who decides whether a module is on is fixed: Static, DynamicallyEnabled, KubeConfig, ScriptEnabled (C-339)",
			"check which modules would be on with all four, and switch off in the ConfigMap those that should not be"},
		"ADDON_OPERATOR_ADMISSION_SERVER_ENABLED": unused("it served programs that embed the operator; webhooks of hooks are served without it"),
		"TRACING_OTLP_ENDPOINT":                   unused("there is no tracing; durations are in /metrics and in the log"),
		"MODULES_DIR":                             {Differs, nil, "counts here, if ADDON_OPERATOR_MODULES_DIR is not set (C-462)", ""},
		"GLOBAL_HOOKS_DIR":                        {Differs, nil, "counts here, if ADDON_OPERATOR_GLOBAL_HOOKS_DIR is not set (C-462)", ""},
		"HELM_IGNORE_RELEASE":                     {Differs, nil, "is in force here: the release is never purged (C-426)", ""},
	}
}

func operators(f Facts) []Finding {
	if len(f.Operators) == 0 {
		return []Finding{{Differs, "namespace " + f.Namespace, "no Deployment of an addon-operator was found: its environment is not judged", ""}}
	}
	var out []Finding
	for _, o := range f.Operators {
		out = append(out, environment(o)...)
		out = append(out, exchange(o)...)
	}
	return out
}

func environment(o Operator) []Finding {
	var out []Finding
	rules := variables()
	for _, name := range sortedKeys(o.Env) {
		rule, known := rules[name]
		value := o.Env[name]
		if !known || slices.ContainsFunc(rule.fine, func(v string) bool { return strings.EqualFold(v, value) }) {
			continue
		}
		out = append(out, Finding{rule.kind, o.Object, fmt.Sprintf("%s=%q %s", name, value, rule.what), rule.wayOut})
	}
	return out
}

// exchange says how to put one operator in the place of the other.
func exchange(o Operator) []Finding {
	ha := truth(o.Env["ADDON_OPERATOR_HA"])
	switch {
	case o.Replicas > 1 && !ha:
		return []Finding{{Change, o.Object, fmt.Sprintf("has %d replicas without ADDON_OPERATOR_HA: they undo each other's work already", o.Replicas),
			"scale it to 1 or set ADDON_OPERATOR_HA"}}
	case o.Replicas > 0 && !ha:
		return []Finding{{Step, o.Object, "runs without the Lease, so that nothing keeps two operators apart",
			"scale it to 0 and wait until its pod is gone before the operator is started"}}
	}
	return nil
}

func truth(text string) bool {
	return text == "1" || strings.EqualFold(text, "t") || strings.EqualFold(text, "true")
}
