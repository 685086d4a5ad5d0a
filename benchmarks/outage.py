"""A payment gateway that is away for a minute under load: what it gets meanwhile, and when it is back.

    python -m benchmarks.outage [--how killed,error,hang] [--rate 2000] [--away 60] [--before 30] [--after 45]

One application on three embedded brokers, with a worker for each of two processors that read the same
topic: one asks the gateway to charge for every event, the other keeps a running sum. The gateway is
`python -m gateway`, and what it was asked, and when, is in its journal. It goes away in one of three ways:

- killed: SIGKILL to its process, and a new one in its place at the end;
- error: it answers everything with 503, so that its journal shows what still comes;
- hang: it takes every call, and never answers.

Then the load ends, everything is handled, and the journal is compared with the topics: each event is charged
once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.cluster import take
from gateway.book import Entry, read
from holdfast.local.cluster import EmbeddedCluster
from holdfast.topology import Topology
from holdfast.topology.load import load
from tests.support.application import COUNTER, FOLD, Application, Run
from tests.support.events import Folded, Taken
from tests.support.fold import assert_exactly_once
from tests.support.gateway import GatewayProcess, gateway_process
from tests.support.load import Load

SHARDS = 6
KEYS = 2_000
SETTLE_S = 10.0
"""Seconds of load before anything is measured."""

OPEN_WITHIN_S = 3.0
"""Seconds after which the circuit has to be open: what comes later is a probe."""

CHARGE = (
    FOLD
    + """
from holdfast.sinks.http import HttpClient
from test_events import Taken

@processor
async def charge(event: Added, gateway: HttpClient, at: Context) -> Taken:
    payment = {"order_id": f"{at.partition}-{at.offset}", "customer_id": event.key, "amount": f"{event.n}.00"}
    answer = await gateway.post("/charges", json=payment)
    assert answer.is_success, f"the gateway said {answer}"
    return Taken(key=event.key, n=event.n)
"""
)

console = Console()


class Shop(Application):
    """The running sum of the tests, and a second processor that has each event paid.

    Args:
        gateway: its URL.
    """

    def __init__(self, folder: Path, servers: str, name: str, gateway: str) -> None:
        self._gateway = gateway
        super().__init__(
            folder,
            servers,
            name,
            handler=CHARGE,
            outputs={"sums": (Folded,), "paid": (Taken,)},
            topic={"partitions": SHARDS},
            commit_interval="100ms",
            session_timeout="6s",
        )
        self.provision()

    def _write(self, handler: str) -> Topology:
        super()._write(handler)
        file = self.folder / "topology.yaml"
        declared = json.loads(file.read_text())
        declared["sinks"] = {"gateway": {"type": "http", "url": self._gateway}}
        counter = declared["processors"][COUNTER]
        counter["writes"] = [self.names.topic("sums")]
        asking = {"handler": "test_handler:charge", "asks": ["gateway"], "writes": [self.names.topic("paid")]}
        declared["processors"]["payments"] = {**counter, **asking, "tables": {}}
        file.write_text(json.dumps(declared, indent=1))
        return load(file)


class LatencyWatch:
    """How long after its event each record of the running sum becomes visible to a reader.

    Args:
        servers: the brokers.
        topic: the output, whose records have the time at which their event was published.
    """

    def __init__(self, servers: str, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "outage-watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(topic, number) for number in range(SHARDS)])
        self._seen: list[tuple[float, float]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._consumer.close()

    def between(self, begin: float, end: float) -> Latency:
        """The latencies of what became visible in a time."""
        return Latency.of([took for at, took in self._seen if begin <= at < end])

    def _watch(self) -> None:
        while not self._end.is_set():
            messages = take(self._consumer, 0.05, 5_000)
            now = time.time()
            self._seen += [(now, now - it.timestamp()[1] / 1000) for it in messages if it.error() is None]


@dataclass(frozen=True)
class Latency:
    """Percentiles in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Of all of them."""
        cuts = statistics.quantiles(seconds, n=100)
        return cls(1_000 * cuts[49], 1_000 * cuts[98])

    def __str__(self) -> str:
        return f"{self.p50:.0f} / {self.p99:.0f} ms"


@dataclass(frozen=True)
class Times:
    """Unix times of a run: of its begin, of the gateway's end and of its return, and when the load ended."""

    began: float
    gone: float
    back: float
    ended: float


