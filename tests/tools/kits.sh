#!/usr/bin/env bash
# The kits of deploy/verify, with their real runtimes, against the vectors and against requests captured from the
# gateway. The last line: N kits, N vectors each, N wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/.demo/kits
mkdir -p "$work"
# The independent implementations are Python's.
node tests/kits/run.mjs "$work" install ${*:+"$@" python}
export DEMO_DIR=$work/demo DEMO_KEYS="signature-ecdsa-p256-sha256 app-app" DEMO_CONFIG=$work/gateway.yaml
route() { printf '      - {path: "%s/**", access: %s, upstream: app, %s}\\n' "$@"; }
sed "s#^      - {path: \"/signed/.*#&\\
$(route /signed/open optional 'signature: ed25519')\\
$(route /kits/ecdsa login 'signature: ecdsa-p256-sha256')\\
$(route /kits/ecdsa/open optional 'signature: ecdsa-p256-sha256')\\
$(route /kits/hmac login 'signature: hmac-sha256')\\
$(route /kits/hmac/open optional 'signature: hmac-sha256')\\
$(route /kits/digest login 'signature: ed25519, content_digest: true')\\
$(route /kits/digest/open optional 'signature: ed25519, content_digest: true')\\
$(route /kits/ecdsa-digest login 'signature: ecdsa-p256-sha256, content_digest: true')\
$(route /kits/ecdsa-digest/open optional 'signature: ecdsa-p256-sha256, content_digest: true')\
$(route /kits/preset login 'signature: ecdsa-p256-sha256, headers: {preset: siteminder-plain, fhnummer: SMUSER, fnr: drop, loa: X-Level}')\
$(route /kits/assertion login 'assertion: true')#" gateway.yaml >"$DEMO_CONFIG"
tests/tools/demo.sh node tests/kits/capture.mjs "$DEMO_DIR/keys" "$work/live.json"
"$work/python/venv/bin/python" tests/kits/independent.py "$work/live.json"
exec node tests/kits/run.mjs "$work" "$work/live.json" "$@"
