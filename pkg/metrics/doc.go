// Package metrics counts what the operator does (section 12 of the contract) and
// keeps the metrics that hooks publish through METRICS_PATH (section 6). The two
// live in registries of their own, served at /metrics and /metrics/hooks.
//
// # The operator's own: Self
//
// Names follow the prefix, addon_operator_ or shell_operator_. In hooks-only mode
// (option Standalone) the labels module and kind are left out, but in
// hook_run_failures_total. The module of global hooks is "".
//
//	NewSelf             live_ticks; go_* and process_* without the prefix
//	HookRun             module_hook_{run_seconds,run_user_cpu_seconds,run_sys_cpu_seconds,run_max_rss_bytes,
//	                      errors_total,allowed_errors_total,success_total}{module,hook,binding,queue,activation}
//	                      and the counters once more as module_hook_run_*_total;
//	                    global_hook_*, the same without module;
//	                    hooks-only: hook_run_{seconds,user_cpu_seconds,sys_cpu_seconds,max_rss_bytes,
//	                      errors_total,allowed_errors_total,success_total}{hook,binding,queue};
//	                    hook_run_failures_total{hook,module,reason};
//	                    task_wait_in_queue_seconds_total{module,hook,binding,queue}
//	BindingsStarted     hooks-only: hook_enable_kubernetes_bindings_{seconds,errors_total,success}{hook}
//	Objects, Stopped    kube_snapshot_objects{module,hook,binding,queue,kind}
//	Filtered            kube_jq_filter_duration_seconds, likewise
//	Handled             kube_event_duration_seconds, likewise
//	Bindings            binding_count{module,hook}
//	MonitorMissing      binding_monitor_missing_total{binding}
//	Requested           kubernetes_client_request_latency_seconds{component,verb,url},
//	                    kubernetes_client_request_result_total{component,code,method,host}
//	WatchFailed         kubernetes_client_watch_errors_total{error_type}
//	WatchQueues         tasks_queue_length{queue}, tasks_queue_head_info{queue,module,task_type,hook},
//	                    d8_telemetry_<prefix>tasks_queue_compaction_tasks_by_hook{queue_name,hook}
//	QueueAction         tasks_queue_action_duration_seconds{queue_name,queue_action}
//	Compacted           d8_telemetry_<prefix>tasks_queue_compaction_operations_total{queue_name,hook}
//	ModuleRun           module_run_seconds, module_helm_seconds{module,activation}, module_run_errors_total,
//	                    modules_helm_release_redeployed_total{module}
//	Enabled             mm_module_enabled, d8_telemetry_module_enabled{module,version},
//	                    mm_module_info{module,enabled,critical}
//	ConfigProblem       config_values_errors_total
//	Polled, Followed    source_poll_failed, source_poll_failures_total, source_polled_timestamp_seconds,
//	                    source_document_seq, source_document_expiry_timestamp_seconds{source,channel}
//	Release             release_phase{module,version,source,channel,phase,reason}
//	Moved               release_rollbacks_total{module}
//	YankedRuns          module_yanked_running{module}
//	WatchHookMetrics    hook_metrics_series{module,hook}, hook_metrics_refused_total{module,hook}
//
// Forget drops the series of an owner's hooks when it is off, ForgetModule those of
// a module that is gone, KeepSources and KeepReleases those of others than are named.
//
// # Those of hooks: Hooks
//
// Hooks.Apply performs the operations of one METRICS_PATH and Hooks.Forget drops
// those of an owner. Bounds keep a hook that floods from taking all memory.
package metrics
