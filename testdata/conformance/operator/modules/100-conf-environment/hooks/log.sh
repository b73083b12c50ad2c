#!/usr/bin/env bash
# C-111, C-112, C-113: lines of text and of JSON.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
afterHelm: 11
EOF
  exit 0
fi
echo "a plain line"
echo "a line on stderr" >&2
echo "{\"level\": \"warn\", \"msg\": \"the disk is nearly full\", \"time\": \"2001-02-03T04:05:06Z\", \"disk\": \"sda1\", \"used\": 97}"
echo "{\"result\": \"nothing to say\"}"
echo "{not JSON at all"
printf "{\"msg\": \"long value\", \"text\": \"%s\"}\n" "$(printf "x%.0s" {1..10001})"
# In two writes, and longer than a pipe holds.
printf "{\"msg\": \"in two parts\", \"part\": \"%s" "$(printf "y%.0s" {1..70000})"
printf "\", \"end\": true}\n"
