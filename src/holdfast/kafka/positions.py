"""Positions as they are committed: each with a note of the topic's id.

A topic that is deleted and created again keeps its name, and a member that has not noticed may commit a
position of the old topic for the new one. The note tells the next member that it means nothing there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import TopicPartition as ClientPartition

from holdfast.record import TopicPartition

_NOTE: Final = "holdfast: topic id "

TopicId = Callable[[str], str | None]
"""A topic's name to the id that it had when work on it began; None when that is not known."""


def noted(positions: Mapping[TopicPartition, int], topic_id: TopicId) -> list[ClientPartition]:
    """Positions for the client, with their topics' ids as metadata."""
    notes = {topic: _NOTE + id_ for topic in {p.topic for p in positions} if (id_ := topic_id(topic))}
    return [
        ClientPartition(place.topic, place.partition, offset, notes.get(place.topic, ""))
        for place, offset in positions.items()
    ]


def is_of_another_topic(metadata: str | None, id_: str | None) -> bool:
    """Whether a committed position carries the note of another topic than the one with this id."""
    return id_ is not None and bool(metadata) and str(metadata).startswith(_NOTE) and metadata != _NOTE + id_
