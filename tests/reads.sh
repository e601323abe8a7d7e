#!/usr/bin/env bash
# Measures GET /tenant/me of a thousand tenants, computed anew and kept in the process, beside the same SELECT under
# pgbench: one run, alternating, as ratios. Needs wrk, and the PostgreSQL of the tests with pgbench.
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
# A thousand tenants: nobody's computation is shared.
psql -q -v ON_ERROR_STOP=1 -1 "$url" <<'SQL' >/dev/null
CREATE FUNCTION nth(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5('tenant ' || n)::uuid $$;
INSERT INTO tenants (id, name, cnpj, segment, plan)
SELECT nth(n), 'Tenant ' || n, base || cnpj_check_digits(base), 'varejo', 'starter'
FROM generate_series(1, 1000) AS n, LATERAL (SELECT lpad((500000 + n)::text, 12, '0') AS base) AS b;
INSERT INTO tenant_agents (tenant_id, agent_id)
SELECT nth(n), a.id FROM generate_series(1, 1000) AS n, (SELECT id FROM agents ORDER BY id LIMIT 3) AS a;
INSERT INTO tenant_usage_daily (tenant_id, agent_id, date, total_requests, successful_requests, failed_requests,
    success_rate, avg_response_time_ms, total_tokens_used)
SELECT tenant_id, agent_id, (now() AT TIME ZONE 'UTC')::date - d, 100, 100, 0, 100, 250, 1000
FROM tenant_agents, generate_series(1, 90) AS d WHERE tenant_id IN (SELECT nth(n) FROM generate_series(1, 1000) AS n)
ON CONFLICT DO NOTHING;
SELECT sum_up_usage(min(date), max(date)) FROM tenant_usage_daily;
SQL
psql -q "$url" -c "VACUUM ANALYZE"
token=$(target/release/painel token --role support)
target/release/painel-api 2>"$folder/api" &
started+=($!)
me=http://$PAINEL_HTTP_ADDR/tenant/me
tenant=$(psql -At "$url" -c "SELECT nth(1)")
until curl -sf "$me?tenant_id=$tenant" -H "Authorization: Bearer $token" >"$folder/me"; do kill -0 "${started[1]}"; sleep 0.1; done
{
    echo "local tenants = {"
    psql -At "$url" -c "SELECT format('\"%s\",', nth(n)) FROM generate_series(1, 1000) AS n"
    echo "}"
    echo 'request = function() return wrk.format("GET", "/tenant/me?tenant_id=" .. tenants[math.random(#tenants)]) end'
} >"$folder/tenants.lua"

# The statement of the endpoint, as clients ask it again and again.
cat >"$folder/me.sql" <<'SQL'
\set n random(1, 1000)
SELECT t.id, t.name, t.cnpj, t.segment, t.plan, t.status, t.mrr_estimate_cents, t.created_at,
       p.max_agents, p.max_users, p.max_requests_per_month,
       (SELECT count(*) FROM tenant_agents WHERE tenant_id = t.id AND status = 'active'),
       (SELECT count(*) FROM tenant_users WHERE tenant_id = t.id AND status = 'active'),
       (SELECT COALESCE(sum(total_requests), 0)::bigint FROM tenant_usage_totals
        WHERE tenant_id = t.id AND date >= date_trunc('month', now())::date)
FROM tenants t JOIN plans p ON p.name = t.plan WHERE t.id = nth(:n);
SQL

http() { # header
    wrk -t2 -c$clients -d${seconds}s -s "$folder/tenants.lua" -H "Authorization: Bearer $token" -H "$1" \
        "http://$PAINEL_HTTP_ADDR" >"$folder/wrk"
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
