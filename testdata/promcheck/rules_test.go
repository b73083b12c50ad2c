package promcheck_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

// expression is that of a rule, with recorded series replaced by what records them.
func expression(t *testing.T, name string) string {
	t.Helper()
	rules := ruleFiles(t)
	out := ""
	for _, rule := range rules {
		if rule.Record == name || rule.Alert == name {
			out = rule.Expr
		}
	}
	if out == "" {
		t.Fatalf("there is no rule %s", name)
	}
	for range 3 { // recorded series rest on recorded series
		for _, rule := range rules {
			if rule.Record != "" && !strings.Contains(out, rule.Record+"{") {
				out = strings.ReplaceAll(out, rule.Record, "("+rule.Expr+")")
			}
		}
	}
	return out
}

// evaluate returns the vector after 30 minutes, as `{labels} value`, sorted.
func evaluate(t *testing.T, series storage.Queryable, expr string) []string {
	t.Helper()
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	q, err := engine.NewInstantQuery(context.Background(), series, nil, expr, time.Unix(0, 0).Add(30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	result := q.Exec(context.Background())
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	vector, err := result.Vector()
	if err != nil {
		t.Fatal(err)
	}
	return lines(vector)
}

func lines(vector promql.Vector) []string {
	out := make([]string, 0, len(vector))
	for _, sample := range vector {
		out = append(out, fmt.Sprintf("%s %.3g", sample.Metric, sample.F))
	}
	slices.Sort(out)
	return out
}

func TestRulesGiveWhatTheirNamesSay(t *testing.T) {
	for _, test := range []struct {
		sentence, rule, series string
		want                   []string
	}{
		{
			"a node with one busy and one idle core is half used", "node:cpu_utilisation:ratio_rate5m", `
			node_cpu_seconds_total{node="a", cpu="0", mode="idle"} 0+0x40
			node_cpu_seconds_total{node="a", cpu="0", mode="user"} 0+60x40
			node_cpu_seconds_total{node="a", cpu="1", mode="idle"} 0+45x40
			node_cpu_seconds_total{node="a", cpu="1", mode="iowait"} 0+15x40`,
			[]string{`{node="a"} 0.5`},
		},
		{
			"the cluster's memory is that of its nodes together, not their mean", "cluster:memory_utilisation:ratio", `
			node_memory_MemAvailable_bytes{node="small"} 0x40
			node_memory_MemTotal_bytes{node="small"} 100x40
			node_memory_MemAvailable_bytes{node="large"} 900x40
			node_memory_MemTotal_bytes{node="large"} 900x40`,
			[]string{`{} 0.1`},
		},
		{
			"requests of pods that have ended do not count", "cluster:cpu_requests:ratio", `
			kube_pod_container_resource_requests{namespace="n", pod="runs", container="c", resource="cpu"} 1x40
			kube_pod_container_resource_requests{namespace="n", pod="done", container="c", resource="cpu"} 1x40
			kube_pod_status_phase{namespace="n", pod="runs", phase="Running"} 1x40
			kube_pod_status_phase{namespace="n", pod="done", phase="Running"} 0x40
			kube_node_status_allocatable{node="a", resource="cpu"} 4x40`,
			[]string{`{} 0.25`},
		},
		{
			"an API server without errors has an error ratio of zero, not none", "cluster:apiserver_request_errors:ratio_rate5m", `
			apiserver_request_total{code="200", verb="GET"} 0+60x40`,
			[]string{`{} 0`},
		},
		{
			"errors are a share of all requests", "APIServerErrors", `
			apiserver_request_total{code="200", verb="GET"} 0+90x40
			apiserver_request_total{code="500", verb="GET"} 0+10x40`,
			[]string{`{} 0.1`},
		},
		{
			"a pending pod alerts, one of a Job does not", "PodNotReady", `
			kube_pod_status_phase{namespace="n", pod="waits", phase="Pending"} 1x40
			kube_pod_owner{namespace="n", pod="waits", owner_kind="ReplicaSet"} 1x40
			kube_pod_status_phase{namespace="n", pod="job", phase="Failed"} 1x40
			kube_pod_owner{namespace="n", pod="job", owner_kind="Job"} 1x40`,
			[]string{`{namespace="n", pod="waits"} 1`},
		},
		{
			"a deployment in the middle of a rollout does not alert", "DeploymentReplicasMissing", `
			kube_deployment_spec_replicas{namespace="n", deployment="stuck"} 3x40
			kube_deployment_status_replicas_available{namespace="n", deployment="stuck"} 2x40
			kube_deployment_status_replicas_updated{namespace="n", deployment="stuck"} 3x40
			kube_deployment_spec_replicas{namespace="n", deployment="moving"} 3x40
			kube_deployment_status_replicas_available{namespace="n", deployment="moving"} 2x40
			kube_deployment_status_replicas_updated{namespace="n", deployment="moving"} 0+1x40`,
			[]string{`{__name__="kube_deployment_spec_replicas", deployment="stuck", namespace="n"} 3`},
		},
		{
			"a node that is not ready is named", "NodeNotReady", `
			kube_node_status_condition{node="a", condition="Ready", status="true"} 1x40
			kube_node_status_condition{node="b", condition="Ready", status="true"} 0x40`,
			[]string{`{node="b"} 0`},
		},
		{
			"a job of ours without any target is named", "TargetMissing", `
			up{job="node-exporter"} 1x40
			up{job="kubelet"} 1x40
			up{job="apiserver"} 0x40`,
			[]string{`{job="kube-state-metrics"} 1`},
		},
		{
			"a disk that fills within a day alerts, a full one that does not grow does not", "NodeFilesystemFillingUp", `
			node_filesystem_avail_bytes{node="a", mountpoint="/"} 200-5x40
			node_filesystem_size_bytes{node="a", mountpoint="/"} 1000x40
			node_filesystem_readonly{node="a", mountpoint="/"} 0x40
			node_filesystem_avail_bytes{node="b", mountpoint="/"} 100x40
			node_filesystem_size_bytes{node="b", mountpoint="/"} 1000x40
			node_filesystem_readonly{node="b", mountpoint="/"} 0x40`,
			[]string{`{mountpoint="/", node="a"} 0.95`},
		},
		{
			"a certificate is named with its own namespace", "CertificateExpiresSoon", `
			certmanager_certificate_expiration_timestamp_seconds{namespace="cert-manager", exported_namespace="n", name="soon"} 5400x40
			certmanager_certificate_expiration_timestamp_seconds{namespace="cert-manager", exported_namespace="n", name="late"} 9999999x40`,
			[]string{`{exported_namespace="n", name="soon"} 3.6e+03`},
		},
		{
			"a module that fails is named", "AddonModuleFailing", `
			addon_operator_module_run_errors_total{module="broken"} 0+1x40
			addon_operator_module_run_errors_total{module="fine"} 3x40`,
			[]string{`{module="broken"} 15`},
		},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			series := promqltest.LoadedStorage(t, "load 1m\n\t"+strings.TrimSpace(test.series))
			if got := evaluate(t, series, expression(t, test.rule)); !slices.Equal(got, test.want) {
				t.Errorf("%s: want %q, got %q", test.rule, test.want, got)
			}
		})
	}
}