@dataclass(frozen=True)
class Outcome:
    """What one outage did.

    Attributes:
        how: in which way the gateway was away.
        steady: requests per second before it.
        at_first: requests until the circuit had to be open.
        probes: requests from then on, while the gateway was away.
        returned_s: seconds from the gateway's return to the first good answer.
        first_second: requests in the second that began with that answer.
        most: requests in the worst second until the load ended.
        worst: when that second began, in seconds from that answer.
        before, away, after: the other processor's latency.
        drained_s: seconds from the end of the load until everything was handled.
        charged: events that were charged, all of them once.
        repeated: requests with a key that was known.
    """

    how: str
    steady: float
    at_first: int
    probes: int
    returned_s: float
    first_second: int
    most: int
    worst: float
    before: Latency
    away: Latency
    after: Latency
    drained_s: float
    charged: int
    repeated: int


class Requests:
    """The gateway's journal."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._at = [entry.at for entry in entries]

    def between(self, begin: float, end: float) -> int:
        """How many requests came in a time."""
        return bisect_left(self._at, end) - bisect_left(self._at, begin)

    def first_good(self, since: float) -> float:
        """When the first request came whose answer was right."""
        return next(entry.at for entry in self.entries if entry.at >= since and entry.fault is None)

    def worst_second(self, begin: float, end: float) -> tuple[int, float]:
        """The most requests within a second, and when that second began; looked at ten times a second."""
        steps = max(int((end - begin - 1) * 10), 1)
        seconds = [
            (self.between(begin + step / 10, begin + step / 10 + 1), step / 10) for step in range(steps)
        ]
        return max(seconds)


def outage(how: str, shop: Shop, gateway: GatewayProcess, options: argparse.Namespace) -> Outcome:
    """Run one outage, and check what came of it."""
    sums = shop.names.topic("sums")
    with shop.run() as run, LatencyWatch(shop.servers, sums) as watch:
        run.until_running(2 * SHARDS)
        with Load(shop, rate=options.rate, keys=KEYS, tick=0.05):
            run.let_run(SETTLE_S)
            began = time.time()
            run.let_run(options.before)
            gone = time.time()
            back = _be_away(how, gateway, run, options.away)
            run.let_run(options.after)
        ended = time.time()
        run.until_drained(600)
        drained_s = time.time() - ended
    entries = list(read(gateway.journal))
    charged = check(shop, entries)
    return _outcome(how, Requests(entries), watch, Times(began, gone, back, ended), drained_s, charged)


def _be_away(how: str, gateway: GatewayProcess, run: Run, seconds: float) -> float:
    """Let the gateway be away for a time; returns when it was back."""
    if how == "killed":
        gateway.kill()
        run.let_run(seconds)
        gateway.start()
    else:
        gateway.fail({"kind": how})
        run.let_run(seconds)
        gateway.heal()
    return time.time()


def check(shop: Shop, entries: Sequence[Entry]) -> int:
    """Every event was charged once with its amount, and published as paid; returns how many there were."""
    inputs = shop.records("adds")
    wanted = {f"{it.partition()}-{it.offset()}": (event.key, event.n) for it, event in inputs}
    charges = [entry for entry in entries if entry.outcome == "charged"]
    assert len(charges) == len({entry.order_id for entry in charges}), "something was charged twice"
    found = {entry.order_id: (entry.customer_id, int(entry.amount)) for entry in charges}
    assert found == wanted, f"{len(wanted)} events, {len(found)} charges, or other amounts"
    paid = Counter((event.key, event.n) for event in shop.decoded("paid"))
    assert paid == Counter(wanted.values()), "what was paid is not what was published"
    assert assert_exactly_once(shop) == len(wanted)
    return len(wanted)


def _outcome(
    how: str, requests: Requests, watch: LatencyWatch, times: Times, drained_s: float, charged: int
) -> Outcome:
    opened = times.gone + OPEN_WITHIN_S
    answered = requests.first_good(times.back)
    most, worst = requests.worst_second(answered, times.ended)
    return Outcome(
        how=how,
        steady=requests.between(times.began, times.gone) / (times.gone - times.began),
        at_first=requests.between(times.gone, opened),
        probes=requests.between(opened, times.back),
        returned_s=answered - times.back,
        first_second=requests.between(answered, answered + 1),
        most=most,
        worst=worst,
        before=watch.between(times.began, times.gone),
        away=watch.between(times.gone, times.back),
        after=watch.between(times.back, times.ended),
        drained_s=drained_s,
        charged=charged,
        repeated=sum(1 for entry in requests.entries if entry.outcome == "repeated"),
    )


def table(found: Sequence[Outcome], title: str) -> Table:
    """The results for a terminal: a column for each outage."""
    drawn = Table(title=title)
    drawn.add_column("")
    for one in found:
        drawn.add_column(one.how, justify="right")
    drawn.add_column("bar")

    def row(what: str, cells: Sequence[Any], bar: str = "") -> None:
        drawn.add_row(what, *map(str, cells), bar)

    row("requests/s before", [f"{one.steady:,.0f}" for one in found])
    row(f"requests in its first {OPEN_WITHIN_S:.0f} s away", [one.at_first for one in found])
    row("requests after that, while away", [one.probes for one in found], "half-open probes")
    row("first good answer, after it was back", [f"{one.returned_s:.1f} s" for one in found])
    row(
        "requests in the first second",
        [f"{one.first_second:,} ({one.first_second / one.steady:.2f}x)" for one in found],
        "1.2x",
    )
    row(
        "most requests in a second, and when",
        [f"{one.most:,} ({one.most / one.steady:.2f}x), {one.worst:.1f} s" for one in found],
    )
    row("other processor p50 / p99 before", [one.before for one in found])
    row("while away", [f"{one.away} ({_change(one.before, one.away)})" for one in found], "+20 %")
    row("after", [f"{one.after} ({_change(one.before, one.after)})" for one in found], "+20 %")
    row("all handled, after the load's end", [f"{one.drained_s:.1f} s" for one in found])
    row("charged once, of as many events", [f"{one.charged:,}" for one in found], "all")
    row("known keys that were asked again", [f"{one.repeated:,}" for one in found])
    return drawn


def _change(before: Latency, now: Latency) -> str:
    return f"{now.p50 / before.p50 - 1:+.0%} / {now.p99 / before.p99 - 1:+.0%}"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="A gateway that is away under load.")
    parser.add_argument("--how", default="killed,error,hang")
    parser.add_argument("--rate", type=int, default=2_000, help="events per second")
    parser.add_argument("--before", type=float, default=30.0, help="seconds of load that are measured before")
    parser.add_argument("--away", type=float, default=60.0, help="seconds")
    parser.add_argument("--after", type=float, default=45.0, help="seconds of load when it is back")
    options = parser.parse_args()
    machine = report.machine()
    found = []
    with EmbeddedCluster.temporary() as cluster, tempfile.TemporaryDirectory() as folder:
        for how in options.how.split(","):
            place = Path(folder) / how
            place.mkdir()
            with gateway_process(place / "journal") as gateway:
                shop = Shop(place, cluster.bootstrap_servers, f"outage-{how}", gateway.url)
                found.append(outage(how, shop, gateway, options))
            console.print(found[-1])
    title = (
        f"away for {options.away:.0f} s at {options.rate:,} events/s; {machine['machine']}, {machine['date']}"
    )
    console.print(table(found, title))


if __name__ == "__main__":
    main()
