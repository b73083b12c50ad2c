# shellcheck shell=bash
# context::* reads what the hook runs for (C-116).
#
# A PATH is dotted: object.metadata.name, with or without a dot before it. Keys with dots are quoted, elements of lists have
# numbers: object.metadata.labels."app.kubernetes.io/name", objects[0].filterResult.

# context::global::jq ARGUMENTS... runs jq on the list of all contexts of the run.
context::global::jq() {
  hook::_need BINDING_CONTEXT_PATH
  jq "$@" "$BINDING_CONTEXT_PATH"
}

# context::jq ARGUMENTS... runs jq on the current context.
context::jq() {
  hook::_need BINDING_CONTEXT_PATH
  jq -c ".[${BINDING_CONTEXT_CURRENT_INDEX:-0}]" "$BINDING_CONTEXT_PATH" | jq "$@"
}

# context::get [--required] PATH prints a value: a string without quotes, else JSON. What is absent is null, or with --required an
# error.
context::get() { hook::_get context::jq "$@"; }

# context::has PATH: there is a value, be it null.
context::has() { hook::_test context::jq '.found' "$@"; }

# context::is_true PATH, context::is_false PATH: the value is that boolean.
context::is_true() { hook::_test context::jq '.value == true' "$@"; }
context::is_false() { hook::_test context::jq '.value == false' "$@"; }

# context::is_null PATH: the value is null or absent.
context::is_null() { hook::_test context::jq '.value == null' "$@"; }

# shellcheck disable=SC2016
__HOOK_JQ='
def path_keys: [scan("\"((?:[^\"\\\\]|\\\\.)*)\"|\\[([0-9]+)\\]|([^.\\[\\]\"]+)") | map(select(. != null))[0]];
def find($path): reduce ($path | path_keys)[] as $key ({found: true, value: .};
  .value as $v
  | if .found and ($v | type) == "object" and ($v | has($key)) then .value = $v[$key]
    elif .found and ($v | type) == "array" and ($key | test("^[0-9]+$")) and ($key | tonumber) < ($v | length)
    then .value = $v[$key | tonumber]
    else {found: false, value: null}
    end);
def pointer: if startswith("/") then . else [path_keys[] | "/" + (gsub("~"; "~0") | gsub("/"; "~1"))] | add end;
def pairs: [.[] | capture("^(?<key>[^=]+)=(?<value>(?:.|\n)*)$") // error("expected KEY=TEXT, got \(.)")] | from_entries;
'

# hook::_get JQ [--required] PATH
hook::_get() {
  local jq=$1 required=false
  shift
  if [[ ${1-} == --required ]]; then
    required=true
    shift
  fi
  # shellcheck disable=SC2016
  "$jq" -r --arg path "${1?a path is expected}" --argjson required "$required" \
    "$__HOOK_JQ"'find($path) | if .found or ($required | not) then .value else error("\($path) is absent") end'
}

# hook::_test JQ CONDITION PATH
hook::_test() {
  # shellcheck disable=SC2016
  "$1" -e --arg path "${3?a path is expected}" "${__HOOK_JQ}find(\$path) | $2" >/dev/null
}
