"""What was done of batches that may come again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from holdfast.record import Position, TopicPartition
from holdfast.sinks.base import SinkBatch

T = TypeVar("T")


class Progress(Generic[T]):
    """Remembers what became of the records that are not committed on Kafka yet.

    For one ownership of a shard: another owner may have gone on in between, and made other calls.
    It holds what one batch holds for each partition, and forgets it as the partition goes on.
    """

    def __init__(self) -> None:
        self._owners: dict[TopicPartition, object] = {}
        self._results: dict[TopicPartition, dict[int, T]] = {}

    def begin(self, batch: SinkBatch) -> None:
        """Forget what was committed since, and what was another ownership's."""
        for place, begin in batch.begins.items():
            owner = batch.topic_ids.get(place.topic), batch.fences.get(place)
            if self._owners.get(place) != owner:
                self._owners[place] = owner
                self._results.pop(place, None)
            known = self._results.get(place)
            if known:
                self._results[place] = {at: result for at, result in known.items() if at >= begin}

    def note(self, results: Mapping[Position, T]) -> None:
        """Remember what became of records."""
        for position, result in results.items():
            place = TopicPartition(position.topic, position.partition)
            self._results.setdefault(place, {})[position.offset] = result

    def has(self, position: Position) -> bool:
        """Whether a record was worked on."""
        return position.offset in self._of(position)

    def result(self, position: Position) -> T:
        """What became of a record.

        Raises:
            KeyError: it was not worked on.
        """
        return self._of(position)[position.offset]

    def _of(self, position: Position) -> dict[int, T]:
        return self._results.get(TopicPartition(position.topic, position.partition), {})
