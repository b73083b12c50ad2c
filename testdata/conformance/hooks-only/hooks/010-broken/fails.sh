#!/usr/bin/env bash
# C-020, C-022: its --config fails; the others run all the same.
echo "no such thing" >&2
exit 4
