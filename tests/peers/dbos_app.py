"""DBOS: durable workflows on a queue in PostgreSQL, whose outcomes are stored there."""

import os
import sys
import time

from dbos import DBOS, DBOSClient

from common import PACE, QUEUE, enqueue_by_threads, note, now, report

URL = os.environ["PEER_POSTGRES"]


@DBOS.workflow(name="nothing")
def nothing(sent: float) -> None:
    note(sent)


def launch():
    DBOS(config={"name": "peer", "system_database_url": URL, "log_level": "ERROR", "run_admin_server": False})
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=0.05)


def serve():
    launch()
    while True:
        time.sleep(1)


def enqueue(mode, count):
    client = DBOSClient(system_database_url=URL)
    how = {"workflow_name": "nothing", "queue_name": QUEUE}
    if mode == "one":
        began = time.monotonic()
        for _ in range(count):
            client.enqueue(how, 0.0)
        report(count, time.monotonic() - began)
    elif mode == "many":
        enqueue_by_threads(lambda _: client.enqueue(how, 0.0), count)
    else:
        began = time.monotonic()
        for n in range(count):
            time.sleep(max(0.0, began + n * PACE - time.monotonic()))
            client.enqueue(how, now())
        report(count, time.monotonic() - began)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    elif sys.argv[1] == "migrate":
        launch()
        DBOS.destroy()
    else:
        enqueue(sys.argv[1], int(sys.argv[2]))
