#!/usr/bin/env bash
# Measures the product beside others that execute jobs, on this machine, in one run, by turns: a job that does nothing, and
# one whose outcome is stored. What is needed is installed into target/peers. Needs Python with venv, Node.js, redis-server,
# and the RabbitMQ and PostgreSQL of the tests.
#
#   tests/peers.sh [--jobs N] [--stored-jobs N] [--rounds N]
set -euo pipefail
cd "$(dirname "$0")/.."

server=${PAINEL_TEST_POSTGRES:-postgres://postgres@127.0.0.1:5432/postgres}
rabbitmq=${PAINEL_TEST_RABBITMQ:-amqp://guest:guest@127.0.0.1:5672/%2f}
SQLX_OFFLINE=true cargo build --locked --quiet --release -p painel -p painel-api -p painel-workers -p painel-tests

peers=$PWD/target/peers
mkdir -p "$peers"
if [ ! -e "$peers/installed" ]; then
    python3 -m venv "$peers/venv"
    "$peers/venv/bin/pip" install --quiet dramatiq[rabbitmq]==2.2.1 celery==5.7.0 sqlalchemy==2.1.9 taskiq==0.13.0 \
        taskiq-aio-pika==0.6.1 dbos==3.4.0 psycopg2-binary==2.9.13 redis==8.1.0
    npm install --silent --no-fund --no-audit --prefix "$peers" bullmq@6.7.0 ioredis@6.0.0 graphile-worker@0.17.3 \
        pg@8.23.1 @restatedev/restate-server@1.7.12 @restatedev/restate-sdk@1.12.0
    touch "$peers/installed"
fi
# Modules are looked for beside the file that asks for them.
ln -sfn "$peers/node_modules" tests/peers/node_modules

folder=$(mktemp -d)
port=$((20000 + RANDOM % 10000))
databases=("painel_peers_$$" "painel_peers_dbos_$$")
for database in "${databases[@]}"; do psql -q "$server" -c "CREATE DATABASE $database"; done
redis-server --port "$port" --bind 127.0.0.1 --dir "$folder" --appendonly yes --save "" >"$folder/redis" &
redis=$!
finish() {
    kill "$redis" && wait "$redis" || true
    for database in "${databases[@]}"; do psql -q "$server" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"; done
    "$peers/venv/bin/python" - "$rabbitmq" <<'PYTHON' || true
import sys, pika
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
names = ["peer_dramatiq", "peer_dramatiq.DQ", "peer_dramatiq.XQ", "peer_celery", "peer_celery_results", "peer_taskiq",
         "peer_taskiq.delay", "peer_taskiq.dead_letter", "taskiq.delay", "taskiq.dead_letter"]
for name in names:
    channel.queue_delete(name)
PYTHON
    rm -rf "$folder" tests/peers/node_modules
}
trap finish EXIT
until redis-cli -p "$port" ping >"$folder/ping" 2>&1; do kill -0 "$redis"; sleep 0.1; done
PEER_POSTGRES=${server%/*}/${databases[0]} node tests/peers/graphile_app.mjs migrate 0
dbos=${server%/*}/${databases[1]}
PEER_POSTGRES=${dbos/#postgres:/postgresql:} PEER_QUEUE=peer_dbos "$peers/venv/bin/python" tests/peers/dbos_app.py migrate
"$peers/venv/bin/python" tests/peers/run.py --folder "$folder" --bench target/release/bench --rabbitmq "$rabbitmq" \
    --postgres "${server%/*}/${databases[0]}" --dbos "$dbos" --redis-port "$port" "$@"
