#!/usr/bin/env bash
# Everything CI runs, step after step. A failed step does not hide the next
# ones; the closing line has the sum of all. Called by `make test`.
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
export TESTSUM_FILE="$PWD/build/results"
: >"$TESTSUM_FILE"
rm -f "$TESTSUM_FILE.failed" # what failed and why, which the closing lines repeat
failed=() left_out=()
started=$SECONDS

# need COMMAND PACKAGE: true when the command is there, after an install where
# that can be done (Debian, as root).
need() {
  command -v "$1" >/dev/null && return 0
  if [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
    echo "installing $2"
    { [ -n "${apt_updated:-}" ] || apt-get update -qq; } && apt_updated=1 &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
  fi
  command -v "$1" >/dev/null && return 0
  echo "MISSING: $1 (Debian package: $2)"
  return 1
}

# step TARGET: make it; every step counts at least once in the results.
step() {
  local before at=$SECONDS
  before=$(wc -l <"$TESTSUM_FILE")
  echo "=== $1"
  if make "$1"; then
    [ "$(wc -l <"$TESTSUM_FILE")" -gt "$before" ] || echo "1 0 0" >>"$TESTSUM_FILE"
  else
    failed+=("$1")
    [ "$(wc -l <"$TESTSUM_FILE")" -gt "$before" ] || echo "0 1 0" >>"$TESTSUM_FILE"
  fi
  echo "=== $1: $((SECONDS - at)) s"
}

# without TARGET: a machine of one's own may lack something, CI may not.
without() {
  left_out+=("$1")
  if [ -n "${CI:-}" ]; then
    failed+=("$1")
    echo "0 1 0" >>"$TESTSUM_FILE"
  else
    echo "0 0 1" >>"$TESTSUM_FILE"
  fi
}

if ! need go golang-go; then
  echo "nothing can be tested without Go 1.26"
  exit 1
fi
# As xcaddy builds, so that what it needs was compiled before. The race detector sets
# CGO_ENABLED by itself.
export CGO_ENABLED=0 GOFLAGS="-trimpath ${GOFLAGS:-}"
# Compiling the linter takes minutes: with what the tests leave of the processors.
(nice -n 19 make build/golangci-lint >build/golangci-lint.log 2>&1) &
linter=$!
# A service that would start with one's machine, for a test that says so where it skips.
[ -z "${CI:-}" ] || need promtool prometheus || without promtool
step unit
step integration
if need npm npm; then step clients; else without clients; fi
if need node nodejs && need npm npm; then step ui-test; else without ui-test; fi
if need npm npm && need chromium chromium; then step browser; else without browser; fi
if need gcc gcc; then step race; else without race; fi
# Longer than that is make fuzz, by itself: docs/reliability.md has its last result.
FUZZTIME=${FUZZTIME:-10s} FUZZTIME_SHORT=${FUZZTIME_SHORT:-3s} step fuzz
step smoke
wait "$linter" || cat build/golangci-lint.log
step lint

echo
[ ${#left_out[@]} = 0 ] || echo "left out, see MISSING above: ${left_out[*]}"
[ ${#failed[@]} = 0 ] || echo "failed: ${failed[*]}"
echo "$((SECONDS - started)) seconds"
build/testsum -total
code=$?
[ ${#failed[@]} = 0 ] || code=1
exit $code
