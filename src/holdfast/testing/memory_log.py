"""Topics in memory: partitions that only grow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import cast

from holdfast.kafka.partitioner import partition_of
from holdfast.record import Output
from holdfast.testing.message import MemoryMessage


class MemoryLog:
    """All topics of a test, each with the same number of partitions.

    Args:
        partitions: how many. Keys are spread over them as on a cluster.
    """

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._topics: defaultdict[str, tuple[list[MemoryMessage], ...]] = defaultdict(
            lambda: tuple([] for _ in range(partitions))
        )

    def append(self, output: Output) -> MemoryMessage:
        """Write a record to the partition of its key and return it."""
        key = output.key
        number = 0 if key is None or self.partitions == 1 else partition_of(key, self.partitions)
        return self.append_to(number, output)

    def append_to(self, number: int, output: Output) -> MemoryMessage:
        """Write a record to a partition and return it."""
        partition = self._topics[output.topic][number]
        message = MemoryMessage(
            output.topic,
            number,
            len(partition),
            key=output.key,
            value=output.value,
            timestamp=output.timestamp,
            # The client hands text headers back as bytes; the engine writes bytes only.
            headers=cast("list[tuple[str, bytes]]", output.headers) or None,
        )
        partition.append(message)
        return message

    def read(self, topic: str, partition: int, start: int, limit: int) -> Sequence[MemoryMessage]:
        """Up to `limit` records from offset `start` on."""
        return self._topics[topic][partition][start : start + limit]

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record will get."""
        return len(self._topics[topic][partition])

    def scan(self, topic: str) -> Iterator[MemoryMessage]:
        """All records of a topic, one partition after the other."""
        for partition in self._topics[topic]:
            yield from partition
