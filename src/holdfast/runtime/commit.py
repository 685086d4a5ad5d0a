"""Pipelined commits: one unit on its way to the brokers while the next one fills.

A commit on three brokers takes tens of milliseconds, most of it waiting. It waits on a
thread of its own, so the loop goes on fetching and handling into the next unit, and
latency no longer stands against throughput. At most one commit is in flight; while none
is, outputs are sent as they come, so that a commit has little left to wait for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.engine.unit import SealedUnit
from holdfast.kafka.unit_writer import ChangelogRows, Ending, UnitWriter
from holdfast.record import Output, Position, TopicPartition
from holdfast.runtime.unit_end import PATIENCE_S, UnitEnd
from holdfast.sinks.base import Refusal


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit whose commit has ended.

    Attributes:
        unit: the unit.
        ending: how.
        refusals: its records that were set aside, or dropped, on the way.
    """

    unit: SealedUnit
    ending: Ending
    refusals: Sequence[Refusal] = ()


class End(Protocol):
    """The end of a unit, on its way."""

    def take(self, wait: float | None = 0.0) -> Ending | None:
        """Return the end if it has come, or if there is no use in waiting for it any longer.

        Args:
            wait: seconds to wait for it; None waits for as long as there is use in it.
        """


class CommitPipeline:
    """Sends sealed units and waits for them elsewhere.

    Args:
        writer: writes units.
        changelogs: for each table, its changelog topic.
        patience: seconds after which the outcome of a commit counts as unknown.
    """

    def __init__(
        self, writer: UnitWriter, changelogs: Mapping[str, str], patience: float = PATIENCE_S
    ) -> None:
        self._writer = writer
        self._changelogs = changelogs
        self._patience = patience
        self._unit: SealedUnit | None = None
        self._end: End | None = None
        self._begun = False

    @property
    def in_flight(self) -> bool:
        """Whether a commit is on its way or its end was not taken yet."""
        return self._end is not None

    def send(self, outputs: list[Output]) -> None:
        """Send outputs of the open unit ahead of its commit, unless one is in flight.

        What was sent is removed from `outputs`.

        Raises:
            ClusterError: the brokers take nothing; `reopen` before the next unit.
        """
        if outputs and self._end is None:
            self._begin()
            self._writer.send(outputs)
            outputs.clear()

    def start(self, unit: SealedUnit, group_metadata: Any) -> None:
        """Send the rest of a unit and begin its commit.

        Args:
            unit: what to commit.
            group_metadata: the member's present standing; read after the unit was sealed.

        Raises:
            ClusterError: the brokers take nothing. The unit is not committed; `reopen` before the next.
        """
        assert self._end is None, "one commit at a time"
        rows = [
            ChangelogRows(TopicPartition(self._changelogs[table], shard.partition), changed)
            for shard in unit.shards
            for table, changed in shard.changes.items()
        ]
        self._begin()
        self._writer.send(unit.outputs, rows)
        self._begun = False
        self._unit = unit
        self._end = UnitEnd(self._writer, unit.positions, group_metadata, self._patience)

    def abandon(self) -> Ending | None:
        """Give up what was sent of the open unit; None when nothing was."""
        if not self._begun:
            return None
        self._begun = False
        return self._writer.abandon()

    def _begin(self) -> None:
        if not self._begun:
            self._writer.begin()
            self._begun = True

    def take(self, wait: float | None = 0.0) -> Finished | None:
        """Return the commit in flight if it has ended; it is no longer in flight then.

        Args:
            wait: seconds to wait for its end; None waits for it, or until it counts as unknown.
        """
        end, unit = self._end, self._unit
        if end is None or unit is None or (ending := end.take(wait)) is None:
            return None
        self._end = self._unit = None
        return Finished(unit, self._writer.conclude(ending, unit.positions))

    def checkpoint(self, partition: int, ending: Ending) -> dict[str, int]:
        """For each table, the changelog position that a commit brought a shard to."""
        ends = ending.changelog_ends or {}
        return {
            table: ends[place]
            for table, topic in self._changelogs.items()
            if (place := TopicPartition(topic, partition)) in ends
        }

    def date_letter(self, position: Position, time: int) -> None:
        """Have the dead letter of a record carry another time, if it is this pipeline that writes it.

        Args:
            position: the record.
            time: milliseconds since the epoch.
        """

    def reopen(self) -> None:
        """Replace the writer's client; see `UnitWriter.reopen`."""
        self._begun = False
        self._writer.reopen()

    def close(self) -> None:
        """Let go of the writer. A commit in flight is waited for."""
        if self._end is not None:
            self._end.take(wait=None)
        self._writer.close()
