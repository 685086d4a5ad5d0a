"""Publishing speed: typed events against a bare client loop, in one run on the same topic.

    python -m benchmarks.publish [--bootstrap-servers HOST:PORT] [--events N] [--rounds N]

Three loops write the same orders of 128 bytes, with the same client settings (idempotent, acks=all, lz4, one
header), and wait for all acknowledgements:

- bare: a list of ready bytes, `confluent_kafka.Producer.produce` and nothing else
- typed: ready event objects, `producer.publish(event)`, serialisation included
- typed, built: also makes the event object from Python values

The rounds alternate, because a shared machine is never equally fast for long; the ratio is the median of the
rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from confluent_kafka import Producer as Client
from rich.console import Console
from rich.table import Table

from benchmarks import target
from benchmarks.cluster import run_on
from benchmarks.orders import ORDER_BYTES, Truth, make_orders
from holdfast.kafka.producer import Producer
from holdfast.kafka.settings import producer_config
from holdfast.schema import Event, TopicEncoder

BAR = 150_000
"""Typed events per second and process that we promise."""

POOL = 20_000
"""Distinct orders; the loops go round in them, so that making them is not measured."""


class OrderPlaced(Event):
    """The order of the other benchmarks."""

    order_id: str
    customer_id: str
    amount: Decimal
    sku: str
    quantity: int
    country: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One loop's result: events per second by the wall clock, CPU microseconds per event of the process."""

    per_second: float
    cpu_us: float


Loop = Callable[[int], int]
"""Publishes so many events, waits for their acknowledgements, returns how many there were."""


def bare_loop(servers: str, topic: str, pool: list[OrderPlaced]) -> Loop:
    """Return the loop that every other one is compared with."""
    encode = TopicEncoder(topic, [OrderPlaced], "customer_id").encode
    records = [encode(order) for order in pool]

    def loop(events: int) -> int:
        client = Client(producer_config(servers))
        produce, poll = client.produce, client.poll
        for number in range(events):
            key, value, headers = records[number % POOL]
            while True:
                try:
                    produce(topic, value, key, -1, None, None, 0, headers)
                    break
                except BufferError:
                    poll(0.1)
            if not number % 10_000:
                poll(0)
        return events - client.flush(60)

    return loop


def typed_loop(servers: str, topic: str, pool: list[OrderPlaced]) -> Loop:
    """Return the loop over ready event objects."""

    def loop(events: int) -> int:
        with Producer([TopicEncoder(topic, [OrderPlaced], "customer_id")], servers) as producer:
            publish = producer.publish
            for number in range(events):
                publish(pool[number % POOL])
        return producer.stats.delivered

    return loop


def built_loop(servers: str, topic: str, pool: list[OrderPlaced]) -> Loop:
    """Return the loop that also builds each event from Python values."""
    values: list[dict[str, Any]] = [dict(order) for order in pool]

    def loop(events: int) -> int:
        with Producer([TopicEncoder(topic, [OrderPlaced], "customer_id")], servers) as producer:
            publish = producer.publish
            for number in range(events):
                publish(OrderPlaced(**values[number % POOL]))
        return producer.stats.delivered

    return loop


def measure(loop: Loop, events: int) -> Measured:
    """Run a loop once."""
    started, cpu = time.perf_counter(), time.process_time()
    done = loop(events)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    if done != events:
        raise RuntimeError(f"only {done} of {events} events were acknowledged")
    return Measured(events / seconds, cpu / events * 1e6)


def report(rounds: dict[str, list[Measured]]) -> bool:
    """Print the table; tell whether the bar is reached."""
    table = Table("loop", "events/s median", "best", "CPU us/event", "ratio to bare", title="Publishing")
    bare = rounds["bare"]
    for name, results in rounds.items():
        speeds = [result.per_second for result in results]
        ratio = statistics.median(r.per_second / b.per_second for r, b in zip(results, bare, strict=True))
        cpu = statistics.median(result.cpu_us for result in results)
        median = statistics.median(speeds)
        table.add_row(name, f"{median:,.0f}", f"{max(speeds):,.0f}", f"{cpu:.2f}", f"{ratio:.2f}")
    Console().print(table)
    typed = statistics.median(result.per_second for result in rounds["typed"])
    print(f"bar {BAR:,}/s: {'reached' if typed >= BAR else 'MISSED'} ({typed / BAR:.2f}x)")
    return typed >= BAR


def main() -> int:
    """Run the benchmark; exit code 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bootstrap-servers", help="default: an embedded cluster, as in benchmarks.compare")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=4)
    arguments = parser.parse_args()
    orders = make_orders(events=POOL, keys=10_000, seed=1, truth=Truth())
    pool = [OrderPlaced.model_validate_json(order.value) for order in orders]
    sizes = [len(order.model_dump_json()) for order in pool]
    print(f"{arguments.events:,} events a round, {statistics.mean(sizes):.0f} bytes (input {ORDER_BYTES})")
    with (
        target.bootstrap_servers(arguments.bootstrap_servers) as servers,
        run_on(servers, partitions=arguments.partitions) as cluster,
    ):
        topic = cluster.create_topic("publish")
        makers = {"bare": bare_loop, "typed": typed_loop, "typed, built": built_loop}
        loops = {name: make(servers, topic, pool) for name, make in makers.items()}
        rounds: dict[str, list[Measured]] = {name: [] for name in loops}
        for _ in range(arguments.rounds):
            for name, loop in loops.items():
                rounds[name].append(measure(loop, arguments.events))
    return 0 if report(rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
