"""Positions as they are committed: each with a note of the topic's id and of its owner's fencing token.

A topic that is deleted and created again keeps its name, and a member that has not noticed may commit a
position of the old topic for the new one. The note tells the next member that it means nothing there.

The token is the number of an ownership. It is noted with every position that the owner commits, so the
next owner, who reads the position anyway, knows which number it has to exceed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from confluent_kafka import TopicPartition as ClientPartition

from holdfast.record import TopicPartition

_MARK: Final = "holdfast: "
_TOPIC_ID: Final = "topic id "
_FENCE: Final = "fence "
_NOTE: Final = re.compile(rf"{_MARK}(?:{_TOPIC_ID}(?P<topic>[^\s;]+))?(?:; )?(?:{_FENCE}(?P<fence>\d+))?")

TopicId = Callable[[str], str | None]
"""A topic's name to the id that it had when work on it began; None when that is not known."""

FenceOf = Callable[[int], int]
"""A shard's number to the fencing token under which it is owned; 0 when there is none."""


class Committed(NamedTuple):
    """A committed position.

    Attributes:
        offset: the next offset to handle; None when none is committed that means anything.
        fence: the fencing token of the ownership that committed last; 0 when none did.
    """

    offset: int | None
    fence: int


def no_fence(partition: int) -> int:  # noqa: ARG001
    """For those who own no shards."""
    return 0


def noted(
    positions: Mapping[TopicPartition, int], topic_id: TopicId, fence_of: FenceOf = no_fence
) -> list[ClientPartition]:
    """Positions for the client, with their notes as metadata."""
    ids = {topic: topic_id(topic) for topic in {place.topic for place in positions}}
    return [
        ClientPartition(
            place.topic, place.partition, offset, _note(ids[place.topic], fence_of(place.partition))
        )
        for place, offset in positions.items()
    ]


def read(offset: int, metadata: str | None, id_: str | None) -> Committed:
    """A position as the brokers keep it.

    Args:
        offset: below 0 when there is none.
        metadata: its note. Another tool's is as good as none.
        id_: the topic's id, as far as it is known.
    """
    found = _NOTE.fullmatch(metadata or "")
    topic = found["topic"] if found else None
    fence = int(found["fence"] or 0) if found else 0
    is_foreign = id_ is not None and topic is not None and topic != id_
    return Committed(None if offset < 0 or is_foreign else offset, fence)


def _note(id_: str | None, fence: int) -> str:
    parts = [f"{_TOPIC_ID}{id_}"] if id_ else []
    parts += [f"{_FENCE}{fence}"] if fence else []
    return _MARK + "; ".join(parts) if parts else ""
