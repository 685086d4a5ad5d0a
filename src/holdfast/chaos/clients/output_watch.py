"""Watches committed output as a user of it sees it: how much comes, how old it is, how long it is silent."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, TopicPartition

GAP_S = 0.2
"""Silences of a partition that are shorter are not kept."""

_BATCH = 5_000
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Interval:
    """Some time of one partition, on the monotonic clock."""

    partition: int
    began: float
    ended: float


@dataclass(slots=True)
class _Partition:
    """What was seen of one partition.

    Attributes:
        seen: when its newest record became visible.
        event_time: the newest time of an input whose output is visible, in seconds since 1970.
        stale_since: since when it is not fresh; None if it is.
    """

    seen: float
    event_time: float = 0.0
    stale_since: float | None = None


class OutputWatch:
    """A read_committed consumer of an output topic, on a thread of its own. Use it in a ``with`` statement.

    The engine gives an output the time of its input; so the age of an output, when it becomes visible, is the
    latency from publication to output.

    Args:
        servers: the brokers.
        topic: the output.
        partitions: how many it has.
        fresh_s: an output is fresh when its input was published so many seconds ago, or fewer.
    """

    def __init__(self, servers: str, topic: str, partitions: int, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "holdfast-chaos-watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                # The watch must not be slower than what it watches: by itself it looks for new leaders once a
                # second, and waits for a silent broker for half a minute.
                "reconnect.backoff.max.ms": 250,
                "topic.metadata.refresh.interval.ms": 200,
                "socket.timeout.ms": 3_000,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        now = time.monotonic()
        self._lock = threading.Lock()
        self._partitions = [_Partition(now) for _ in range(partitions)]
        self._gaps: list[Interval] = []
        self._stale: list[Interval] = []
        self._latencies: list[float] = []
        self._is_open = True
        self._thread = threading.Thread(target=self._watch, name="output-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        self._thread.join()
        self._consumer.close()
        self._end(time.monotonic())

    @property
    def silent_s(self) -> float:
        """For how long the most silent partition has shown nothing, in seconds."""
        now = time.monotonic()
        with self._lock:
            return max(now - one.seen for one in self._partitions)

    def fresh_within(self, seconds: float) -> bool:
        """Whether every partition shows outputs of inputs that were published so lately."""
        now = time.time()
        with self._lock:
            return all(now - one.event_time < seconds for one in self._partitions)

    def take_latencies(self) -> list[float]:
        """Latencies in seconds of what became visible since the last call, sorted."""
        with self._lock:
            taken, self._latencies = self._latencies, []
        return sorted(taken)

    def gaps(self) -> list[Interval]:
        """Silences of partitions that are over, in the order of their ends."""
        with self._lock:
            return list(self._gaps)

    def stale(self) -> list[Interval]:
        """Times when a partition was not fresh, those that are over."""
        with self._lock:
            return list(self._stale)

    def _watch(self) -> None:
        while self._is_open:
            first = self._consumer.poll(_POLL_S)
            messages = [] if first is None else [first, *self._consumer.consume(_BATCH, 0)]
            now, wall = time.monotonic(), time.time()
            with self._lock:
                for message in messages:
                    if message.error() is None:
                        self._take(message.partition() or 0, message.timestamp()[1] / 1000, now, wall)
                self._look(now, wall)

    def _take(self, number: int, event_time: float, now: float, wall: float) -> None:
        one = self._partitions[number]
        if now - one.seen > GAP_S:
            self._gaps.append(Interval(number, one.seen, now))
        one.seen = now
        one.event_time = max(one.event_time, event_time)
        self._latencies.append(wall - event_time)

    def _look(self, now: float, wall: float) -> None:
        for number, one in enumerate(self._partitions):
            is_fresh = wall - one.event_time < self._fresh_s
            if is_fresh and one.stale_since is not None:
                self._stale.append(Interval(number, one.stale_since, now))
                one.stale_since = None
            elif not is_fresh and one.stale_since is None:
                one.stale_since = now

    def _end(self, now: float) -> None:
        """What still lasts ends with the watch."""
        for number, one in enumerate(self._partitions):
            if now - one.seen > GAP_S:
                self._gaps.append(Interval(number, one.seen, now))
            if one.stale_since is not None:
                self._stale.append(Interval(number, one.stale_since, now))
