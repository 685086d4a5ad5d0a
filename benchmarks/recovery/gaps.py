"""Watches committed output as a user of it sees it: how long each partition is silent."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, TopicPartition

from benchmarks.cluster import take


class OutputWatch:
    """A read_committed consumer of an output topic, on a thread of its own.

    A gap is the time between two records of one partition becoming visible, while its input never pauses.

    Args:
        servers: the brokers.
        topic: the output.
        partitions: how many it has.
        fresh_s: an output is fresh when its input was published so many seconds ago, or fewer.

    Attributes:
        fresh_s: the same.
    """

    def __init__(self, servers: str, topic: str, partitions: int, fresh_s: float) -> None:
        self.fresh_s = fresh_s
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "recovery-watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                # The watch must not be slower than what it watches: by itself it looks for new leaders once a
                # second.
                "reconnect.backoff.max.ms": 250,
                "topic.metadata.refresh.interval.ms": 200,
            }
        )
        self._consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
        self._lock = threading.Lock()
        self._seen: dict[int, float] = {}
        self._event_time: dict[int, float] = {}
        self._gaps: dict[int, float] = {}
        self._partitions = partitions
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

    def begin(self) -> None:
        """Forget the gaps so far, also those that last."""
        now = time.monotonic()
        with self._lock:
            self._gaps.clear()
            self._seen = dict.fromkeys(self._seen, now)

    def longest(self) -> float:
        """The longest gap of any partition since `begin`, in seconds; one that still lasts counts so far."""
        now = time.monotonic()
        with self._lock:
            return max(max(self._gaps.get(p, 0.0), now - at) for p, at in self._seen.items())

    def is_fresh(self) -> bool:
        """Whether every partition shows outputs of inputs that were published just now."""
        now = time.time()
        with self._lock:
            newest = list(self._event_time.values())
        return len(newest) == self._partitions and all(now - at < self.fresh_s for at in newest)

    def _watch(self) -> None:
        while not self._end.is_set():
            messages = take(self._consumer, 0.05, 5_000)
            now = time.monotonic()
            with self._lock:
                for message in messages:
                    if message.error() is None:
                        self._take(message.partition(), message.timestamp()[1] / 1000, now)

    def _take(self, partition: int, event_time: float, now: float) -> None:
        before = self._seen.get(partition, now)
        self._gaps[partition] = max(self._gaps.get(partition, 0.0), now - before)
        self._seen[partition] = now
        self._event_time[partition] = max(self._event_time.get(partition, 0.0), event_time)
