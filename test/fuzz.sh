#!/usr/bin/env bash
# Fuzzes each target, those with the official SDKs included, as many at a time as
# there are CPUs, each on one of them. What reads bytes from outside or writes what clients parse gets
# $FUZZTIME (60s), the others $FUZZTIME_SHORT (5s). The output of each run is in
# build/fuzz/<package>.<target>.log.
set -euo pipefail
cd "$(dirname "$0")/.."
out="$PWD/build/fuzz"

# is_long PACKAGE TARGET: the decoders, schema conversion, SSE and the encoders of
# answers and streams; but of those not the ones that only see a few bytes.
is_long() {
  case "$1" in
  */translate/openai | */translate/anthropic | */translate/schema | */translate/sse | */translate/rawjson | */clients/types) ;;
  *) return 1 ;;
  esac
  case "$2" in
  FuzzQuote | FuzzAppend | FuzzFileID | FuzzFileQuery) return 1 ;;
  FuzzDecodeChat_URL | FuzzParseForm) return 1 ;; # FuzzDecodeChat and FuzzTranscriptionForm go through them, too
  esac
}

# one DIRECTORY BINARY TARGET TIME. The fuzzing engine itself fails now and then
# when its time is over while a worker is busy: no input is at fault then, and
# none is written. Such a run is repeated; a find fails at once.
one() {
  local dir=$1 binary=$2 target=$3 time=$4 log result="0 1 0"
  log="$binary.$target.log"
  cd "$dir"
  for _ in 1 2 3; do
    if GOMAXPROCS=1 "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" -test.fuzzminimizetime 10x \
      -test.parallel 1 -test.fuzzcachedir "$out/cache/$(basename "$binary")" >"$log" 2>&1; then
      result="1 0 0"
      break
    fi
    grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log" || break
  done
  [ -z "${TESTSUM_FILE:-}" ] || echo "$result" >>"$TESTSUM_FILE"
  if [ "$result" = "1 0 0" ]; then
    echo "ok   $time $(basename "$binary") $target $(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
    return
  fi
  echo "FAIL $time $(basename "$binary") $target"
  cat "$log"
  return 1
}

if [ "${1:-}" = one ]; then
  shift
  one "$@"
  exit
fi

mkdir -p "$out"
packages=$(
  go list -tags=nobadger,nomysql,nopgx -f '{{.ImportPath}} {{.Dir}}' ./...
  go -C test/clients list -f '{{.ImportPath}} {{.Dir}}' ./types
)
long=() short=()
while read -r pkg dir; do
  targets=$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | sort -u) || continue
  binary="$out/$(basename "$(dirname "$pkg")")-$(basename "$pkg")"
  guided=-fuzz=.
  # The package of Caddy's modules: with all of Caddy in it that takes long, so not in CI.
  [ -n "${CI:-}" ] && [ "$dir" = "$PWD" ] && guided=
  go -C "$dir" test -c $guided -tags=nobadger,nomysql,nopgx -o "$binary" .
  for target in $targets; do
    if is_long "$pkg" "$target"; then
      long+=("$dir $binary $target ${FUZZTIME:-60s}")
    else
      short+=("$dir $binary $target ${FUZZTIME_SHORT:-5s}")
    fi
  done
done <<<"$packages"

jobs=$(getconf _NPROCESSORS_ONLN)
echo "${#long[@]} targets for ${FUZZTIME:-60s}, ${#short[@]} for ${FUZZTIME_SHORT:-5s}, $jobs at a time"
printf '%s\n' "${long[@]}" "${short[@]}" | xargs -P "$jobs" -L 1 bash "$PWD/test/fuzz.sh" one
