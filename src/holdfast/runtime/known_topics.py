"""The identity of the topics that a worker uses: a name may come to stand for another topic.

A topic that is deleted and created again, or a cluster that is replaced, keeps the names. Clients go on with
what they knew: positions, leaders, producer ids. A worker that does the same owns its shards and handles
nothing, or reads on from a position that means nothing in the new topic, and skips what lies before it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final

from holdfast.errors import ClusterMismatch, TopicReplaced
from holdfast.kafka.positions import PositionNotes
from holdfast.kafka.reader import PartitionReader, TopicFacts

LOOK_S: Final = 5.0
"""Seconds between two looks while nothing else asks for the ids."""


class KnownTopics:
    """Topics by name, with the ids that they had when they were first seen.

    Args:
        topics: their names.
        timeout: seconds for one question to the brokers.

    Attributes:
        notes: what is noted with positions in these topics.
    """

    def __init__(self, topics: Collection[str], timeout: float) -> None:
        self._topics = tuple(topics)
        self._timeout = timeout
        self._ids: dict[str, str] = {}
        self._looked = time.monotonic()
        self.notes = PositionNotes(self.id_of)

    @property
    def seconds_to_look(self) -> float | None:
        """Seconds until the next look is due; None as long as there is nothing to compare with."""
        return max(self._looked + LOOK_S - time.monotonic(), 0.0) if self._ids else None

    def id_of(self, topic: str) -> str | None:
        """The id that a topic had when it was first seen; None before that. May be called on any thread."""
        return self._ids.get(topic)

    def look(self, reader: PartitionReader) -> Mapping[str, TopicFacts]:
        """What the brokers know of the topics, whose ids are as they were.

        Raises:
            TopicReplaced: a topic is not the one that was seen first.
            ClusterError: no answer in time, or a topic does not exist.
        """
        self._looked = time.monotonic()
        facts = reader.topics(self._topics, self._timeout)
        replaced = [topic for topic, each in facts.items() if self._ids.setdefault(topic, each.id) != each.id]
        if replaced:
            raise TopicReplaced(
                f"{', '.join(replaced)}: deleted and created again while this worker ran, or it is another "
                "cluster now. The worker starts anew, with the new topics."
            )
        return facts


def missing_partition(topics: Mapping[str, TopicFacts], partition: int) -> ClusterMismatch | None:
    """What is wrong when some of a shard's topics have no partition of its number; None when all have it."""
    fewest = min(topics, key=lambda name: topics[name].partitions)
    if partition < topics[fewest].partitions:
        return None
    counts = ", ".join(f"{name} has {topic.partitions}" for name, topic in topics.items())
    return ClusterMismatch(
        f"there is no partition {partition} of {fewest}: the number of partitions was changed ({counts}). "
        "Keys are in other partitions now than their state. Declare a new topic with the number that you "
        "want, and republish the records"
    )
