"""Celery: jobs on RabbitMQ, acknowledged after they ran; with PEER_RESULTS their outcomes are stored in PostgreSQL."""

import os

from celery import Celery

from common import QUEUE, RABBITMQ, main, note, now

RESULTS = os.environ.get("PEER_RESULTS")
app = Celery("peer", broker=RABBITMQ, backend=f"db+{RESULTS}" if RESULTS else None)
app.conf.update(
    task_acks_late=True,
    task_default_queue=QUEUE,
    task_ignore_result=RESULTS is None,
    # Its guide to optimizing: many short tasks want a larger prefetch.
    worker_prefetch_multiplier=64,
    broker_transport_options={"confirm_publish": True},
    database_create_tables_at_setup=True,
)


@app.task(name="nothing")
def nothing(sent):
    note(sent)


def send(paced):
    nothing.delay(now() if paced else 0.0)


if __name__ == "__main__":
    main(send)
