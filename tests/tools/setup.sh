#!/usr/bin/env bash
# Installs what is missing, and nothing else, on Debian with Rust and git.
#   setup.sh build   what the programs need to be built and started
#   setup.sh kits    the runtimes of the verification kits that the tests do not need
#   setup.sh all     that of build, and what the tests need: Node, Chromium, Python, Redis, the npm packages of the test provider
set -euo pipefail
cd "$(dirname "$0")/../.."

has() { command -v "$1" >/dev/null; }

missing=()
# Pingora's zlib is built by cmake.
has cc && has make || missing+=(build-essential)
has cmake || missing+=(cmake)
has curl || missing+=(curl ca-certificates)
if [ "${1:-all}" = all ]; then
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    has redis-server || missing+=(redis-server)
    has chromium || missing+=(chromium)
    has chromedriver || missing+=(chromium-driver)
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
fi
if [ "${1:-all}" = kits ]; then
    has php && php -r 'exit(function_exists("sodium_crypto_sign_verify_detached") ? 0 : 1);' || missing+=(php-cli)
    has go || missing+=(golang-go)
    has javac || missing+=(default-jdk-headless)
    has mvn || missing+=(maven)
fi

if [ ${#missing[@]} -gt 0 ]; then
    has apt-get || { echo "setup: please install: ${missing[*]}" >&2; exit 1; }
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || { echo "setup: as root: apt-get install ${missing[*]}" >&2; exit 1; }
        as_root=(sudo)
    fi
    echo "setup: installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

has cargo || { echo "setup: Rust is missing: https://rustup.rs" >&2; exit 1; }
for component in fmt clippy; do
    cargo "$component" --version >/dev/null 2>&1 && continue
    has rustup || { echo "setup: cargo $component is missing" >&2; exit 1; }
    echo "setup: rustup component add ${component/#fmt/rustfmt}"
    rustup component add "${component/#fmt/rustfmt}"
done
[ "${1:-all}" = all ] || exit 0

node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' ||
    { echo "setup: Node 18 or newer is needed, this is $(node --version)" >&2; exit 1; }
for folder in tests/oidc-provider tests/pages; do
    # npm writes the second file last.
    [ "$folder/package-lock.json" -nt "$folder/node_modules/.package-lock.json" ] || continue
    echo "setup: npm packages of $folder"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
done
