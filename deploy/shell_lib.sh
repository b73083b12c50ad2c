# shellcheck shell=bash
# Library for hooks in bash, to be sourced:
#
#   #!/usr/bin/env bash
#   set -euo pipefail
#   source /shell_lib.sh
#
#   __config__() { echo '{"configVersion": "v1", "onStartup": 10}'; }
#   __on_startup() { echo "hello"; }
#   hook::run "$@"
#
# The functions are in framework/shell beside this file, in the image in /framework/shell, also called /frameworks/shell. Every
# *.sh there is sourced, so an image that adds one extends the library.
#
# It needs bash 4.2 and jq 1.6, and works with and without set -euo pipefail.

__shell_lib::load() {
  local here dir part
  here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
  for dir in "${here%/}/framework/shell" /framework/shell /frameworks/shell; do
    if [[ -f $dir/hook.sh ]]; then
      for part in "$dir"/*.sh; do
        # shellcheck source=/dev/null
        source "$part"
      done
      return 0
    fi
  done
  echo "shell_lib.sh: there is neither $here/framework/shell nor /framework/shell, which hold the functions" >&2
  return 1
}

# A file that a hook sources may source the library as well.
if ! declare -F hook::run >/dev/null; then
  __shell_lib::load || exit 1
fi
