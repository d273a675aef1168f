#!/usr/bin/env bash
# The web UI's libraries: fetches the pinned packages with `npm pack`, checks
# them, and writes admin/ui/web/js/vendor. Nothing of Node is needed to build or
# run the gateway; this is for whoever raises a version.
#
#   tools/vendor-ui.sh           write the files
#   tools/vendor-ui.sh --check   make them again elsewhere and compare
#   tools/vendor-ui.sh --sums    only compare with SHA256SUMS (no network)
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
out=$PWD/admin/ui/web/js/vendor

# package, version, licence, source, SHA-256 of the package file
packages='
preact               11.2.0 MIT        https://github.com/preactjs/preact      3c4456766bd32b6b534d52bf4e9c2a29b33e7eedf6e96ed479300ba1a7888ebf
@preact/signals      2.11.4 MIT        https://github.com/preactjs/signals     66ea8221dd8aaa0da2365d49c3f116b071d56cfb63b2e16c072c6b4e08a928b7
@preact/signals-core 1.14.5 MIT        https://github.com/preactjs/signals     94c421ac996214c94f532fb4c43d8ede048a16df0cd9538ffb965174dbe8daba
htm                  3.1.1  Apache-2.0 https://github.com/developit/htm        2425b9bee11409177bcabc7f32e319926fc6690c1701c0b257c88bdff2d5ba90
uplot                1.6.32 MIT        https://github.com/leeoniya/uPlot       4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d
lucide-static        1.62.0 ISC        https://github.com/lucide-icons/lucide  386f9080c440d6f5049cefe3456ae8357f7a0c7f76e59670cd1cb83bc7050a44
'
esbuild=0.28.2

if [ "${1:-}" = --sums ]; then
  cd "$out" && exec sha256sum --check --quiet SHA256SUMS
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tar" "$work/out"

# fetch <package> <version> <sha256 or -> puts the package into node_modules.
fetch() {
  local file
  file=$(cd "$work/tar" && npm pack --silent "$1@$2")
  [ "$3" = - ] || echo "$3  $work/tar/$file" | sha256sum --check --quiet -
  mkdir -p "$work/node_modules/$1"
  tar -xzf "$work/tar/$file" --strip-components=1 -C "$work/node_modules/$1"
}

while read -r name version licence source sum; do
  [ -z "$name" ] || fetch "$name" "$version" "$sum"
done <<<"$packages"
platform=$(node -p 'process.platform + "-" + process.arch')
fetch "@esbuild/$platform" "$esbuild" -
build() { "$work/node_modules/@esbuild/$platform/bin/esbuild" --log-level=warning --format=esm --minify --target=es2022 "$@"; }

cp tools/vendor-ui.entry.js "$work/preact.js"
build --bundle --outfile="$work/out/preact.mjs" "$work/preact.js"
build --outfile="$work/out/uplot.mjs" "$work/node_modules/uplot/dist/uPlot.esm.js"
cp "$work/node_modules/uplot/dist/uPlot.min.css" "$work/out/uplot.css"
node tools/vendor-icons.mjs "$out/icons.txt" "$work/node_modules/lucide-static/icon-nodes.json" >"$work/out/icons.js"

while read -r name version licence source sum; do
  [ -z "$name" ] && continue
  file=$(find "$work/node_modules/$name" -maxdepth 1 -iname 'LICEN[SC]E*' -print -quit)
  [ -n "$file" ] && { printf '%s %s (%s)\n%s\n\n' "$name" "$version" "$licence" "$source"; cat "$file"; printf '\n\n'; }
done <<<"$packages" >"$work/out/LICENSES.txt"

{
  echo "# Made by tools/vendor-ui.sh; do not edit. Checked by \`make vendor-ui-check\`."
  while read -r name version licence source sum; do
    [ -z "$name" ] || printf '# %s %s, %s, %s, package sha256 %s\n' "$name" "$version" "$licence" "$source" "$sum"
  done <<<"$packages"
  echo "# bundled and minified by esbuild $esbuild"
  cd "$work/out" && sha256sum LICENSES.txt icons.js preact.mjs uplot.css uplot.mjs
} >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" "$work/out/SHA256SUMS"

if [ "${1:-}" = --check ]; then
  diff -rq --exclude=icons.txt "$work/out" "$out" && echo "vendored files are as made from the pinned packages"
else
  cp "$work/out"/* "$out/"
  cd "$here" && ls -l "$out"
fi
