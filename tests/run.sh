#!/usr/bin/env bash
# Runs all tests. Installs and starts PostgreSQL and RabbitMQ, and installs moto, where they are missing.
#
#   PAINEL_TEST_POSTGRES   a PostgreSQL where databases may be made;
#                          default postgres://postgres@127.0.0.1:5432/postgres
#   PAINEL_TEST_MOTO       the program moto_server; default the one on the path
set -euo pipefail
cd "$(dirname "$0")/.."

postgres=${PAINEL_TEST_POSTGRES:-postgres://postgres@127.0.0.1:5432/postgres}

# Whether something accepts connections on a port of this machine.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

await() { # what, port
    for _ in $(seq 1 150); do
        listens "$2" && return
        sleep 0.2
    done
    echo "tests/run.sh: $1 did not start on port $2 within 30 s" >&2
    exit 1
}

# Installs a Debian package, or says what to install.
install() { # command, package
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >/dev/null
    else
        echo "tests/run.sh: $1 is missing: install $2, or run this as root on Debian" >&2
        exit 1
    fi
}

if [ -z "${PAINEL_TEST_POSTGRES:-}" ] && ! listens 5432; then
    PATH=$PATH:/usr/sbin:/usr/share/postgresql-common
    install pg_ctlcluster postgresql
    cluster=$(ls /etc/postgresql | sort -V | tail -1)
    # The tests connect over loopback without a password.
    sed -i -E 's/^(host\s+all\s+all\s+127\.0\.0\.1\/32\s+)\S+/\1trust/' "/etc/postgresql/$cluster/main/pg_hba.conf"
    pg_ctlcluster --skip-systemctl-redirect "$cluster" main start
    await PostgreSQL 5432
fi

if ! listens 5672; then
    PATH=$PATH:/usr/sbin
    install rabbitmq-server rabbitmq-server
    rabbitmq-server -detached
    await RabbitMQ 5672
fi

# moto: what another project makes of DynamoDB, SQS and Cognito.
if [ -z "${PAINEL_TEST_MOTO:-}" ] && ! command -v moto_server >/dev/null; then
    venv=$PWD/target/moto
    if ! [ -x "$venv/bin/moto_server" ]; then
        install python3 python3
        # Debian keeps this part of Python in a package of its own, which has no command.
        python3 -c 'import ensurepip' 2>/dev/null || install python3-venv python3-venv
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check \
            'moto[cognitoidp,dynamodb,sqs]==5.2.1' flask==3.1.3 flask-cors==6.0.5 werkzeug==3.1.9 joserfc==1.8.0
    fi
    export PAINEL_TEST_MOTO=$venv/bin/moto_server
fi

export SQLX_OFFLINE=true
# The tests also run the program and the processes themselves.
cargo build --locked
cargo test --locked -p painel-tests "$@"
# What is asked of the workers holds on the other transport too.
PAINEL_TEST_QUEUE=rabbitmq cargo test --locked -p painel-tests -- workers http::commands

# What `query!` was compiled against is what the migrations make.
tests/sqlx.sh --check "$postgres"
