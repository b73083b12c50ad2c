package sdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"

	admissionregistration "k8s.io/api/admissionregistration/v1"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/sdk"
)

// A hook states a fact about objects of the cluster; in the main function of an executable stands sdk.Main(nodesInUse()).
func nodesInUse() sdk.Hook {
	pods := sdk.Kubernetes[string]{
		Name: "pods", Group: "nodes-in-use", APIVersion: "v1", Kind: "Pod", JQFilter: `.spec.nodeName // ""`,
	}
	return sdk.Hook{
		Name: "nodes-in-use",
		On:   []sdk.Binding{pods},
		Run: func(_ context.Context, in *sdk.Input) error {
			nodes, err := pods.Snapshot(in)
			if err != nil {
				return err
			}
			slices.Sort(nodes)
			nodes = slices.Compact(nodes)
			in.Values.Set("global.discovery.nodesInUse", nodes)
			in.Metrics.Set("nodes_in_use", float64(len(nodes)), nil)
			return nil
		},
	}
}

// A test of a hook needs no cluster: input as the operator writes it, output as it reads it.
func ExampleRun() {
	out, err := sdk.Run(context.Background(), nodesInUse(), hook.Input{
		Contexts: []byte(`[{"binding": "pods", "type": "Group", "groupName": "nodes-in-use", "snapshots": {"pods": [
			{"filterResult": "node-2"}, {"filterResult": "node-1"}, {"filterResult": "node-2"}]}}]`),
	}, slog.New(slog.DiscardHandler))
	text, _ := json.Marshal(out.Values)
	fmt.Println(string(text), err)
	// Output: [{"op":"add","path":"/global/discovery/nodesInUse","value":["node-1","node-2"]}] <nil>
}

func ExampleHook_Config() {
	text, err := nodesInUse().Config()
	fmt.Println(string(text), err)
	// Output:
	// {
	//   "configVersion": "v1",
	//   "kubernetes": [
	//     {
	//       "apiVersion": "v1",
	//       "group": "nodes-in-use",
	//       "jqFilter": ".spec.nodeName // \"\"",
	//       "keepFullObjectsInMemory": false,
	//       "kind": "Pod",
	//       "name": "pods"
	//     }
	//   ]
	// }
	//  <nil>
}

// In process, the operator loads and runs a hook as if it were an executable.
func ExampleRegistry() {
	registry := sdk.NewRegistry(sdk.Options{})
	if err := registry.Add(hook.Global, nodesInUse()); err != nil {
		fmt.Println(err)
	}
	for _, h := range registry.Hooks(hook.Global) {
		run, _ := registry.Bind(h)
		_, err := run(context.Background(), hook.Input{Contexts: []byte(`[{"binding": "x", "snapshots": {}}]`)})
		fmt.Println(h.ID, h.Spec.Kubernetes[0].Kind)
		fmt.Println(err)
	}
	// Output:
	// global/hooks/nodes-in-use Pod
	// hook global/hooks/nodes-in-use: none of the 1 binding contexts has snapshots of "pods": give the bindings a common Group, or name it in IncludeSnapshotsFrom
}

func ExampleValidating() {
	h := sdk.Hook{
		Name: "no-latest",
		On: []sdk.Binding{sdk.Validating{Name: "no-latest.example.com", Rules: []admissionregistration.RuleWithOperations{{
			Operations: []admissionregistration.OperationType{admissionregistration.Create},
			Rule:       admissionregistration.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}}}},
		Run: func(_ context.Context, in *sdk.Input) error {
			for _, c := range in.Contexts {
				request, err := c.AdmissionRequest()
				if err != nil {
					return err
				}
				if request.Namespace == "production" {
					in.Admission.Deny("not into production: " + request.Name)
					return nil
				}
			}
			in.Admission.Allow()
			return nil
		},
	}
	out, err := sdk.Run(context.Background(), h, hook.Input{
		Contexts: []byte(`[{"binding": "no-latest.example.com", "type": "Validating", "review": {"request": {"name": "web", "namespace": "production"}}}]`),
	}, slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	fmt.Println(out.Admission.Allowed, out.Admission.Message, err)
	// Output: false not into production: web <nil>
}
