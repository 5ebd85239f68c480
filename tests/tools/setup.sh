#!/usr/bin/env bash
# Installs what is missing, and nothing else, on Debian with Rust and git.
#   setup.sh build   what the programs need to be built and started
#   setup.sh fleet   Redis and HAProxy, for `make replicas` and `make soak`
#   setup.sh store   Redis, for `make skew`
#   setup.sh kits    the runtimes of the verification kits that the tests do not need: PHP, Go, Java with Maven, a C#
#                    compiler, nginx with njs, Apache with mod_wsgi and Debian's python3-cryptography
#   setup.sh proxies nginx and Caddy, which ask about requests (docs/forward-auth.md), for `make proxies`
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
if [ "${1:-all}" = store ]; then
    has redis-server || missing+=(redis-server)
fi
if [ "${1:-all}" = fleet ]; then
    has redis-server || missing+=(redis-server)
    has haproxy || [ -x /usr/sbin/haproxy ] || missing+=(haproxy)
fi
if [ "${1:-all}" = proxies ]; then
    [ -x /usr/sbin/nginx ] || missing+=(nginx)
    has caddy || missing+=(caddy)
fi
if [ "${1:-all}" = kits ]; then
    has php && php -r 'exit(function_exists("sodium_crypto_sign_verify_detached") ? 0 : 1);' || missing+=(php-cli)
    has go || missing+=(golang-go)
    has javac || missing+=(default-jdk-headless)
    has mvn || missing+=(maven)
    has mcs || missing+=(mono-mcs)
    # Their programs and modules only: no service is started, nor after the next boot.
    [ -e /usr/lib/nginx/modules/ngx_http_js_module.so ] || missing+=(nginx libnginx-mod-http-js)
    [ -e /usr/lib/apache2/modules/mod_wsgi.so ] || missing+=(apache2-bin libapache2-mod-wsgi-py3)
    /usr/bin/python3 -c 'import cryptography' 2>/dev/null || missing+=(python3-cryptography)
fi

if [ ${#missing[@]} -gt 0 ]; then
    has apt-get || { echo "setup: please install: ${missing[*]}" >&2; exit 1; }
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || { echo "setup: as root: apt-get install ${missing[*]}" >&2; exit 1; }
        as_root=(sudo)
    fi
    echo "setup: installing ${missing[*]}"
    if [[ " ${missing[*]} " =~ \ (nginx|caddy)\  ]] && [ ! -e /usr/sbin/policy-rc.d ]; then
        # Debian starts what it installs, unless this forbids it.
        "${as_root[@]}" sh -c 'printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d'
        trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
    for service in nginx caddy; do
        [[ " ${missing[*]} " == *" $service "* ]] && has systemctl || continue
        "${as_root[@]}" systemctl disable --quiet "$service" || echo "setup: $service will be started at the next boot"
    done
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
