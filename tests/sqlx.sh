#!/usr/bin/env bash
# Writes .sqlx, the data that lets `query!` compile without a database; with --check, compares instead.
#
#   tests/sqlx.sh [--check] [postgres://postgres@127.0.0.1:5432/postgres]
#
# Every query is compiled against a database of its own that the migrations have made.
set -euo pipefail
cd "$(dirname "$0")/.."

check=false
[ "${1:-}" = --check ] && check=true && shift
server=${1:-postgres://postgres@127.0.0.1:5432/postgres}
database=painel_sqlx_$$
fresh=$(mktemp -d)
trap 'psql -q "$server" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"; rm -rf "$fresh"' EXIT

psql -q "$server" -c "CREATE DATABASE $database"
for migration in migrations/*.sql; do
    psql -q -v ON_ERROR_STOP=1 "${server%/*}/$database" -f "$migration" >/dev/null
done

# The macros run again only when their crate is compiled again.
touch shared/src/lib.rs api/src/lib.rs workers/src/lib.rs compose/embedded/src/lib.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$fresh DATABASE_URL="${server%/*}/$database" \
    cargo check --locked --quiet -p painel -p painel-api -p painel-workers

if $check; then
    diff -r .sqlx "$fresh" >/dev/null || { echo ".sqlx is out of date: run tests/sqlx.sh" >&2; exit 1; }
    echo ".sqlx fits the migrations."
else
    rm -rf .sqlx
    cp -r "$fresh" .sqlx
fi
