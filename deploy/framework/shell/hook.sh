# shellcheck shell=bash
# hook::run calls a function of the hook for each thing that happened, in a subshell of its own (C-116):
#
#   __config__                                                for --config
#   __on_startup
#   __on_kubernetes::NAME::synchronization | added | modified | deleted
#   __on_kubernetes::NAME::added_or_modified
#   __on_kubernetes::NAME
#   __on_group::NAME
#   __on_schedule::NAME
#   __on_validating::NAME
#   __on_mutating::NAME
#   __on_conversion::NAME::FROM::TO                           a / in a version is written .
#   __on_conversion::NAME
#   __main__                                                  all of the above, beforeHelm and the like
#
# NAME is that of the binding or group in the configuration. Of the functions that fit, the first one defined is called; a hook
# without any ends with status 1. In it, BINDING_CONTEXT_CURRENT_INDEX and BINDING_CONTEXT_CURRENT_BINDING tell what it is about, and
# context::* reads it.

# hook::run "$@" is the last line of a hook.
hook::run() {
  if [[ ${1-} == --config ]]; then
    if ! hook::_defined __config__; then
      hook::_die "define the function __config__, which prints the configuration"
    fi
    __config__
    exit 0
  fi
  hook::_need BINDING_CONTEXT_PATH
  local plan i
  local -a lines
  plan=$(jq -r "$__HOOK_PLAN" "$BINDING_CONTEXT_PATH") || hook::_die "BINDING_CONTEXT_PATH holds no list of binding contexts"
  mapfile -t lines <<<"$plan"
  for ((i = 0; i + 1 < ${#lines[@]}; i += 2)); do
    export BINDING_CONTEXT_CURRENT_INDEX=$((i / 2))
    export BINDING_CONTEXT_CURRENT_BINDING=${lines[i]}
    hook::_handle "${lines[i + 1]}"
  done
}

# __HOOK_PLAN prints two lines for each context: its binding, and the functions for it, separated by tabs. Tabs and line breaks
# cannot be in names of functions, so they may go.
# shellcheck disable=SC2016
__HOOK_PLAN='
def plain: tostring | gsub("[\t\r\n]"; " ");
def version: . // "" | tostring | gsub("/"; ".");
def handlers:
  "\(.binding // "")" as $name
  | if .type == null and $name == "onStartup" then ["__on_startup"]
    elif .type == "Synchronization" then ["__on_kubernetes::\($name)::synchronization", "__on_kubernetes::\($name)"]
    elif .type == "Event" then
      ("\(.watchEvent // "")" | ascii_downcase) as $event
      | ["__on_kubernetes::\($name)::\($event)"]
        + (if $event == "added" or $event == "modified" then ["__on_kubernetes::\($name)::added_or_modified"] else [] end)
        + ["__on_kubernetes::\($name)"]
    elif .type == "Group" then ["__on_group::\(.groupName // "")"]
    elif .type == "Schedule" then ["__on_schedule::\($name)"]
    elif .type == "Validating" then ["__on_validating::\($name)"]
    elif .type == "Mutating" then ["__on_mutating::\($name)"]
    elif .type == "Conversion" then
      ["__on_conversion::\($name)::\(.fromVersion | version)::\(.toVersion | version)", "__on_conversion::\($name)"]
    else []
    end
  + ["__main__"];
if type == "array" then .[] else error("expected a list of binding contexts, got \(type)") end
| (.binding // "" | plain), (handlers | map(plain) | join("\t"))'

# hook::_handle HANDLERS calls the first function of a list separated by tabs.
hook::_handle() {
  local -a handlers
  local handler list status
  IFS=$'\t' read -r -a handlers <<<"$1"
  for handler in "${handlers[@]}"; do
    if hook::_defined "$handler"; then
      # Not part of a condition, which would switch off set -e in the function.
      ("$handler")
      status=$?
      if ((status != 0)); then
        exit "$status"
      fi
      return 0
    fi
  done
  printf -v list ', %s' "${handlers[@]}"
  hook::_die "no handler for binding '$BINDING_CONTEXT_CURRENT_BINDING': define one of ${list:2}"
}

hook::_defined() { declare -F -- "$1" >/dev/null; }

hook::_die() {
  printf 'hook %s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# hook::_need VARIABLE ends the hook if the operator did not set it.
hook::_need() {
  if [[ -z ${!1-} ]]; then
    hook::_die "$1 is not set: the operator sets it where there is such a file; to see the bindings, run the hook with --config"
  fi
}
