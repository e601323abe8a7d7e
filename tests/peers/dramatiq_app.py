"""Dramatiq: jobs on RabbitMQ, each publishing confirmed."""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from common import QUEUE, RABBITMQ, main, note, now

dramatiq.set_broker(RabbitmqBroker(url=RABBITMQ, confirm_delivery=True))


@dramatiq.actor(queue_name=QUEUE)
def nothing(sent):
    note(sent)


def send(paced):
    nothing.send(now() if paced else 0.0)


if __name__ == "__main__":
    main(send)
