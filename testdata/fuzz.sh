#!/usr/bin/env bash
# Fuzzes every parser: finds all fuzz targets of all Go modules of this repository, gives each an equal share of the time,
# and prints what was done. A crash ends with status 1; the input is then in testdata/fuzz/ beside its test, where every
# later `go test` runs it: commit it with the fix.
#
#   testdata/fuzz.sh            fuzz
#   testdata/fuzz.sh list       print the targets
#   testdata/fuzz.sh sum FILE   add up what FUZZLOG collected
#
# DURATION=10m  for all targets together, such as 90s, 10m or 1h30m
# FUZZTIME=     for each target, in place of a share of DURATION; also a number of executions such as 1000x
# FUZZ=         only targets whose "package.Name" matches this extended regular expression
# FUZZLOG=      append one line for each target run: target, executions, seconds, new interesting inputs, failures
# GOMAXPROCS=   processes at once, all cores by default
set -euo pipefail

go=${GO:-go}

# targets prints one line each: directory of the package, name.
targets() {
	git ls-files -co --exclude-standard -- '*_test.go' | sort -u | while read -r file; do
		[[ -f $file ]] || continue
		sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*\*testing\.F\).*/\1/p' "$file" | while read -r name; do
			target=$(dirname "$file").$name
			if [[ $target =~ ${FUZZ:-} ]]; then echo "$(dirname "$file") $name"; fi
		done
	done
}

# seconds reads a duration such as 1h30m.
seconds() {
	local text=$1 sum=0
	while [[ $text =~ ^([0-9]+)([hms])(.*)$ ]]; do
		case ${BASH_REMATCH[2]} in h) n=3600 ;; m) n=60 ;; s) n=1 ;; esac
		sum=$((sum + BASH_REMATCH[1] * n)) text=${BASH_REMATCH[3]}
	done
	[[ -z $text && $sum -gt 0 ]] || { echo "DURATION=$1: expected a duration such as 90s, 10m or 1h30m" >&2; return 2; }
	echo "$sum"
}

# table adds up lines as FUZZLOG has them.
table() {
	awk -F '\t' '
		BEGIN { line = "%-44s %12s %8s %8s %8s\n"; printf line, "target", "executions", "minutes", "new", "failures" }
		function row(name, a, b, c, d) { printf line, name, sprintf("%.0f", a), sprintf("%.1f", b / 60), c, d }
		!($1 in runs) { order[++n] = $1 }
		{ runs[$1]++; execs[$1] += $2; secs[$1] += $3; new[$1] += $4; bad[$1] += $5 }
		{ E += $2; S += $3; I += $4; B += $5 }
		END { for (i = 1; i <= n; i++) row(order[i], execs[order[i]], secs[order[i]], new[order[i]], bad[order[i]]); row("all " n, E, S, I, B) }
	' "$1"
}

# fuzz runs one target and appends its line to the log; its output is shown when it failed.
fuzz() {
	local dir=$1 name=$2 output=$3 log=$4 failed=0 last
	(cd "$dir" && "$go" test -trimpath -run '^$' -fuzz "^$name\$" -fuzztime "$share" .) >"$output" 2>&1 || failed=1
	# A worker that the end of the time interrupts is sometimes reported as a failure without an input.
	if ((failed)) && grep -q 'context deadline exceeded' "$output" && ! grep -Eq 'Failing input written|panic:|build failed' "$output"; then failed=0; fi
	if ((failed)); then
		echo "--- $dir.$name failed:"
		cat "$output"
	fi
	last=$(grep -E '^fuzz: elapsed: .* execs: ' "$output" | tail -1 || true)
	local execs=0 new=0 secs=0
	[[ $last =~ execs:\ ([0-9]+) ]] && execs=${BASH_REMATCH[1]}
	[[ $last =~ interesting:\ ([0-9]+) ]] && new=${BASH_REMATCH[1]}
	# Compiling does not count; what the fuzzer says does.
	[[ $last =~ elapsed:\ ([0-9hms]+) && ${BASH_REMATCH[1]} != 0s ]] && secs=$(seconds "${BASH_REMATCH[1]}")
	printf '%s\t%s\t%s\t%s\t%s\n' "$dir.$name" "$execs" "$secs" "$new" "$failed" | tee -a "$log" ${FUZZLOG:+"$FUZZLOG"} |
		awk -F '\t' '{ printf "%s: %s executions in %s s, %s new interesting inputs, %s failures\n", $1, $2, $3, $4, $5 }'
	((!failed))
}

case ${1:-} in
sum) table "$2"; exit ;;
list | '') cd "$(dirname "$0")/.." ;;
*) echo "usage: $0 [list | sum FILE]" >&2; exit 2 ;;
esac

mapfile -t all < <(targets)
if [[ ${1:-} == list ]]; then printf '%s\n' "${all[@]/ /.}"; exit; fi
((${#all[@]})) || { echo "no fuzz target matches FUZZ=${FUZZ:-}: $0 list prints them without FUZZ" >&2; exit 2; }
total=$(seconds "${DURATION:-10m}")
share=${FUZZTIME:-$((total / ${#all[@]} > 0 ? total / ${#all[@]} : 1))s}
echo "fuzzing ${#all[@]} targets, $share each"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
for target in "${all[@]}"; do
	# shellcheck disable=SC2086 # two words
	fuzz $target "$work/output" "$work/log" || failures=$((failures + 1))
done
echo
table "$work/log"
((!failures)) || { echo "$failures targets failed: their inputs are in testdata/fuzz/ beside the tests" >&2; exit 1; }
