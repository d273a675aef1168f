#!/usr/bin/env bash
# Checks of the repository itself: licence lines, tidy modules, lock files.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
fail() { echo "$*"; bad=1; }

while read -r f; do
  head -n 1 "$f" | grep -q '^// SPDX-License-Identifier: Apache-2.0$' || fail "$f: first line is not the licence line"
done < <(git ls-files -co --exclude-standard '*.go')

for dir in . tools test/clients; do
  [ ! -f "$dir/go.mod" ] || (cd "$dir" && go mod tidy -diff >/dev/null 2>&1) || fail "$dir/go.mod: run go mod tidy"
done
! grep -nE '^(replace|exclude|toolchain|tool)\b' go.mod || fail "go.mod: nothing that consumers do not see"
! grep -nE '^\s+"resolved"' $(git ls-files -co --exclude-standard '*package-lock.json') /dev/null ||
  fail "package-lock.json: no download addresses (npm install --omit-lockfile-registry-resolved)"
exit $bad
