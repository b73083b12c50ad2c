# shellcheck shell=bash
# Beyond the predecessor's library: values, operations on objects, metrics, answers to reviews and log lines without writing JSON by
# hand. Text is quoted by jq, never pasted into JSON. PATH is as for context::get; /hello/a~1b, a JSON pointer, works for set and unset.
#
# All of it takes effect when the hook ends with status 0, and nothing of it otherwise (C-108).

# values::jq ARGUMENTS..., values::get [--required] PATH, values::has PATH read the effective values; config::* those of the
# user's ConfigMap.
values::jq() {
  hook::_need VALUES_PATH
  jq "$@" "$VALUES_PATH"
}
values::get() { hook::_get values::jq "$@"; }
values::has() { hook::_test values::jq '.found' "$@"; }
values::is_true() { hook::_test values::jq '.value == true' "$@"; }

config::jq() {
  hook::_need CONFIG_VALUES_PATH
  jq "$@" "$CONFIG_VALUES_PATH"
}
config::get() { hook::_get config::jq "$@"; }
config::has() { hook::_test config::jq '.found' "$@"; }
config::is_true() { hook::_test config::jq '.value == true' "$@"; }

# values::set PATH TEXT and values::set --json PATH JSON set a value, whose parent must exist (C-323).
values::set() { hook::_set VALUES_JSON_PATCH_PATH "$@"; }
config::set() { hook::_set CONFIG_VALUES_JSON_PATCH_PATH "$@"; }

# values::unset PATH removes a value, which must exist (C-323).
values::unset() { hook::_unset VALUES_JSON_PATCH_PATH "$@"; }
config::unset() { hook::_unset CONFIG_VALUES_JSON_PATCH_PATH "$@"; }

# hook::_set VARIABLE [--json] PATH VALUE
hook::_set() {
  local file=$1 kind=--arg
  shift
  hook::_need "$file"
  if [[ ${1-} == --json ]]; then
    kind=--argjson
    shift
  fi
  # shellcheck disable=SC2016
  jq -nc --arg path "${1?a path is expected}" "$kind" value "${2?a value is expected}" \
    "$__HOOK_JQ"'{op: "add", path: ($path | pointer), value: $value}' >>"${!file}"
}

hook::_unset() {
  hook::_need "$1"
  # shellcheck disable=SC2016
  jq -nc --arg path "${2?a path is expected}" "$__HOOK_JQ"'{op: "remove", path: ($path | pointer)}' >>"${!1}"
}

# kubernetes::create [OBJECT], kubernetes::create_if_not_exists [OBJECT], kubernetes::create_or_update [OBJECT]: OBJECT is JSON or
# YAML; without it, it is read from stdin.
kubernetes::create() { kubernetes::_create Create "$@"; }
kubernetes::create_if_not_exists() { kubernetes::_create CreateIfNotExists "$@"; }
kubernetes::create_or_update() { kubernetes::_create CreateOrUpdate "$@"; }

kubernetes::_create() {
  hook::_need KUBERNETES_PATCH_PATH
  # shellcheck disable=SC2016
  kubernetes::_text "${@:2}" | jq -Rsc --arg operation "$1" '{operation: $operation, object: .}' >>"$KUBERNETES_PATCH_PATH"
}

kubernetes::_text() { if (($# > 0)); then printf '%s' "$1"; else cat; fi; }

# kubernetes::delete [OPTIONS] KIND NAME deletes an object and waits until it is gone; delete_in_background does not wait, and
# delete_non_cascading leaves what the object owns. OPTIONS are --api-version V, --namespace N; for patches also --subresource S and
# --ignore-missing.
kubernetes::delete() { kubernetes::_operation Delete '' "$@"; }
kubernetes::delete_in_background() { kubernetes::_operation DeleteInBackground '' "$@"; }
kubernetes::delete_non_cascading() { kubernetes::_operation DeleteNonCascading '' "$@"; }

# kubernetes::merge_patch [OPTIONS] KIND NAME [PATCH], kubernetes::json_patch … [PATCH], kubernetes::jq_patch … [PROGRAM]: PATCH is
# JSON or YAML; without it, it is read from stdin.
kubernetes::merge_patch() { kubernetes::_operation MergePatch mergePatch "$@"; }
kubernetes::json_patch() { kubernetes::_operation JSONPatch jsonPatch "$@"; }
kubernetes::jq_patch() { kubernetes::_operation JQPatch jqFilter "$@"; }

# kubernetes::_operation VERB KEY [OPTIONS] KIND NAME [TEXT]; KEY is where the text goes, empty without.
kubernetes::_operation() {
  hook::_need KUBERNETES_PATCH_PATH
  local verb=$1 key=$2 version='' namespace='' subresource='' ignore=false
  shift 2
  while [[ ${1-} == --* ]]; do
    case $1 in
      --api-version) version=${2?} && shift 2 ;;
      --namespace) namespace=${2?} && shift 2 ;;
      --subresource) subresource=${2?} && shift 2 ;;
      --ignore-missing) ignore=true && shift ;;
      *) hook::_die "$verb: unknown option $1: use --api-version, --namespace, --subresource or --ignore-missing" ;;
    esac
  done
  local kind=${1?a kind is expected} name=${2?a name is expected}
  shift 2
  # shellcheck disable=SC2016
  if [[ -n $key ]]; then kubernetes::_text "$@"; fi | jq -Rsc --arg operation "$verb" --arg key "$key" --arg apiVersion "$version" \
    --arg kind "$kind" --arg namespace "$namespace" --arg name "$name" --arg subresource "$subresource" --argjson ignore "$ignore" '
      . as $text
      | {$operation, $apiVersion, $kind, $namespace, $name, $subresource} | with_entries(select(.value != ""))
      | if $key != "" then .[$key] = $text else . end
      | if $ignore then .ignoreMissingObject = true else . end' >>"$KUBERNETES_PATCH_PATH"
}

