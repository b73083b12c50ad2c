#!/usr/bin/env bash
# C-020, C-022: a global hook that cannot be read counts as failing; the process goes on.
echo "{\"configVersion\": \"v1\", \"beforeHelm\": 1}"
