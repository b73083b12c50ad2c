#!/usr/bin/env bash
# C-026: empty output is an empty v0 configuration.
exit 0
