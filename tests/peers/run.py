"""Measures each peer and ours, by turns, and prints two tables. Called by tests/peers.sh, which has installed the peers."""

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import pika
import psycopg2
import redis

HERE = os.path.dirname(os.path.abspath(__file__))
CORES = os.cpu_count()
TICKS = os.sysconf("SC_CLK_TCK")
# Jobs whose way from the sender to the handler is timed, 100 a second.
PACED = 300
LIMIT = 300


def busy():
    """What all cores have spent on anything, in seconds (proc(5), /proc/stat: all but idle and iowait)."""
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


class Peer:
    """One peer: how its jobs are sent and executed, and how many still wait."""

    def __init__(self, name, arguments, enqueue, serve, left, **env):
        self.name, self.enqueue, self.serve, self.left = name, enqueue, serve, left
        self.times = os.path.join(arguments.folder, f"{name}.times")
        self.env = {**os.environ, "PEER_TIMES": self.times, "PYTHONPATH": HERE, **env}

    def send(self, mode, count):
        done = subprocess.run(self.enqueue + [mode, str(count)], env=self.env, cwd=HERE, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout.decode().strip().splitlines()[-1])["a_second"]

    def start(self):
        log = open(os.path.join(os.path.dirname(self.times), f"{self.name}.log"), "ab")
        return [
            subprocess.Popen(command, env=self.env, cwd=HERE, stdout=log, stderr=log, start_new_session=True)
            for command in self.serve
        ]

    def stop(self, processes):
        for process in processes:
            os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def round(self, count):
        one = self.send("one", count // 10)
        many = self.send("many", count - count // 10)
        sent = self.left()
        processes = self.start()
        try:
            left = until("it begins", self.left, lambda left: left < sent)
            began, cpu = time.monotonic(), busy()
            until("all are executed", self.left, lambda left: left == 0)
            seconds, cpu = time.monotonic() - began, busy() - cpu
            open(self.times, "w").close()
            self.send("paced", 1)
            until("one is executed", lambda: os.path.getsize(self.times), lambda size: size > 0)
            open(self.times, "w").close()
            self.send("paced", PACED)
            until("all are timed", lambda: len(open(self.times).readlines()), lambda lines: lines >= PACED)
        finally:
            self.stop(processes)
        times = sorted(float(line) for line in open(self.times))
        return {
            "one": one,
            "many": many,
            "drain": left / seconds,
            "drain_a_core_second": left / cpu,
            "p50_ms": times[len(times) // 2] * 1000,
            "p99_ms": times[len(times) * 99 // 100] * 1000,
        }


class Restate(Peer):
    """Restate, whose server runs in its own rounds alone. What is to wait for its executor is sent for a later time."""

    def __init__(self, name, arguments, enqueue, serve):
        self.ports = [free_port() for _ in range(4)]
        ingress, self.admin, fabric, self.service = self.ports
        self.done = os.path.join(arguments.folder, f"{name}.done")
        super().__init__(
            name, arguments, enqueue, serve, lambda: max(0, self.count - os.path.getsize(self.done)),
            PEER_PORT=str(self.service), PEER_INGRESS=f"http://127.0.0.1:{ingress}", PEER_DONE=self.done,
        )
        self.server_env = {
            **os.environ, "RESTATE_DISABLE_TELEMETRY": "true", "RESTATE_LOG_FILTER": "warn",
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{self.admin}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{fabric}",
        }

    def round(self, count):
        open(self.done, "w").close()
        self.count, self.due = count, time.time() + 20 + count / 200
        base = tempfile.mkdtemp(dir=os.path.dirname(self.times))
        log = open(os.path.join(base, "log"), "wb")
        binary = os.path.join(HERE, "node_modules/.bin/restate-server")
        server = subprocess.Popen([binary, "--base-dir", base, "--node-name", "peer"], env=self.server_env,
                                  stdout=log, stderr=log, start_new_session=True)
        try:
            executors = self.start()
            try:
                until("the service is known", self.is_registered, bool)
            finally:
                self.stop(executors)
            return super().round(count)
        finally:
            self.stop([server])

    def is_registered(self):
        service = json.dumps({"uri": f"http://127.0.0.1:{self.service}"}).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.admin}/deployments", service,
                                       {"content-type": "application/json"})
        try:
            return urllib.request.urlopen(asked, timeout=10).status in (200, 201)
        except OSError:
            return False

    def send(self, mode, count):
        self.env["PEER_DUE"] = str(0 if mode == "paced" else self.due)
        sent = super().send(mode, count)
        if mode != "paced" and time.time() > self.due:
            sys.exit("sending took longer than was foreseen")
        return sent


class Ours:
    """Ours, by the bench that measures it; its figures are those of one round."""

    def __init__(self, arguments, bench, jobs):
        self.name = "ours"
        self.command = [arguments.bench, bench, "--figures", "--rounds", "1", jobs]

    def round(self, count):
        done = subprocess.run(self.command + [str(count)], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout.decode().strip().splitlines()[-1])


def free_port():
    """One that the system gives to nobody by itself."""
    while True:
        with socket.socket() as bound:
            try:
                bound.bind(("127.0.0.1", random.randrange(10_000, 20_000)))
                return bound.getsockname()[1]
            except OSError:
                pass


def until(what, value, holds):
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        found = value()
        if holds(found):
            return found
        time.sleep(0.02)
    sys.exit(f"after {LIMIT} s still not: {what}")


def rabbitmq_depth(url, queue):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    return lambda: channel.queue_declare(queue, passive=True).method.message_count


def redis_depth(port, queue):
    client = redis.Redis(port=int(port))
    return lambda: client.llen(f"bull:{queue}:wait") + client.llen(f"bull:{queue}:active")


def postgres_count(url, sql):
    connection = psycopg2.connect(url)
    connection.autocommit = True

    def count():
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    return count


def lazily(make):
    """What is made when it is first asked: a queue is there once something was sent to it."""
    made = []

    def ask():
        if not made:
            made.append(make())
        return made[0]()

    return ask


def peers(arguments):
    python, node = [sys.executable], ["node"]
    binary = os.path.dirname(sys.executable)
    amqp, database, port = arguments.rabbitmq, arguments.postgres, arguments.redis_port
    on_rabbitmq = {"PEER_RABBITMQ": amqp}

    def depth(queue):
        return lazily(lambda: rabbitmq_depth(amqp, queue))

    def app(file):
        return [os.path.join(HERE, file)]

    dramatiq = Peer(
        "Dramatiq", arguments, python + app("dramatiq_app.py"),
        [[f"{binary}/dramatiq", "dramatiq_app", "-p", str(CORES), "-t", "8"]],
        depth("peer_dramatiq"), PEER_QUEUE="peer_dramatiq", **on_rabbitmq,
    )

    def celery(name, queue, **more):
        serve = [f"{binary}/celery", "-A", "celery_app", "worker", "-c", str(CORES), "-l", "error",
                 "--without-gossip", "--without-mingle", "--without-heartbeat"]
        return Peer(name, arguments, python + app("celery_app.py"), [serve], depth(queue),
                    PEER_QUEUE=queue, **on_rabbitmq, **more)

    taskiq = Peer(
        "taskiq", arguments, python + app("taskiq_app.py"),
        [[f"{binary}/taskiq", "worker", "taskiq_app:broker", "-w", str(CORES), "--ack-type", "when_executed",
          "--log-level", "ERROR"]],
        depth("peer_taskiq"), PEER_QUEUE="peer_taskiq", **on_rabbitmq,
    )
    bullmq = Peer(
        "BullMQ", arguments, node + app("bullmq_app.mjs"), [node + app("bullmq_app.mjs") + ["serve", "0"]] * CORES,
        lazily(lambda: redis_depth(port, "peer_bullmq")), PEER_QUEUE="peer_bullmq", PEER_REDIS_PORT=port,
    )

    def graphile(name, **more):
        jobs = "SELECT count(*) FROM graphile_worker._private_jobs"
        return Peer(name, arguments, node + app("graphile_app.mjs"),
                    [node + app("graphile_app.mjs") + ["serve", "0"]] * CORES,
                    lazily(lambda: postgres_count(database, jobs)), PEER_POSTGRES=database, **more)

    open_workflows = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"
    dbos = Peer(
        "DBOS", arguments, python + app("dbos_app.py"), [python + app("dbos_app.py") + ["serve"]] * CORES,
        lazily(lambda: postgres_count(arguments.dbos, open_workflows)), PEER_QUEUE="peer_dbos",
        PEER_POSTGRES=arguments.dbos.replace("postgres://", "postgresql://"),
    )
    restate = Restate("Restate", arguments, node + app("restate_app.mjs"), [node + app("restate_app.mjs") + ["serve", "0"]])
    ours_transport, ours_whole = Ours(arguments, "transport", "--messages"), Ours(arguments, "pipeline", "--commands")
    stored = {"PEER_RESULTS": database.replace("postgres://", "postgresql+psycopg2://")}
    return (
        [dramatiq, celery("Celery", "peer_celery"), taskiq, bullmq, graphile("graphile-worker"), ours_transport],
        [celery("Celery, results in PostgreSQL", "peer_celery_results", **stored), dbos, restate,
         graphile("graphile-worker, a row a result", PEER_RESULTS="yes"), ours_whole],
    )


FIGURES = [
    ("one", "sent a second, one by one", "{:.0f}"),
    ("many", "sent a second, side by side", "{:.0f}"),
    ("drain", "executed a second", "{:.0f}"),
    ("drain_a_core_second", "executed a core-second", "{:.0f}"),
    ("drain_a_core_second_without_double", "the same without the DynamoDB double", "{:.0f}"),
    ("p50_ms", "{}, ms, p50", "{:.1f}"),
    ("p99_ms", "p99", "{:.1f}"),
]


def table(title, peers, count, rounds, timed):
    figures = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            figures[peer.name].append(peer.round(count))
            print(f"{peer.name}: {figures[peer.name][-1]}", file=sys.stderr)
    shown = [figure for figure in FIGURES if any(figure[0] in rounds[0] for rounds in figures.values())]
    print(f"\n{title}; {count} jobs, medians of {rounds} rounds, by turns\n")
    print("| | " + " | ".join(heading.format(timed) for _, heading, _ in shown) + " |")
    print("|---" * (len(shown) + 1) + "|")
    for name, rounds_of in figures.items():
        cells = []
        for key, _, form in shown:
            values = [figures[key] for figures in rounds_of if key in figures]
            cells.append(form.format(statistics.median(values)) if values else "")
        print(f"| {name} | " + " | ".join(cells) + " |")


def read_arguments():
    parser = argparse.ArgumentParser()
    for name in ["folder", "bench", "rabbitmq", "postgres", "dbos", "redis-port"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--stored-jobs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def run():
    arguments = read_arguments()
    transport, stored = peers(arguments)
    table("A job that does nothing", transport, arguments.jobs, arguments.rounds, "sender to handler")
    table("The same, its outcome stored", stored, arguments.stored_jobs, arguments.rounds,
          "sender to handler, ours to the outcome")


if __name__ == "__main__":
    run()
