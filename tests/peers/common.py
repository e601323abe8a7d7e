"""What the peers written in Python share: how they are told what to do, and how they say what came of it."""

import json
import os
import sys
import threading
import time

RABBITMQ = os.environ.get("PEER_RABBITMQ", "")
QUEUE = os.environ["PEER_QUEUE"]
# Seconds between two jobs whose way is timed.
PACE = 0.01
THREADS = 16


def now():
    return time.time()


def note(sent):
    """A job that says when it was sent notes how long it took to its handler."""
    if sent:
        with open(os.environ["PEER_TIMES"], "a") as times:
            times.write(f"{now() - sent}\n")


def report(count, seconds):
    print(json.dumps({"a_second": count / seconds}))


def enqueue_one_by_one(send, count):
    began = time.monotonic()
    for _ in range(count):
        send(False)
    report(count, time.monotonic() - began)


def enqueue_by_threads(send, count):
    def share():
        for _ in range(count // THREADS):
            send(False)

    threads = [threading.Thread(target=share) for _ in range(THREADS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report(count // THREADS * THREADS, time.monotonic() - began)


def enqueue_paced(send, count):
    began = time.monotonic()
    for n in range(count):
        time.sleep(max(0.0, began + n * PACE - time.monotonic()))
        send(True)
    report(count, time.monotonic() - began)


def main(send):
    """Sends jobs as the command line says; `send` is told whether the job says when it was sent."""
    modes = {"one": enqueue_one_by_one, "many": enqueue_by_threads, "paced": enqueue_paced}
    modes[sys.argv[1]](send, int(sys.argv[2]))