# metrics::set [--group G] NAME VALUE [LABEL=TEXT...] sets a gauge, metrics::add adds to a counter.
metrics::set() { metrics::_sample set "$@"; }
metrics::add() { metrics::_sample add "$@"; }

# metrics::observe [--group G] --buckets '[1, 5, 10]' NAME VALUE [LABEL=TEXT...] counts a value in a histogram.
metrics::observe() { metrics::_sample observe "$@"; }

# metrics::expire GROUP removes all metrics of a group.
metrics::expire() {
  hook::_need METRICS_PATH
  # shellcheck disable=SC2016
  jq -nc --arg group "${1?a group is expected}" '{action: "expire", $group}' >>"$METRICS_PATH"
}

metrics::_sample() {
  hook::_need METRICS_PATH
  local action=$1 group='' buckets=null
  shift
  while [[ ${1-} == --* ]]; do
    case $1 in
      --group) group=${2?} && shift 2 ;;
      --buckets) buckets=${2?} && shift 2 ;;
      *) hook::_die "metrics::$action: unknown option $1: use --group or --buckets" ;;
    esac
  done
  local name=${1?a name is expected} value=${2?a value is expected}
  shift 2
  # shellcheck disable=SC2016
  jq -nc --arg action "$action" --arg group "$group" --argjson buckets "$buckets" --arg name "$name" --argjson value "$value" \
    "$__HOOK_JQ"'
    {$action, $name, $value}
    | if $group != "" then .group = $group else . end
    | if $buckets != null then .buckets = $buckets else . end
    | .labels = ($ARGS.positional | pairs)' \
    --args -- "$@" >>"$METRICS_PATH"
}

# response::allow [WARNING...], response::deny MESSAGE [WARNING...] answer the review of __on_validating and __on_mutating.
response::allow() { response::_admission true '' "$@"; }
response::deny() { response::_admission false "$@"; }

# response::patch JSON_PATCH allows the request with the object changed (RFC 6902); for __on_mutating.
response::patch() {
  hook::_need ADMISSION_RESPONSE_PATH
  # shellcheck disable=SC2016
  jq -nc --argjson patch "${1?a JSON patch is expected}" '{allowed: true, patch: ($patch | tojson | @base64)}' >"$ADMISSION_RESPONSE_PATH"
}

response::_admission() {
  hook::_need ADMISSION_RESPONSE_PATH
  local allowed=$1 message=${2?a message is expected}
  shift 2
  # shellcheck disable=SC2016
  jq -nc --argjson allowed "$allowed" --arg message "$message" '
    {$allowed} + (if $message != "" then {$message} else {} end)
    + (if $ARGS.positional != [] then {warnings: $ARGS.positional} else {} end)' \
    --args -- "$@" >"$ADMISSION_RESPONSE_PATH"
}

# response::convert PROGRAM answers the review of __on_conversion: the jq program changes each object that has the version to convert
# from; its apiVersion is set, and the other objects are passed on as they are (C-257).
response::convert() {
  hook::_need CONVERSION_RESPONSE_PATH
  # shellcheck disable=SC2016
  context::jq -c '
    def of($full; $step): $full == $step or ($full | split("/") | length == 2 and .[1] == $step);
    def named($full; $step): if $step | contains("/") then $step else ($full | split("/")[:-1] + [$step] | join("/")) end;
    .fromVersion as $from | .toVersion as $to
    | {convertedObjects: [.review.request.objects[]
        | .apiVersion as $is
        | if of($is; $from) then .apiVersion = named($is; $to) | ('"${1?a jq program is expected}"'
          ) else . end]}' >"$CONVERSION_RESPONSE_PATH"
}

# response::fail MESSAGE answers that the conversion is impossible, and why.
response::fail() {
  hook::_need CONVERSION_RESPONSE_PATH
  # shellcheck disable=SC2016
  jq -nc --arg message "${1?a message is expected}" '{failedMessage: $message}' >"$CONVERSION_RESPONSE_PATH"
}

# log::debug MESSAGE [KEY=TEXT...], log::info, log::warn and log::error write to the operator's log (C-112).
log::debug() { log::_line debug "$@"; }
log::info() { log::_line info "$@"; }
log::warn() { log::_line warn "$@"; }
log::error() { log::_line error "$@"; }

log::_line() {
  local level=$1 msg=${2?a message is expected}
  shift 2
  # shellcheck disable=SC2016
  jq -nc --arg level "$level" --arg msg "$msg" "$__HOOK_JQ"'
    {$level, $msg} + ($ARGS.positional | pairs)' --args -- "$@"
}
