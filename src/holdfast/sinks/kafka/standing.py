"""How far the records of a shard are on the other cluster, as it is kept there.

A record for each transaction, with all that is known of the shard. The newest says everything::

    {"fencing_token": 7,
     "inputs": {"orders": {"position": 1250, "topic_id": "...", "refused": {"1249": "..."}}}}

All records below a position are there, or refused. Those that were refused are noted until Kafka has their
dead letters, that is until a batch begins beyond them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from holdfast.errors import SinkError
from holdfast.record import Position, TopicPartition
from holdfast.sinks.base import SinkBatch
from holdfast.sinks.keyed import RecordWrites, by_record


@dataclass(frozen=True, slots=True)
class InputStanding:
    """How far an input of a shard is written.

    Attributes:
        position: everything below this offset.
        topic_id: of the input; one that was made anew has another.
        refused: why records are refused, by offset.
    """

    position: int
    topic_id: str | None = None
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a shard is written, and by whom.

    Attributes:
        fencing_token: of the owner that wrote last.
        inputs: by the input's topic.
    """

    fencing_token: int = 0
    inputs: Mapping[str, InputStanding] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """As it is kept."""
        return to_json(self)


_READER = TypeAdapter(Standing)


def read_standing(text: bytes | None, where: str) -> Standing:
    """Read what is kept.

    Raises:
        SinkError: it is something else.
    """
    try:
        return _READER.validate_json(text or b"")
    except ValidationError as error:
        raise SinkError(
            f"{where} holds something that is no position of ours: {error.errors()[0]['msg']}. Was it "
            "written by somebody else, or by a newer version? Name another topic under the sink's "
            "`positions`"
        ) from error


@dataclass(frozen=True, slots=True)
class ShardBatch:
    """The part of a batch that is of one shard.

    Attributes:
        number: the shard's: the partition of each of its inputs.
        fencing_token: of its owner.
        begins: see `SinkBatch`; by topic.
        ends: likewise.
        topic_ids: likewise.
        records: what was made of its records.
    """

    number: int
    fencing_token: int
    begins: Mapping[str, int]
    ends: Mapping[str, int]
    topic_ids: Mapping[str, str | None]
    records: tuple[RecordWrites, ...] = ()

    def there(self, standing: Standing) -> dict[str, InputStanding]:
        """How far each of its inputs is written: what is not known begins where Kafka stands."""
        found = {}
        for topic in self.ends:
            known, id_ = standing.inputs.get(topic), self.topic_ids.get(topic)
            if known is None or (None not in (known.topic_id, id_) and known.topic_id != id_):
                known = InputStanding(self.begins.get(topic, 0), id_)
            found[topic] = known
        return found

    def behind(self, standing: Standing) -> dict[tuple[str, int], int]:
        """The inputs of which the cluster has less than it had taken, and how much it has."""
        return {
            TopicPartition(topic, self.number): known.position
            for topic, known in self.there(standing).items()
            if known.position < self.begins.get(topic, 0)
        }

    def new(self, standing: Standing) -> list[RecordWrites]:
        """What is not there yet."""
        there = self.there(standing)
        return [it for it in self.records if it.position.offset >= there[it.position.topic].position]

    def told_again(self, standing: Standing) -> dict[Position, str]:
        """Why records are refused that were refused before: Kafka has no dead letters of them yet."""
        there = self.there(standing)
        return {
            it.position: there[it.position.topic].refused[it.position.offset]
            for it in self.records
            if it.position.offset in there[it.position.topic].refused
        }

    def after(self, standing: Standing, refused: Mapping[Position, str]) -> Standing:
        """How far the shard is written when this is."""
        inputs = dict(standing.inputs)
        for topic, known in self.there(standing).items():
            new = {at.offset: why for at, why in refused.items() if at.topic == topic}
            noted = {
                at: why for at, why in {**known.refused, **new}.items() if at >= self.begins.get(topic, 0)
            }
            # A batch may be behind: the last owner had come further before its commit on Kafka failed.
            position = max(known.position, self.ends[topic])
            inputs[topic] = InputStanding(position, self.topic_ids.get(topic) or known.topic_id, noted)
        return Standing(self.fencing_token, inputs)


def by_shard(batch: SinkBatch) -> list[ShardBatch]:
    """The parts of a batch."""
    records: dict[int, list[RecordWrites]] = {place.partition: [] for place in batch.ends}
    for record in by_record(batch.writes):
        records[record.position.partition].append(record)
    return [
        ShardBatch(
            number,
            max(batch.fences.get(place, 0) for place in _places(batch.ends, number)),
            {place.topic: batch.begins.get(place, 0) for place in _places(batch.ends, number)},
            {place.topic: batch.ends[place] for place in _places(batch.ends, number)},
            batch.topic_ids,
            tuple(made),
        )
        for number, made in records.items()
    ]


def _places(places: Iterable[TopicPartition], number: int) -> list[TopicPartition]:
    return [place for place in places if place.partition == number]
