#!/usr/bin/env bash
# Runs each fuzz target for $FUZZTIME, those with the official SDKs included.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
found=0

# run DIRECTORY TARGET; its output is in build/fuzz.log. The fuzzing engine itself
# fails now and then when its time is over while a worker is busy: no input is at
# fault then, and none is written. Such a run is repeated; a find fails at once.
run() {
  for _ in 1 2 3; do
    go -C "$1" test -run '^$' -fuzz "^$2\$" -fuzzminimizetime 10x -fuzztime "$FUZZTIME" . >build/fuzz.log 2>&1 && return 0
    grep -q 'context deadline exceeded' build/fuzz.log && ! grep -q 'Failing input' build/fuzz.log || break
    echo "the engine ran out of time, not the target; again"
  done
  cat build/fuzz.log
  return 1
}

packages=$(
  go list -f '{{.ImportPath}} {{.Dir}}' ./...
  go -C test/clients list -f '{{.ImportPath}} {{.Dir}}' ./types
)
while read -r pkg dir; do
  for target in $(grep -rhoE --include='*_test.go' --exclude-dir=testdata '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | sort -u); do
    found=$((found + 1))
    echo "fuzz $pkg $target for $FUZZTIME"
    run "$dir" "$target"
    grep -o 'elapsed: .*' build/fuzz.log | tail -n 1
  done
done <<<"$packages"
echo "$found fuzz targets"
