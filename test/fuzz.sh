#!/usr/bin/env bash
# Runs each fuzz target of the module for $FUZZTIME.
set -euo pipefail
cd "$(dirname "$0")/.."
found=0
mkdir -p build
packages=$(go list -f '{{.ImportPath}} {{.Dir}}' ./...)
while read -r pkg dir; do
  for target in $(grep -rhoE --include='*_test.go' --exclude-dir=testdata '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | sort -u); do
    found=$((found + 1))
    echo "fuzz $pkg $target for $FUZZTIME"
    go test -run '^$' -fuzz "^$target\$" -fuzzminimizetime 10x -fuzztime "$FUZZTIME" "$pkg" >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
      grep -o 'elapsed: .*' build/fuzz.log | tail -n 1
  done
done <<<"$packages"
echo "$found fuzz targets"
