#!/usr/bin/env bash
# Starts the simulator, the sample application and the gateway on loopback and says where to click.
#   demo.sh              until Ctrl-C
#   demo.sh COMMAND …    until the command has ended; its status is the script's
# PORT is the gateway's; admin, simulator and application take the three above it.
# DEMO_DIR keeps keys and logs (default .demo). DEMO_BUILD is the command that builds the programs.
# DEMO_CONFIG is another configuration, and DEMO_KEYS are further purposes that it needs keys for.
# DEMO_TLS=1 serves https with a self-made certificate, for browsers that take no Secure cookies over http.
set -euo pipefail
cd "$(dirname "$0")/../.."

port=${PORT:-8080}
demo=${DEMO_DIR:-$PWD/.demo}
export PORT=$port ADMIN_PORT=$((port + 1)) SIMULATOR_PORT=$((port + 2)) APP_PORT=$((port + 3))
export KEYS=$demo/keys AUDIT_LOG=$demo/audit.log REVOCATIONS=$demo/revocations
gateway=http://localhost:$PORT admin=http://127.0.0.1:$ADMIN_PORT
simulator=http://127.0.0.1:$SIMULATOR_PORT app=http://127.0.0.1:$APP_PORT
programs=${CARGO_TARGET_DIR:-target}/debug

fail() { echo "demo: $*" >&2; exit 1; }

for taken in "$PORT" "$ADMIN_PORT" "$SIMULATOR_PORT" "$APP_PORT"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$taken") 2>/dev/null; then
        fail "port $taken is in use; PORT=<another> moves all four"
    fi
done

echo "demo: building (the first time takes minutes)"
read -ra build <<<"${DEMO_BUILD:-cargo build --quiet --workspace --bins}"
"${build[@]}"

umask 077
mkdir -p "$demo"
config=${DEMO_CONFIG:-gateway.yaml}
if [ "${DEMO_TLS:-}" = 1 ]; then
    config=$demo/gateway.yaml gateway=https://localhost:$PORT
    [ -s "$demo/tls.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout "$demo/tls.key" -out "$demo/tls.pem" 2>/dev/null
    sed -e 's#origin: "http://localhost#origin: "https://localhost#' \
        -e 's#^  - address: .*#&\n    tls: {certificate: tls.pem, key: tls.key}#' gateway.yaml >"$config"
fi
# Another configuration may know fewer providers.
clients=()
for provider in idporten ansattporten; do
    if grep -q "^  $provider:" "$config"; then clients+=("client-$provider"); fi
done
for purpose in cookie revocation pseudonym audit assertion signature-ed25519 "${clients[@]}" ${DEMO_KEYS:-}; do
    "$programs/portvakt" keys list "$purpose" --config "$config" >/dev/null 2>&1 && continue
    echo "demo: making a key for $purpose"
    "$programs/portvakt" keys new "$purpose" --config "$config" >/dev/null
done
client_keys=()
for purpose in "${clients[@]}"; do
    "$programs/portvakt" keys list "$purpose" --jwks --config "$config" >"$demo/$purpose.jwks"
    client_keys+=(--client-jwks "$demo/$purpose.jwks")
done

declare -A pids
end_all() {
    trap - EXIT INT TERM
    [ ${#pids[@]} -gt 0 ] || return 0
    local end=$((SECONDS + 10))
    kill "${pids[@]}" 2>/dev/null || true
    # True while one of them lives. Who has not drained in time is ended.
    while kill -0 "${pids[@]}" 2>/dev/null; do
        [ $SECONDS -lt $end ] || kill -KILL "${pids[@]}" 2>/dev/null || true
        sleep 0.1
    done
}
trap end_all EXIT
trap 'exit 130' INT TERM

start() { # NAME COMMAND…
    local name=$1
    shift
    "$@" >"$demo/$name.log" 2>&1 &
    pids[$name]=$!
}

await() { # NAME CONDITION…: until it holds; the program must live meanwhile
    local name=$1 end=$((SECONDS + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        if ! kill -0 "${pids[$name]}" 2>/dev/null || [ $SECONDS -ge $end ]; then
            tail -n 20 "$demo/$name.log" >&2
            fail "$name did not become ready"
        fi
        sleep 0.1
    done
}

start simulator "$programs/portvakt-simulator" --listen "127.0.0.1:$SIMULATOR_PORT" \
    --gateway "$gateway" "${client_keys[@]}"
start app "$programs/sample-app" --listen "127.0.0.1:$APP_PORT"
await simulator grep -q '^simulator ready ' "$demo/simulator.log"
await app grep -q '^sample-app ready ' "$demo/app.log"
start gateway "$programs/portvakt" run --config "$config"
await gateway curl -sf "$admin/readyz"

if [ $# -gt 0 ]; then
    export GATEWAY=$gateway ADMIN=$admin SIMULATOR=$simulator APP=$app
    "$@"
    exit
fi

cat <<TEXT

  Open    $gateway/
  then    $gateway/app/    login at level substantial
          $gateway/high/   login at level high
          $gateway/employee/ for an organisation, by Ansattporten
          $gateway/ws/     an echo over WebSocket
          $gateway/events/ events, one a second
          $gateway/oauth2/logout

  At the login page (a simulator of ID-porten, everybody is invented) choose for example
    bankid-high         Norwegian, level high
    minid-substantial   Norwegian, level substantial: /high/ asks for more
    eidas-se            a European without a Norwegian number
    cancels             changes her mind
    employee            represents an organisation, at Ansattporten
    all of them: $simulator/persons.json

  A machine asks with a token of Maskinporten's (the simulator's short cut stands for the JWT grant):
    curl -H "Authorization: Bearer \$(curl -s $simulator/maskinporten/demo-token)" $gateway/api/echo

  See     $admin/status    $admin/metrics
  Logs    ${demo/#$PWD\//}/gateway.log, simulator.log, app.log, audit.log

  Ctrl-C ends all three.
TEXT
wait -n "${pids[@]}" || true
for name in "${!pids[@]}"; do
    kill -0 "${pids[$name]}" 2>/dev/null && continue
    tail -n 20 "$demo/$name.log" >&2
    fail "$name has ended"
done
