"""End-to-end latency at a paced rate: `python -m benchmarks.latency --help`.

Orders are published on a fixed schedule; a read_committed consumer in this process takes the
enriched orders and looks up, by order number, when each one was *due* to be sent. Measuring
from the schedule, not from the send call, keeps a stalled sender from hiding the wait
(coordinated omission). The order number stands for the send time so that the events stay the 128-byte
orders of the other benchmarks, whatever an engine does with extra fields.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from array import array
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from confluent_kafka import Consumer, Producer, TopicPartition
from pydantic_core import from_json
from rich.console import Console
from rich.table import Table

from benchmarks import engines, report, target
from benchmarks.cluster import Cluster, run_on, take
from benchmarks.compare import RESULTS
from benchmarks.orders import Order, Truth, make_orders, order_number
from benchmarks.process import EngineProcess, start, state_folder
from benchmarks.runners.common import Settings

TICK = 0.005
"""Seconds between two looks at the schedule; the wait counts, as events are timed from when they were due."""

MOST_AT_ONCE = 1_000
DRAIN_TIMEOUT = 30.0
START_TIMEOUT = 60.0
console = Console()


@dataclass(frozen=True, slots=True)
class Load:
    """What is published, and when.

    Attributes:
        rate: events per second.
        warmup: leading seconds that are left out of the figures.
        seconds: measured seconds.
    """

    rate: int
    warmup: float
    seconds: float

    @property
    def skipped(self) -> int:
        """Events of the warm-up."""
        return int(self.rate * self.warmup)

    @property
    def events(self) -> int:
        """All events."""
        return self.skipped + int(self.rate * self.seconds)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from due time to receipt of the committed output, and events that never came."""

    engine: str
    guarantee: str
    events: int
    p50: float
    p95: float
    p99: float
    worst: float
    missing: int
    cpu_s: float
    peak_mb: float


class Receiver(threading.Thread):
    """Notes when each order's output arrived; `arrived[n]` is a monotonic time, 0 until then."""

    def __init__(self, cluster: Cluster, topic: str, events: int) -> None:
        super().__init__(name="receiver", daemon=True)
        self.arrived = array("d", bytes(8 * events))
        self.count = 0
        self.stopping = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": cluster.bootstrap_servers,
                "group.id": f"{cluster.run_id}-receiver",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(cluster.partitions)])

    def run(self) -> None:
        """Note arrivals until it is told to stop."""
        while not self.stopping.is_set():
            messages = take(self._consumer, 0.1, MOST_AT_ONCE)
            now = time.monotonic()
            for message in messages:
                if not message.error():
                    self._note(order_number(from_json(message.value())["order_id"]), now)
        self._consumer.close()

    def _note(self, number: int, now: float) -> None:
        if not self.arrived[number]:
            self.arrived[number] = now
            self.count += 1


def publish(cluster: Cluster, topic: str, orders: list[Order], rate: int) -> float:
    """Publish on schedule and return the monotonic time at which the first order was due."""
    producer = Producer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            # With 1 ms the sender alone makes a thousand requests a second and fills a two-core machine.
            "linger.ms": 10,
        }
    )
    begin, sent = time.monotonic(), 0
    while sent < len(orders):
        due = min(int((time.monotonic() - begin) * rate), len(orders))
        for order in orders[sent:due]:
            producer.produce(topic, order.value, order.key)
        sent = due
        producer.poll(0)
        time.sleep(TICK)
    producer.flush(DRAIN_TIMEOUT)
    return begin


