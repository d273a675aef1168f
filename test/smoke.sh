#!/usr/bin/env bash
# Builds Caddy with this checkout as users do, then asks the binary what it has
# and whether the example configuration is valid and formatted.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
bin=$PWD/build/caddy-xcaddy
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT

# Go asks the module proxy which versions of this module are released, although
# the checkout replaces it; some proxies refuse a module they do not know instead
# of saying that there is none. So that answer is given here.
released=$home/proxy/github.com/gemini-balance/caddy-gemini-balance/@v
mkdir -p "$released" && : >"$released/list"
GOPROXY="file://$home/proxy,$(go env GOPROXY)"
export GOPROXY

caddy_version=$(go list -m -f '{{.Version}}' github.com/caddyserver/caddy/v2)
$XCADDY build "$caddy_version" --output "$bin" \
  --with github.com/gemini-balance/caddy-gemini-balance=. >build/xcaddy.log 2>&1 || { cat build/xcaddy.log; exit 1; }
modules=$("$bin" list-modules)
for m in gemini_balance http.handlers.gemini_balance http.handlers.gemini_balance_admin; do
  grep -qx -- "$m" <<<"$modules" || { echo "module $m is not in the build"; exit 1; }
done
export XDG_DATA_HOME=$home XDG_CONFIG_HOME=$home
"$bin" fmt --diff Caddyfile.example >build/fmt.diff || { cat build/fmt.diff; echo "Caddyfile.example is not formatted: caddy fmt --overwrite"; exit 1; }
GEMINI_API_KEY=${GEMINI_API_KEY:-AIzaSyD-example-example-example-example} \
GB_ADMIN_KEY=example-admin-key-of-the-smoke-test \
GB_MASTER_KEY=$(head -c 32 /dev/zero | base64) \
  "$bin" validate --config Caddyfile.example --adapter caddyfile >build/validate.log 2>&1 || { cat build/validate.log; exit 1; }
[ -z "$(find "$home" -name '*.vlog')" ] || { echo "validate opened a store"; exit 1; }
echo "xcaddy build, modules, example: fine ($("$bin" version))"
