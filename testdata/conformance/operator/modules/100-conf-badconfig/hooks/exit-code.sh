#!/usr/bin/env bash
# C-020, C-022: --config fails; the error names hook, cause and output.
if [[ $1 == "--config" ]]; then echo "half a configuration"; echo "no database" >&2; exit 3; fi
