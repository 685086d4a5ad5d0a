"""The transaction unit: what one commit holds, for all shards of a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from holdfast.engine.ports import Changes
from holdfast.record import Output, Position, TopicPartition, Write

UNIT_STATE_BYTES: Final = 32 * 1024 * 1024
"""Bytes of state changes, encoded, from which on a unit should be committed before it takes more."""


@dataclass(frozen=True, slots=True)
class ShardChanges:
    """One shard's part of a sealed unit.

    Attributes:
        partition: the shard's number.
        positions: for each input, the offset after the last record handled.
        changes: encoded state changes by table.
        begins: for each of these inputs, the position of the last commit.
        fence: the fencing token of this ownership.
    """

    partition: int
    positions: Mapping[TopicPartition, int]
    changes: Changes
    begins: Mapping[TopicPartition, int] = field(default_factory=dict)
    fence: int = 0


@dataclass(frozen=True, slots=True)
class SealedUnit:
    """A unit that takes no more records and is ready to be committed; see `Unit`."""

    outputs: list[Output]
    shards: tuple[ShardChanges, ...]
    records: int
    dead_letters: int
    writes: list[Write] = field(default_factory=list)
    last: Position | None = None
    dropped: int = 0

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The offsets to commit, of all shards."""
        return {place: offset for shard in self.shards for place, offset in shard.positions.items()}


@dataclass(slots=True)
class Unit:
    """The open unit: outputs and counts of the records handled so far.

    State changes stay in the shards' overlays until the unit is sealed.

    Attributes:
        outputs: what is to be published, and was not sent ahead yet.
        writes: what is to be written to the processor's sink, if it has one.
        records: records handled.
        dead_letters: records set aside, which are among those handled.
        dropped: records that were dropped, likewise.
        last: the last record handled; the only one in a unit of one record.
        state_bytes: bytes of the state changes, encoded: an estimate from a few of them.
        sample_at: the number of records at which the next value is looked at for that.
    """

    outputs: list[Output] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    records: int = 0
    dead_letters: int = 0
    dropped: int = 0
    last: Position | None = None
    state_bytes: int = 0
    sample_at: int = 0
    _weighed: int = 0
    _weight: int = 0
    _weighed_writes: int = 0
    _weight_of_writes: int = 0

    @property
    def is_heavy(self) -> bool:
        """Whether the state changes should be committed before more are made."""
        return self.state_bytes >= UNIT_STATE_BYTES

    def weigh_writes(self) -> int:
        """Bytes of the records that the writes were made of, about. Cheap to ask again, as `weigh`."""
        for write in self.writes[self._weighed_writes :]:
            self._weight_of_writes += len(write.message.value() or b"")
        self._weighed_writes = len(self.writes)
        return self._weight_of_writes

    def weigh(self) -> int:
        """Bytes of the outputs' values. Cheap to ask again: only new outputs are looked at."""
        if len(self.outputs) < self._weighed:
            self._weighed = self._weight = 0
        self._weight += sum(len(output.value or b"") for output in self.outputs[self._weighed :])
        self._weighed = len(self.outputs)
        return self._weight
