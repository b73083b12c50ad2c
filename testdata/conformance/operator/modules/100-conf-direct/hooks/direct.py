#!/bin/sh
# C-010: without hooks/venv a .py hook is started directly, with a warning.
if [ "$1" = --config ]; then echo '{"configVersion":"v1","onStartup":20}'; exit 0; fi
echo direct.py >>"$CONFORMANCE_RECORD/discovery-direct"
