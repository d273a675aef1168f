#!/usr/bin/env bash
# The long rows of docs/reliability.md, one after the other, and one table of what they
# measured. It needs Linux and root: disks are mounted. Called by `make chaos`.
# ONLY="R4 U14" runs those rows alone.
set -uo pipefail
cd "$(dirname "$0")/../.."
mkdir -p build
tags=-tags=nobadger,nomysql,nopgx,chaos
rm -f build/chaos.md
failed=()

# row ROW PACKAGE TEST [VARIABLE=value …]: run a test and keep what it measured.
row() {
  local row=$1 package=$2 test=$3
  shift 3
  [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $row "* ]] || return 0
  local log="build/chaos-$test.log" result=pass
  echo "=== $row $test"
  env CHAOS=1 "$@" go test $tags -count=1 -timeout 90m -v -run "^$test\$" "$package" >"$log" 2>&1 || { result=FAIL; failed+=("$row"); tail -n 40 "$log"; }
  local measured
  measured=$(grep -oE "(^| )(R|U)[0-9]+(, U[0-9]+)?: .*|[0-9]+ rounds, .*|what became of the stores: .*" "$log" | sed -E "s/^ *((R|U)[0-9]+(, U[0-9]+)?): //")
  [ $result = pass ] || measured="see $log${measured:+$'\n'}$measured"
  while IFS= read -r text; do
    echo "| $row | \`$test\` | $result | $text |"
  done <<<"$measured" >>build/chaos.md
}

row R1 ./store/badger TestKill GB_KILL_ROUNDS="${ROUNDS:-200}"
row R1 ./test/integration TestKill_LosesNoAcknowledgedWrite KILL_ROUNDS="${KILLS:-40}"
row R1 ./test/integration TestKill_Books KILL_ROUNDS="${KILLS:-40}"
row R3 ./store/badger TestPowerLoss
row R4 ./test/chaos TestDiskFull
row R5 ./store/badger TestDamage GB_DAMAGE=60
row R6 ./store/badger TestBackup_UnderLoad
row R8 ./test/chaos TestReloadStorm
row R10 ./test/chaos TestStop
row R11 ./test/chaos TestCancelled
row U6 ./gateway TestRetryStorm
row U7 ./gateway TestOutage
row U8 ./test/chaos TestStalledClients
row U10 ./test/chaos TestSilence_Wires
row U11 ./test/integration TestMemory_LargeBodies
row U13 ./test/chaos TestHostileClients
row U14 ./test/chaos TestBurst
row U14 ./test/chaos TestOverload_Memory
row U14 ./test/chaos TestOverload_Events
row U14 ./test/chaos TestOverload_Processor taskset -c 1 # Caddy has the first processor

echo
echo "$(date -u +%F), $(nproc) processors, $(go version | cut -d' ' -f3), $(git rev-parse --short HEAD)"
echo '| row | test | | measured |'
echo '| --- | --- | --- | --- |'
cat build/chaos.md
[ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
