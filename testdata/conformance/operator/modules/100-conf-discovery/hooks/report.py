#!/usr/bin/env python3
# C-010: of a module that brings hooks/venv/bin/python3, a .py hook is started with that. (The one of this module is a stand-in
# that tells what it was asked and lets the shell read the file, so that no Python is needed here.)
if [ "$1" = --config ]; then echo '{"configVersion":"v1","onStartup":20}'; exit 0; fi
echo report.py >>"$CONFORMANCE_RECORD/discovery-module"
