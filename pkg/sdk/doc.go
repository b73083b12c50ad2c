// Package sdk is for hooks written in Go. A hook is a value: a name, the bindings
// that run it, and a function from typed input to recorded output. The contract is
// the one of any executable hook, so the same value works
//
//	sdk.Main(hook)                  as an executable: --config, and the files of C-101
//	registry.Add(owner, hook)       inside the operator: a hook.Hook and its hook.Func
//	sdk.Run(ctx, hook, input, log)  in a test: hook.Input in, hook.Output out
//
// and asks for the same things in each: outputs are recorded as the JSON that
// an executable writes, and in process that JSON is read by the same parsers.
//
//	pods := sdk.Kubernetes[string]{Name: "pods", Group: "g", APIVersion: "v1", Kind: "Pod", JQFilter: ".spec.nodeName"}
//	sdk.Main(sdk.Hook{
//		Name: "nodes-in-use",
//		On:   []sdk.Binding{pods},
//		Run: func(ctx context.Context, in *sdk.Input) error {
//			nodes, err := pods.Snapshot(in)
//			if err != nil {
//				return err
//			}
//			slices.Sort(nodes)
//			in.Values.Set("global.discovery.nodesInUse", slices.Compact(nodes))
//			return nil
//		},
//	})
//
// # Input
//
//	in.Contexts                          what happened, in order (C-120)
//	binding.Snapshot(in)                 all objects of a binding, typed (C-130)
//	binding.Items(c)                     the objects of one Synchronization or Event, typed
//	sdk.Get[T](in.Values, "global.x")    a value, typed; GetOr with a fallback (C-106)
//
// # Output
//
//	in.Values.Set, Remove                VALUES_JSON_PATCH_PATH (C-320)
//	in.ConfigValues.Set, Remove          CONFIG_VALUES_JSON_PATCH_PATH
//	in.Objects.Create, MergePatch …      KUBERNETES_PATCH_PATH (C-200)
//	in.Metrics.Set, Add, Observe …       METRICS_PATH (C-220)
//	in.Admission, in.Conversion          the answer to a review (C-246, C-258)
//	in.Log                               the operator's log (C-112)
//
// Nothing of it has an effect when Run returns an error or panics (C-108).
//
// The package needs neither a client of the API server nor anything of the
// operator but the model of hooks, so a hook stays small; a hook that wants a
// client brings its own.
package sdk
