"""taskiq: jobs on RabbitMQ's quorum queues, acknowledged after they ran."""

import asyncio
import sys
import time

from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.queue import Queue

from common import PACE, QUEUE, RABBITMQ, note, now, report

broker = AioPikaBroker(RABBITMQ, qos=100, task_queues=[Queue(name=QUEUE)])


@broker.task(task_name="nothing")
async def nothing(sent: float) -> None:
    note(sent)


async def run(mode, count):
    await broker.startup()
    began = time.monotonic()
    if mode == "one":
        for _ in range(count):
            await nothing.kiq(0.0)
    elif mode == "many":
        limit = asyncio.Semaphore(64)

        async def one():
            async with limit:
                await nothing.kiq(0.0)

        await asyncio.gather(*(one() for _ in range(count)))
    else:
        for n in range(count):
            await asyncio.sleep(max(0.0, began + n * PACE - time.monotonic()))
            await nothing.kiq(now())
    report(count, time.monotonic() - began)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
