#!/usr/bin/env bash
# Measures GET /tenant/me, computed anew and kept in the process, beside the same SELECT under pgbench: one run,
# alternating, as ratios. Needs wrk, and the PostgreSQL of the tests with pgbench.
#
#   tests/reads.sh [postgres://postgres@127.0.0.1:5432/postgres]
set -euo pipefail
cd "$(dirname "$0")/.."

server=${1:-postgres://postgres@127.0.0.1:5432/postgres}
rounds=5
seconds=3
clients=16
SQLX_OFFLINE=true cargo build --locked --quiet --release -p painel -p painel-api

folder=$(mktemp -d)
database=painel_reads_$$
url=${server%/*}/$database
psql -q "$server" -c "CREATE DATABASE $database"
started=()
finish() {
    for id in "${started[@]}"; do kill "$id" && wait "$id" || true; done
    psql -q "$server" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"
    rm -rf "$folder"
}
trap finish EXIT

export PAINEL_DATA_DIR=$folder PAINEL_LOG=error
target/release/painel aws --dynamodb-port 18071 --sqs-port 18072 --stand-ins-port 18073 >"$folder/aws" 2>&1 &
started+=($!)
until grep -q PAINEL_SQS_ENDPOINT "$folder/aws"; do kill -0 "${started[0]}"; sleep 0.1; done
set -a
eval "$(grep -o 'PAINEL_[A-Z_]*=.*' "$folder/aws")"
PAINEL_DATABASE_URL=$url PAINEL_HTTP_ADDR=127.0.0.1:18070 PAINEL_RATE_CALLER=1000000000 PAINEL_RATE_TENANT=1000000000
set +a
target/release/painel migrate >/dev/null
psql -q -v ON_ERROR_STOP=1 -1 "$url" -f compose/embedded/src/demo_data.sql >/dev/null
tenant=$(psql -At "$url" -c "SELECT id FROM tenants ORDER BY name LIMIT 1")
token=$(target/release/painel token --role tenant --tenant "$tenant")
target/release/painel-api 2>"$folder/api" &
started+=($!)
me=http://$PAINEL_HTTP_ADDR/tenant/me
until curl -sf "$me" -H "Authorization: Bearer $token" >"$folder/me"; do kill -0 "${started[1]}"; sleep 0.1; done

# The statement of the endpoint, as one client asks it again and again.
sed "s/TENANT/$tenant/" >"$folder/me.sql" <<'SQL'
SELECT t.id, t.name, t.cnpj, t.segment, t.plan, t.status, t.mrr_estimate_cents, t.created_at,
       p.max_agents, p.max_users, p.max_requests_per_month,
       (SELECT count(*) FROM tenant_agents WHERE tenant_id = t.id AND status = 'active'),
       (SELECT count(*) FROM tenant_users WHERE tenant_id = t.id AND status = 'active'),
       (SELECT COALESCE(sum(total_requests), 0)::bigint FROM tenant_usage_daily
        WHERE tenant_id = t.id AND date >= date_trunc('month', now())::date)
FROM tenants t JOIN plans p ON p.name = t.plan WHERE t.id = 'TENANT';
SQL

http() { # header
    wrk -t2 -c$clients -d${seconds}s -H "Authorization: Bearer $token" -H "$1" "$me" >"$folder/wrk"
    ! grep -q "Non-2xx" "$folder/wrk" || { cat "$folder/wrk" >&2; exit 1; }
    awk '/Requests\/sec/ { print $2 }' "$folder/wrk"
}
median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

for _ in $(seq $rounds); do
    http "Cache-Control: no-cache" >>"$folder/computed"
    http "Accept: application/json" >>"$folder/kept"
    pgbench -n -M prepared -c $clients -j 2 -T $seconds -f "$folder/me.sql" "$url" 2>/dev/null |
        awk '/^tps/ { print $3 }' >>"$folder/select"
done
computed=$(median <"$folder/computed") kept=$(median <"$folder/kept") select=$(median <"$folder/select")
echo "requests a second, medians of $rounds: computed $computed, kept $kept; the SELECT under pgbench $select"
awk "BEGIN { printf \"ratios to the SELECT: computed %.2f, kept %.2f\n\", $computed / $select, $kept / $select }"
