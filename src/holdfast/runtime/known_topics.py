"""The identity of the topics that a worker uses: a name may come to stand for another topic.

A topic that is deleted and created again, or a cluster that is replaced, keeps the names. Clients go on with
what they knew: positions, leaders, producer ids. A worker that does the same owns its shards and handles
nothing, or reads on from a position that means nothing in the new topic, and skips what lies before it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final, Protocol

from holdfast.errors import TopicReplaced

LOOK_S: Final = 5.0
"""Seconds between two looks while nothing else asks for the ids."""


class TopicIds(Protocol):
    """Asks brokers for the ids of topics."""

    def topic_ids(self, topics: Collection[str], timeout: float) -> dict[str, str]:
        """The ids by name; raises `ClusterError` when a topic does not exist or nobody answers in time."""


class KnownTopics:
    """Topics by name, with the ids that they had when they were first seen.

    Args:
        topics: their names.
        timeout: seconds for one question to the brokers.
    """

    def __init__(self, topics: Collection[str], timeout: float) -> None:
        self._topics = tuple(topics)
        self._timeout = timeout
        self._ids: dict[str, str] = {}
        self._looked = time.monotonic()

    @property
    def seconds_to_look(self) -> float | None:
        """Seconds until the next look is due; None as long as there is nothing to compare with."""
        return max(self._looked + LOOK_S - time.monotonic(), 0.0) if self._ids else None

    def id_of(self, topic: str) -> str | None:
        """The id that a topic had when it was first seen; None before that. May be called on any thread."""
        return self._ids.get(topic)

    def ids(self, brokers: TopicIds) -> Mapping[str, str]:
        """The ids, which are as they were.

        Raises:
            TopicReplaced: a topic is not the one that was seen first.
            ClusterError: no answer in time, or a topic does not exist.
        """
        self._looked = time.monotonic()
        ids = brokers.topic_ids(self._topics, self._timeout)
        replaced = [topic for topic, id_ in ids.items() if self._ids.setdefault(topic, id_) != id_]
        if replaced:
            raise TopicReplaced(
                f"{', '.join(replaced)}: deleted and created again while this worker ran, or it is another "
                "cluster now. The worker starts anew, with the new topics."
            )
        return ids
