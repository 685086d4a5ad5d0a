"""Asks the cluster what there is, reads every replica, and gives a verdict on each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from holdfast.errors import ClusterError
from holdfast.kafka.offsets import OffsetAdmin
from holdfast.kafka.replicas.facts import ReplicaFacts, chosen
from holdfast.kafka.replicas.partition import PartitionCheck, Readers
from holdfast.kafka.replicas.plan import PartitionView, Unreadable, plan_routes
from holdfast.kafka.replicas.verdict import Finding, ReplicaResult, Verdict
from holdfast.kafka.scan import Progress
from holdfast.kafka.settings import Properties
from holdfast.record import TopicPartition

PATIENCE_S = 15.0
"""Seconds without any record after which a replica counts as not readable."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which offsets of each partition to compare; all that are there unless said otherwise.

    Attributes:
        first: the first offset.
        stop: the offset after the last one.
        last: only so many offsets before the end.
    """

    first: int | None = None
    stop: int | None = None
    last: int | None = None

    def of(self, begin: int, end: int) -> tuple[int, int]:
        """The bounds inside a partition that keeps offsets from `begin` to before `end`."""
        stop = end if self.stop is None else max(begin, min(end, self.stop))
        first = begin if self.first is None else max(begin, self.first)
        if self.last is not None:
            first = max(first, stop - self.last)
        return min(first, stop), stop


def _untold(topic: str, done: int, total: int) -> None:
    """Nobody looks."""


class ReplicaCheck:
    """Compares the replicas of topics. Use it in a `with` statement.

    Args:
        bootstrap_servers: `host:port` of some brokers, separated by commas.
        properties: the user's own client properties.
        on_progress: told how far it is.
        patience: seconds without any record after which a replica counts as not readable.

    Raises:
        BrokersUnreachable: no broker answered in time.
        ClusterError: the client refuses the properties.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        properties: Properties | None = None,
        *,
        on_progress: Progress = _untold,
        patience: float = PATIENCE_S,
    ) -> None:
        self._offsets = OffsetAdmin(bootstrap_servers, properties)
        self._facts = ReplicaFacts(bootstrap_servers, properties)
        self._readers = Readers(bootstrap_servers, properties, patience)
        self._on_progress = on_progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readers.close()

    def topic(
        self, name: str, *, partitions: Collection[int] = (), bounds: Bounds | None = None
    ) -> Iterator[ReplicaResult]:
        """A result for every replica of a topic, partition by partition.

        Args:
            name: the topic.
            partitions: only these; all unless given.
            bounds: which offsets.

        Raises:
            ClusterError: the topic or a partition does not exist, or the cluster does not answer.
        """
        views = chosen(self._views(name), name, partitions)
        brokers, retention = self._facts.brokers(), self._facts.retention(name)
        ranges = self._ranges(views, bounds or Bounds())
        total = sum(end - begin for begin, end in ranges.values())
        done = 0
        for view in views:
            routes = plan_routes(view, brokers)
            begin, end = ranges.get(view.place, (0, 0))
            readable = {it: route for it, route in routes.items() if not isinstance(route, Unreadable)}
            check = PartitionCheck(self._readers, view, readable, (begin, end), retention)
            for position in check.run(self._offsets, self._facts):
                self._on_progress(name, done + position - begin, total)
            done += end - begin
            found = check.findings()
            for broker, route in routes.items():
                finding = (
                    Finding(Verdict.NOT_READ, None, route.reason)
                    if isinstance(route, Unreadable)
                    else found[broker]
                )
                yield ReplicaResult(
                    view.place, broker, broker == view.leader, begin, end, check.records(broker), finding
                )

    def _views(self, name: str) -> tuple[PartitionView, ...]:
        views = self._facts.partitions(name)
        if not views:
            raise ClusterError(
                f"the cluster has no topic {name}. `holdfast topics --all` shows those that it has."
            )
        return views

    def _ranges(
        self, views: Collection[PartitionView], bounds: Bounds
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        """What to compare: from the leader's first offset to what all in-sync replicas have now."""
        led = [view.place for view in views if view.leader is not None]
        ends = self._offsets.high_watermarks(led)
        begins = self._offsets.begins(led)
        return {place: bounds.of(begins[place], max(begins[place], ends[place])) for place in led}
