"""Reads the replicas of one partition side by side and compares them as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from holdfast.kafka.offsets import OffsetAdmin
from holdfast.kafka.replicas.compare import Comparison
from holdfast.kafka.replicas.digest import Parts, record_digest
from holdfast.kafka.replicas.facts import ReplicaFacts
from holdfast.kafka.replicas.findings import Account, Judge
from holdfast.kafka.replicas.plan import ADVICE, PartitionView, Route
from holdfast.kafka.replicas.reader import ReplicaReader
from holdfast.kafka.replicas.sort import Batch, Stop, Trouble
from holdfast.kafka.replicas.verdict import Finding, Retention
from holdfast.kafka.settings import Properties
from holdfast.record import Message

T = TypeVar("T")

TRIES = 3
"""New clients that ask for a replica before it counts as not served. A leader that was elected a moment ago
knows of no follower yet that it could send a client to."""

_PAUSE_S = 0.7

NEVER_SERVED = (
    "nothing that comes is proven to be from it. Another broker answers in its place, or this version of the "
    f"Kafka client does not say who does. {ADVICE}"
)


@dataclass
class Readers:
    """The clients, one for each rack, used for one partition after the other.

    Attributes:
        servers: `host:port` of some brokers, separated by commas.
        properties: the user's own client properties.
        patience: seconds without any progress after which a replica counts as silent.
    """

    servers: str
    properties: Properties | None
    patience: float
    _clients: dict[str | None, ReplicaReader[bytes]] = field(default_factory=dict)

    def of(self, route: Route) -> ReplicaReader[bytes]:
        """The client of a rack."""
        if route.rack not in self._clients:
            self._clients[route.rack] = ReplicaReader(
                self.servers, route.rack, self.properties, record_digest, patience=self.patience
            )
        return self._clients[route.rack]

    def renew(self, route: Route) -> ReplicaReader[bytes]:
        """A new client for a rack: what an old one says of its fetches may be of an earlier reading."""
        self._clients.pop(route.rack).close()
        return self.of(route)

    def close(self) -> None:
        """Let go of the clients."""
        while self._clients:
            self._clients.popitem()[1].close()


class PartitionCheck:
    """The check of one partition; `run` it, then ask for `findings`.

    Args:
        readers: the clients.
        view: the partition.
        routes: how to reach the replicas that can be read.
        bounds: the first offset, and the offset after the last one.
        retention: what the brokers may delete of it by themselves.
    """

    def __init__(
        self,
        readers: Readers,
        view: PartitionView,
        routes: Mapping[int, Route],
        bounds: tuple[int, int],
        retention: Retention,
    ) -> None:
        self._readers = readers
        self._view = view
        self._routes = routes
        self._begin, self._end = bounds
        self._retention = retention
        self._comparison = Comparison(*bounds, routes, gaps=retention.compacted)
        self._accounts = {broker: Account() for broker in routes}
        self._tries = dict.fromkeys(routes, 0)
        self._parts: dict[int, tuple[str, ...]] = {}

    def run(self, offsets: OffsetAdmin, facts: ReplicaFacts) -> Iterator[int]:
        """Read and compare everything; yields how far it is.

        Raises:
            ClusterError: the client cannot go on, or the cluster does not answer.
        """
        if self._begin < self._end:
            for broker, route in self._routes.items():
                self._readers.of(route).open(self._view.place, broker, self._begin)
        while (behind := self._comparison.next_broker()) is not None:
            self._take(behind, self._readers.of(self._routes[behind]).read(), offsets, facts)
            yield self._comparison.position
        self._look_again()

    def records(self, broker: int) -> int:
        """How many records a replica gave."""
        copy = self._comparison.copies.get(broker)
        return copy.records if copy else 0

    def findings(self) -> dict[int, Finding]:
        """The verdict on each replica that was to be read."""
        now = time.time_ns() // 1_000_000
        judge = Judge(self._view.place, self._begin, self._end, self._retention, now)
        return judge.findings(self._comparison.copies, self._accounts, self._parts)

    # -- reading -----------------------------------------------------------------------------------

    def _take(self, broker: int, batch: Batch[bytes], offsets: OffsetAdmin, facts: ReplicaFacts) -> None:
        account = self._accounts[broker]
        if batch.foreign is not None:
            if self._tries[broker] < TRIES:
                self._try_again(broker, facts)
                return
            if account.proven:
                self._fail(broker, "another broker answers in its place")
                return
            if self._comparison.copies[broker].floor == self._begin and not self._serves_the_last(broker):
                self._give_up(broker, NEVER_SERVED)
                return
            # It keeps later offsets only.
            self._comparison.skip(broker, batch.foreign)
            account.newest_missing = max(account.newest_missing, batch.foreign_time)
        before = self._comparison.copies[broker].position
        self._comparison.feed(broker, batch.records, batch.position)
        if batch.position > before:
            account.proven = True
            self._tries[broker] = 0
        if batch.stop is not None:
            self._stopped(broker, batch.stop, offsets, facts)

    def _stopped(self, broker: int, stop: Stop, offsets: OffsetAdmin, facts: ReplicaFacts) -> None:
        account = self._accounts[broker]
        if stop.trouble is Trouble.CORRUPT:
            account.damage, account.said = stop.offset, stop.text
            self._comparison.end(broker)
            return
        if stop.trouble is Trouble.GONE:
            begin = offsets.begins([self._view.place])[self._view.place]
            if begin > stop.offset:
                account.deleted_below = begin
                self._comparison.skip(broker, begin)
                self._reopen(broker)
                return
        if stop.trouble in (Trouble.GONE, Trouble.ELSEWHERE) and self._tries[broker] < TRIES:
            self._try_again(broker, facts)
        else:
            self._fail(broker, stop.text)

    def _try_again(self, broker: int, facts: ReplicaFacts) -> None:
        """Ask for the replica with a new client, unless it is plain that nobody can read it."""
        view = next(
            (it for it in facts.partitions(self._view.place.topic) if it.place == self._view.place), None
        )
        if view is None or broker not in view.in_sync:
            self._give_up(broker, "it is not in sync with the leader any more; check again when it is.")
            return
        self._tries[broker] += 1
        time.sleep(_PAUSE_S)
        self._reopen(broker)

    def _reopen(self, broker: int) -> None:
        position = self._comparison.copies[broker].position
        if position < self._end:
            self._readers.renew(self._routes[broker]).open(self._view.place, broker, position)

    def _fail(self, broker: int, text: str) -> None:
        """Leave a replica that should be readable and is not."""
        advice = f"A damaged file can be the cause: see the log of broker {broker}, and check again."
        self._give_up(broker, f"{text}. {advice}")

    def _give_up(self, broker: int, text: str) -> None:
        account = self._accounts[broker]
        account.failure, account.said = self._comparison.copies[broker].position, text
        self._comparison.end(broker)

    # -- a second look -----------------------------------------------------------------------------

    def _serves_the_last(self, broker: int) -> bool:
        """Whether a replica serves the last offset; if not, there is no use in waiting for it to begin."""
        seen = self._glance(broker, self._end - 1, record_digest)
        return seen.stop is None and seen.foreign is None

    def _look_again(self) -> None:
        """Read the first differing record of each replica once more, to say what of it differs."""
        for broker, copy in self._comparison.copies.items():
            first = copy.first
            if first is not None and not first.lacks and not first.extra:
                mine, theirs = (
                    dict(self._glance(it, first.offset, Parts.of).records).get(first.offset)
                    for it in (broker, first.unlike)
                )
                self._parts[broker] = mine.differences(theirs) if mine and theirs else ()

    def _glance(self, broker: int, offset: int, take: Callable[[Message], T]) -> Batch[T]:
        """What a new client gets at an offset when it means this replica."""
        readers, rack = self._readers, self._routes[broker].rack
        reader = ReplicaReader(readers.servers, rack, readers.properties, take, patience=readers.patience)
        with closing(reader):
            reader.open(self._view.place, broker, offset)
            while True:
                batch = reader.read()
                if batch.records or batch.stop or batch.position > offset:
                    return batch