def percentile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ordered values lie; 0 if there are none."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def measure_latency(
    engine: engines.Engine, guarantee: str, load: Load, cluster: Cluster, commit_interval: int
) -> Latency:
    """Run the enrich job of `engine` under `load`."""
    app_id = f"{cluster.run_id}-{engine.name}-{guarantee}-latency"
    orders = list(make_orders(events=load.events, keys=10_000, seed=7, truth=Truth()))
    with state_folder() as folder:
        settings = Settings(
            job="enrich",
            guarantee=guarantee,
            bootstrap_servers=cluster.bootstrap_servers,
            input=cluster.create_topic(f"{engine.name}-{guarantee}-latency-in"),
            output=cluster.create_topic(f"{engine.name}-{guarantee}-latency-out"),
            app_id=app_id,
            state_dir=folder,
            commit_interval_ms=commit_interval,
            partitions=cluster.partitions,
            replication=cluster.replicas,
        )
        cluster.groups.add(engine.group_of(app_id))
        with start(engine.command(), settings, RESULTS / "logs-latency" / f"{app_id}.log") as process:
            arrived, begin = _under_load(process, settings, orders, load, cluster)
            cpu_s, peak_mb = process.cpu_seconds(), process.peak_memory_mb()
    due = ((number, begin + number / load.rate) for number in range(max(load.skipped, 1), load.events))
    waits = sorted((arrived[number] - when) * 1000 for number, when in due if arrived[number])
    return Latency(
        engine=engine.name,
        guarantee=guarantee,
        events=load.events - load.skipped,
        p50=percentile(waits, 0.50),
        p95=percentile(waits, 0.95),
        p99=percentile(waits, 0.99),
        worst=waits[-1] if waits else 0.0,
        missing=load.events - load.skipped - len(waits),
        cpu_s=cpu_s,
        peak_mb=peak_mb,
    )


def _under_load(
    process: EngineProcess, settings: Settings, orders: list[Order], load: Load, cluster: Cluster
) -> tuple[array[float], float]:
    """Publish all orders while the receiver listens; end when all outputs are there or their time is up."""
    receiver = Receiver(cluster, settings.output, load.events)
    receiver.start()
    try:
        # The first order's output shows that the engine is up; the schedule starts then.
        publish(cluster, settings.input, orders[:1], load.rate)
        _await_outputs(process, receiver, 1, START_TIMEOUT)
        begin = publish(cluster, settings.input, orders[1:], load.rate) - 1 / load.rate
        _await_outputs(process, receiver, load.events, DRAIN_TIMEOUT)
    finally:
        receiver.stopping.set()
        receiver.join()
    return receiver.arrived, begin


def _await_outputs(process: EngineProcess, receiver: Receiver, count: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while receiver.count < count and time.monotonic() < deadline:
        process.check_alive()
        time.sleep(0.05)


def table(results: list[Latency], load: Load) -> Table:
    """The results for a terminal."""
    drawn = Table(title=f"end-to-end latency at {load.rate:,} events/s over {load.seconds:g} s, in ms")
    for title in ("engine", "guarantee", "p50", "p95", "p99", "max", "missing", "CPU s", "peak MB"):
        drawn.add_column(title, justify="left" if title in {"engine", "guarantee"} else "right")
    for one in results:
        figures = (one.p50, one.p95, one.p99, one.worst)
        drawn.add_row(
            one.engine,
            one.guarantee,
            *(f"{value:,.0f}" for value in figures),
            f"{one.missing:,}",
            f"{one.cpu_s:.1f}",
            f"{one.peak_mb:,.0f}",
        )
    return drawn


def main(
    *,
    engine_names: Annotated[str, typer.Option("--engines", help="Comma-separated.")] = "holdfast",
    command: Annotated[str | None, typer.Option(help="An engine as a command line instead.")] = None,
    guarantee: str = "exactly-once",
    rate: Annotated[int, typer.Option(help="Events per second.", min=1)] = 5_000,
    seconds: Annotated[float, typer.Option(help="Measured seconds.", min=1)] = 60.0,
    warmup: Annotated[float, typer.Option(help="Seconds before that.")] = 15.0,
    commit_interval: Annotated[int, typer.Option(help="Milliseconds.", min=1)] = 100,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="A cluster; default: an embedded one.")
    ] = None,
) -> None:
    """Measure end-to-end latency of the enrich job under a steady load."""
    sys.setswitchinterval(0.0005)  # sender and receiver share an interpreter; 5 ms would show in the figures
    load = Load(rate, warmup, seconds)
    chosen = [engines.custom(command)] if command else engines.named(engine_names)
    before: dict[str, Any] = report.machine()
    with target.bootstrap_servers(bootstrap_servers) as servers, run_on(servers) as cluster:
        results = []
        for engine in chosen:
            with console.status(f"{engine.name}: {load.warmup + load.seconds:g} s of load"):
                results.append(measure_latency(engine, guarantee, load, cluster, commit_interval))
    console.print(table(results, load))
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = RESULTS / f"latency-{stamp}.json"
    content = {"facts": before, "load": asdict(load), "results": [asdict(one) for one in results]}
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
