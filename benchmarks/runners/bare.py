"""The ceiling: a plain confluent-kafka loop with orjson and a dict, without state that survives a crash.

`--tuned` mends the client's fetching: with a full queue it would pause for 1 s, longer than it takes to
drain it.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from benchmarks.runners.common import REGIONS, TAX, FirstRecord, Settings, parse_settings, say_hello

BATCH = 1000
TUNED = "--tuned" in sys.argv
Handle = Callable[[list[Message]], None]


def totals_handler(totals: dict[str, list[Any]]) -> Handle:
    """Add each order to its customer's [sum, count] in `totals`."""

    def handle(batch: list[Message]) -> None:
        loads = orjson.loads
        for message in batch:
            order = loads(message.value())
            customer = order["customer_id"]
            total = totals.get(customer)
            if total is None:
                totals[customer] = [order["amount"], 1]
            else:
                total[0] += order["amount"]
                total[1] += 1

    return handle


def enrich_handler(producer: Producer, output: str) -> Handle:
    """Publish one enriched order per order."""

    def handle(batch: list[Message]) -> None:
        loads, dumps, produce = orjson.loads, orjson.dumps, producer.produce
        for message in batch:
            order = loads(message.value())
            order["gross"] = round(order["amount"] * order["quantity"] * TAX, 2)
            order["region"] = REGIONS.get(order["country"], "other")
            while True:
                try:
                    produce(output, dumps(order), message.key())
                    break
                except BufferError:
                    producer.poll(0.01)
        producer.poll(0)

    return handle


def run(settings: Settings) -> None:
    """Consume until SIGTERM; commits never wait, except for delivery when the input is drained."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": settings.app_id,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **({"fetch.queue.backoff.ms": 10} if TUNED else {}),
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "enable.idempotence": True,
            "queue.buffering.max.messages": 200_000,
            "linger.ms": 20,
        }
    )
    handle = totals_handler({}) if settings.job == "totals" else enrich_handler(producer, settings.output)
    stopping = _stop_on_sigterm()
    first, last_commit, dirty = FirstRecord(), time.monotonic(), False
    consumer.subscribe([settings.input])
    while not stopping:
        batch = consumer.consume(BATCH, timeout=0.02)
        if batch:
            if not first.seen:
                first.report()
            handle(batch)
            dirty = True
        if dirty and time.monotonic() - last_commit >= settings.commit_interval:
            if not batch:
                producer.flush()
            _commit(consumer, wait=not batch)
            last_commit, dirty = time.monotonic(), bool(batch)
    consumer.close()


def _commit(consumer: Consumer, *, wait: bool) -> None:
    try:
        consumer.commit(asynchronous=not wait)
    except KafkaException as error:
        # An earlier commit, which was not waited for, covered everything.
        if error.args[0].code() != KafkaError._NO_OFFSET:
            raise


def _stop_on_sigterm() -> list[bool]:
    """A list that is non-empty once SIGTERM has come."""
    stopping: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    return stopping


if __name__ == "__main__":
    say_hello("confluent-kafka", "orjson")
    run(parse_settings([word for word in sys.argv[1:] if word != "--tuned"]))
