"""Positions as they are committed: each with a note of the topic's id, and of a replay under way.

A topic that is deleted and created again keeps its name, and a member that has not noticed may commit a
position of the old topic for the new one. The note tells the next member that it means nothing there.

While records are replayed, the note also tells up to which offset their outputs are not written again. It
goes from commit to commit, so that it survives whoever commits, and ends with the first position beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from confluent_kafka import TopicPartition as ClientPartition

from holdfast.record import TopicPartition

_NOTE: Final = "holdfast: topic id "
_MUTED: Final = "; muted up to "
_PARTS: Final = re.compile(rf"{_NOTE}([^;]*)(?:{_MUTED}(\d+))?")

TopicId = Callable[[str], str | None]
"""A topic's name to the id that it had when work on it began; None when that is not known."""


class PositionNotes:
    """What is noted with a worker's positions. Call it as a `TopicId`; any thread may.

    Args:
        topic_id: the topics' ids.
    """

    def __init__(self, topic_id: TopicId) -> None:
        self._topic_id = topic_id
        self._muted: dict[TopicPartition, int] = {}

    def __call__(self, topic: str) -> str | None:
        """The id that a topic had when work on it began."""
        return self._topic_id(topic)

    def mute(self, place: TopicPartition, until: int | None) -> None:
        """Note that outputs of records below `until` are not written again; None if all are written."""
        if until is None:
            self._muted.pop(place, None)
        else:
            self._muted[place] = until

    def take(self, place: TopicPartition, metadata: str | None) -> None:
        """Take over what a committed position says."""
        self.mute(place, muted_until(metadata))

    def muted(self, topics: Iterable[str], partition: int) -> dict[str, int]:
        """For each input of a shard that is muted, the offset up to which it is."""
        found = {topic: self._muted.get(TopicPartition(topic, partition)) for topic in topics}
        return {topic: until for topic, until in found.items() if until is not None}

    def text(self, place: TopicPartition, offset: int) -> str:
        """The note for a position."""
        id_ = self._topic_id(place.topic)
        if not id_:
            return ""
        until = self._muted.get(place)
        return _NOTE + id_ + (f"{_MUTED}{until}" if until is not None and offset < until else "")


def noted(positions: Mapping[TopicPartition, int], topic_id: TopicId) -> list[ClientPartition]:
    """Positions for the client, with their notes as metadata: the topics' ids, or all of `PositionNotes`."""
    notes = topic_id if isinstance(topic_id, PositionNotes) else PositionNotes(topic_id)
    return [
        ClientPartition(place.topic, place.partition, offset, notes.text(place, offset))
        for place, offset in positions.items()
    ]


def is_of_another_topic(metadata: str | None, id_: str | None) -> bool:
    """Whether a committed position carries the note of another topic than the one with this id."""
    found = _PARTS.fullmatch(metadata or "")
    return id_ is not None and found is not None and found[1] != id_


def muted_until(metadata: str | None) -> int | None:
    """The offset up to which a committed position says that outputs are not written again; None if none."""
    found = _PARTS.fullmatch(metadata or "")
    return int(found[2]) if found is not None and found[2] else None
