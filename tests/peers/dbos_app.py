"""DBOS: durable workflows on a queue in PostgreSQL, whose outcomes are stored there."""

import os
import sys
import time

from dbos import DBOS, DBOSClient

from common import QUEUE, main, note, now

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


def enqueue():
    client = DBOSClient(system_database_url=URL)
    how = {"workflow_name": "nothing", "queue_name": QUEUE}
    main(lambda paced: client.enqueue(how, now() if paced else 0.0))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    elif sys.argv[1] == "migrate":
        launch()
        DBOS.destroy()
    else:
        enqueue()
