"""Where a group stands in its inputs, with all that a replay has to know of them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as ClientPartition

from holdfast.kafka.errors import mapped, translate
from holdfast.kafka.offsets import CALL_S, OffsetAdmin
from holdfast.kafka.positions import Committed, Note
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.settings import Properties, consumer_config
from holdfast.record import TopicPartition


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """A group's positions, and what can be noted with new ones.

    Attributes:
        committed: where it stands, with what was noted there.
        ids: the inputs' ids.
    """

    committed: Mapping[TopicPartition, Committed]
    ids: Mapping[str, str]

    @property
    def positions(self) -> Mapping[TopicPartition, int | None]:
        """Where the group stands; None where it never was."""
        return {place: it.offset for place, it in self.committed.items()}

    def note(self, place: TopicPartition, muted: int | None) -> Note:
        """What to note beside a new position: fencing token and role must not be forgotten."""
        found = self.committed[place]
        return Note(self.ids.get(place.topic), found.fence, muted, found.role)


def standing(
    group_id: str, places: Sequence[TopicPartition], servers: str, properties: Properties
) -> GroupStanding:
    """Ask where a group stands.

    Args:
        group_id: the group.
        places: all partitions of its inputs.
        servers: the brokers.
        properties: the user's client properties.

    Raises:
        ClusterError: the brokers do not tell, or an input does not exist.
    """
    settings = reader_settings(consumer_config(servers, group_id, properties))
    with contextlib.closing(PartitionReader(settings)) as reader:
        ids = {name: it.id for name, it in reader.topics(sorted({p.topic for p in places}), CALL_S).items()}
        return GroupStanding(reader.standing(places, CALL_S, ids.get), ids)


def offsets_at(
    time: int, places: Collection[TopicPartition], offsets: OffsetAdmin, servers: str, properties: Properties
) -> dict[TopicPartition, int]:
    """The offset of the first record at or after a time; a partition's end if it has none.

    Args:
        time: milliseconds since the epoch.
        places: the partitions.
        offsets: asked for their ends.
        servers: the brokers.
        properties: the user's client properties.

    Raises:
        ClusterError: the brokers do not tell.
    """
    doing = "looking for the offsets at a time"
    ends = offsets.ends(places)
    with mapped(doing):
        client = Consumer(consumer_config(servers, "holdfast-times", properties))
        try:
            found = client.offsets_for_times([ClientPartition(*it, time) for it in places], timeout=CALL_S)
        finally:
            client.close()
    for each in found:
        if each.error is not None:
            raise translate(each.error, doing)
    at = {TopicPartition(each.topic, each.partition): each.offset for each in found}
    return {place: offset if offset >= 0 else ends[place] for place, offset in at.items()}
