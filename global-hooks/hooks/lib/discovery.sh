# shellcheck shell=bash
# What the discovery hooks share. Directories named lib are not searched for hooks.
#
# A hook sources this file, defines `config`, which prints its bindings, and calls
#
#   discovery::run KEY PROGRAM "$@"
#
# PROGRAM is a jq program. Its input maps each binding of the hook to the list of its filter results, its one output
# becomes /global/discovery/KEY as a whole. Definitions of discovery.jq are in scope.

DISCOVERY_LIB=$(cd -- "${BASH_SOURCE[0]%/*}" && pwd)

discovery::run() {
  local key=$1 program=$2
  if [[ ${3-} == --config ]]; then
    config
    return
  fi
  : "${BINDING_CONTEXT_PATH:?is set by the operator; to see the bindings, run the hook with --config}"
  : "${VALUES_JSON_PATCH_PATH:?is set by the operator; to see the bindings, run the hook with --config}"
  # One process per run. Keys are sorted, so equal facts are equal text; `input` fails on an empty file.
  jq -ncS -L "$DISCOVERY_LIB" --arg key "$key" \
    "include \"discovery\"; input | results | patch(\$key; $program)" \
    "$BINDING_CONTEXT_PATH" >>"$VALUES_JSON_PATCH_PATH"
}
