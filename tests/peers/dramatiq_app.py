"""Dramatiq: jobs on RabbitMQ, each publishing confirmed."""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from common import QUEUE, RABBITMQ, note, enqueue_by_threads, enqueue_one_by_one, main, now

dramatiq.set_broker(RabbitmqBroker(url=RABBITMQ, confirm_delivery=True))


@dramatiq.actor(queue_name=QUEUE)
def nothing(sent):
    note(sent)


def send(paced):
    nothing.send(now() if paced else 0.0)


if __name__ == "__main__":
    main({"one": lambda n: enqueue_one_by_one(send, n), "many": lambda n: enqueue_by_threads(send, n)}, send)
