// Package pkg is the map of the operator's house. It holds no code.
//
// Imports go one way only:
//
//	cmd  >  operator  >  { converge, hooksonly, hookrun, store, edges }  >  decide  >  model
//
// and edges never import each other. TestImportDirection reads the imports of
// every package here and fails on an edge that this table does not allow.
//
// MODEL: values in, values out; no I/O, clock, goroutine or client.
//
//	object     identity and health of one Kubernetes object
//	drift      fields that others may change, and how to leave them alone
//	health     expressions (CEL) that say whether an object is healthy
//	values     immutable snapshots, layers, deep merge, patch sets, names and keys
//	redact     secret values taken out of text for people
//	schema     OpenAPI schemas: extend, defaults, validation, secret leaves
//	hook       what a hook declares (Spec), gets (Input) and returns (Output)
//	module     a module read from its directory: Descriptor
//	settings   the user's ConfigMap: parse it key by key, edit its YAML text
//	installed  what is in the cluster of one module: release, objects, digests
//	status     conditions and phases; Ready is derived from the rest
//	artifact   a module as OCI layers: pack a directory, unpack what strangers packed
//	catalog    the signed document of a release channel, and its edits
//	source     ModuleSource and ModuleRelease, and what is remembered of releases
//
// DECIDE: pure functions over the model.
//
//	doctor     what is wrong with an operator and its modules, and the way out
//	enable     is a module on, and who decided
//	explain    where a value comes from, what moved, how objects differ
//	migrate    what becomes of a cluster that the predecessor looks after
//	order      may a module start, and if not, whom does it wait for
//	release    observed and wanted release > one action
//	channel    channel documents and policy > the version to run, and why not yet
//
// LOOP: the only state and the only decisions about when to act.
//
//	store      one atomic snapshot per section, one writer per section
//	hookrun    when hooks run and what they are given: start, lanes, phases, reviews
//	converge   the global pass, the module pass
//	hooksonly  a folder of hooks without modules
//	rollout    follows channels: which artifact each module has in force, and the way back
//
// EDGE: one kind of side effect each.
//
//	kube       watch, object operations, CRDs, namespaces, health and drift of objects
//	helm       load, render, install, upgrade, repair, uninstall; Helm types stay inside
//	exec       executable hook and enabled script > hook.Func
//	cron       schedules
//	config     the ConfigMap, the Secret and the facts in the cluster
//	dirwatch   tells when files below a directory changed and came to rest
//	probe      health checks of modules by HTTP and by executable
//	report     Module resources and Events
//	metrics    the operator's own metrics and those of hooks
//	web        HTTP endpoints and the debug socket
//	webhook    admission and conversion by hooks: HTTPS, certificates, configurations
//	registry   OCI registries and layouts, and the cache of what was fetched
//	sources    ModuleSource and ModuleRelease resources as users write them
//	leader     one of several replicas acts: Lease, and the fence before every write
//	sdk        hooks written in Go: as executables, and in process as hook.Func
//
// WIRE: operator sees both converge and the edges; testkit holds builders, fakes
// and the local cluster for tests; publish writes channels, for commands. For authors of hooks: hooklint explains files
// and configurations, hooktest runs one hook by itself and compares.
package pkg
