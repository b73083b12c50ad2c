#!/usr/bin/env bash
# global.discovery.kubernetes and global.discovery.apiVersions: the version and distribution of Kubernetes, and the API
# versions and kinds it serves.
#
# No object tells these, so the hook is a Go program that asks the API server: cmd/discover-api. It is a hook like any other;
# this script only finds the binary, because a checkout holds no binaries: DISCOVER_API_BIN, else bin/ of the checkout, else PATH.
set -euo pipefail

root=$(cd -- "${BASH_SOURCE[0]%/*}/../.." && pwd)
for binary in "${DISCOVER_API_BIN-}" "$root/bin/discover-api" "$(type -P discover-api || true)"; do
  if [[ -n $binary && -x $binary ]]; then
    exec "$binary" "$@"
  fi
done
echo "discover-api is neither in $root/bin nor on PATH: run 'make build', or point DISCOVER_API_BIN at it" >&2
exit 1
