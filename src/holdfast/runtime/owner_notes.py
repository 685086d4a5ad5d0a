"""What a worker notes beside the positions that it commits, for the next owners of its shards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from holdfast.kafka.positions import NO_STATE, Committed, Note, Role, TopicId
from holdfast.record import TopicPartition


def unknown(topic: str) -> str | None:  # noqa: ARG001
    """The ids of topics of which none are known."""
    return None


class OwnerNotes:
    """The notes of a worker's shards: a `NoteOf`. They change on one thread, and are read on others.

    A fencing token exceeds the one that the shard's positions were last committed with, by 1 at least. It is
    the time of day where that is more: if the positions are deleted or reset, and the notes with them, tokens
    go on from where no system outside has seen one yet.

    Args:
        topic_id: the topics' ids.
        now: the time of day in seconds.
        owner: the worker's slot, if it commits in transactions.
        changelogs: for each table, its changelog topic.
    """

    def __init__(
        self,
        topic_id: TopicId = unknown,
        now: Callable[[], float] = time.time,
        owner: str | None = None,
        changelogs: Mapping[str, str] = NO_STATE,
    ) -> None:
        self._topic_id = topic_id
        self._owner = owner
        self._changelogs = changelogs
        self._now = now
        self._tokens: dict[int, int] = {}
        self._muted: dict[TopicPartition, int | None] = {}
        self._roles: dict[int, Role] = {}

    def __call__(self, place: TopicPartition) -> Note:
        """What is noted beside a partition's position."""
        role = self._roles.get(place.partition, Role.LIVE)
        fence, muted = self.fence(place.partition), self._muted.get(place)
        return Note(self._topic_id(place.topic), fence, muted, role, self._owner, self._state())

    def _state(self) -> dict[str, str]:
        ids = ((table, self._topic_id(topic)) for table, topic in self._changelogs.items())
        return {table: id_ for table, id_ in ids if id_ is not None}

    def begin(self, partition: int, last: int) -> int:
        """The fencing token of a new ownership of a shard, after one with the token `last`."""
        token = self._tokens[partition] = max(last + 1, int(self._now() * 1000))
        return token

    def take_over(self, place: TopicPartition, committed: Committed) -> None:
        """Pass on what a former owner noted of a replay."""
        self._muted[place] = committed.muted

    def set_role(self, partition: int, role: Role) -> None:
        """Note what the group is among its versions, as a shard's positions tell it."""
        self._roles[partition] = role

    def is_shadow(self, partition: int) -> bool:
        """Whether a shard's outputs go to topics of its version's own."""
        return self._roles.get(partition) is Role.SHADOW

    def fence(self, partition: int) -> int:
        """The fencing token of a shard; 0 before it was owned."""
        return self._tokens.get(partition, 0)

    def muted(self, topics: Iterable[str], partition: int) -> dict[str, int]:
        """For each input of a shard that is replayed, the offset up to which its outputs are not written."""
        found = {topic: self._muted.get(TopicPartition(topic, partition)) for topic in topics}
        return {topic: until for topic, until in found.items() if until is not None}
