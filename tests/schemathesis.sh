#!/usr/bin/env bash
# Asks a running `painel serve` thousands of questions that its own description allows, and many that it does not:
# no answer may be a 5xx, and none may be outside of the description. Takes some minutes.
#
#   tests/schemathesis.sh [cases an operation, default 500]
#
# Needs python3; installs schemathesis into target/.
set -euo pipefail
cd "$(dirname "$0")/.."

cases=${1:-500}
venv=$PWD/target/schemathesis
painel=$PWD/target/debug/painel
[ -x $venv/bin/schemathesis ] || { python3 -m venv $venv && $venv/bin/pip install --quiet schemathesis==4.32.5; }

SQLX_OFFLINE=true cargo build --locked --quiet -p painel
folder=$(mktemp -d)
export PAINEL_HTTP_ADDR=127.0.0.1:18099 PAINEL_ADMIN_ADDR=127.0.0.1:18098
export PAINEL_RATE_CALLER=1000000 PAINEL_RATE_TENANT=1000000
$painel --data-dir "$folder" serve >"$folder/log" 2>&1 &
server=$!
trap 'kill -INT $server; wait $server || true; rm -rf "$folder"' EXIT
until grep -q "Ctrl-C stops it" "$folder/log"; do
    kill -0 $server || { cat "$folder/log" >&2; exit 1; }
    sleep 0.2
done

# Whether a valid question is refused depends on what the token may see, so that check is left out: an operator
# must say which tenant is meant, a tenant's token may not look at everything, and a cursor is opaque.
cd "$folder"
for role in admin tenant; do
    echo "With the token of the role $role:"
    $venv/bin/schemathesis run "http://$PAINEL_HTTP_ADDR/openapi.json" \
        --header "Authorization: Bearer $($painel --data-dir "$folder" token --role $role)" \
        --checks all --exclude-checks positive_data_acceptance --phases examples,coverage,fuzzing \
        --max-examples "$cases" --continue-on-failure
done
