"""Pipelined commits: one unit on its way to the brokers while the next one fills.

A commit on three brokers takes tens of milliseconds, most of it waiting. It waits on a
thread of its own, so the loop goes on fetching and handling into the next unit, and
latency no longer stands against throughput. At most one commit is in flight; while none
is, outputs are sent as they come, so that a commit has little left to wait for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from threading import Thread
from typing import Any

from holdfast.engine.unit import SealedUnit
from holdfast.kafka.transaction import ChangelogRows, Ending, Outcome, UnitWriter
from holdfast.record import Output, TopicPartition

log = logging.getLogger(__name__)

PATIENCE_S = 15.0
"""Seconds for a whole commit. The client's own timeouts are shorter, but do not always hold: it was seen
to wait for ever for a group coordinator that had died (librdkafka's TxnOffsetCommit handler drops some
errors without an answer). Longer than a transaction lives, so nothing is given up that could succeed."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit whose commit has ended."""

    unit: SealedUnit
    ending: Ending


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
        self._deadline = 0.0
        self._unit: SealedUnit | None = None
        self._ending: Future[Ending] | None = None
        self._begun = False

    @property
    def in_flight(self) -> bool:
        """Whether a commit is on its way or its end was not taken yet."""
        return self._ending is not None

    def send(self, outputs: list[Output]) -> None:
        """Send outputs of the open unit ahead of its commit, unless one is in flight.

        What was sent is removed from `outputs`.

        Raises:
            ClusterError: the brokers take nothing; `reopen` before the next unit.
        """
        if outputs and self._ending is None:
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
        assert self._ending is None, "one commit at a time"
        rows = [
            ChangelogRows(TopicPartition(self._changelogs[table], shard.partition), changed)
            for shard in unit.shards
            for table, changed in shard.changes.items()
        ]
        self._begin()
        self._writer.send(unit.outputs, rows)
        self._begun = False
        self._unit = unit
        self._deadline = time.monotonic() + self._patience
        ending: Future[Ending] = Future()
        self._ending = ending
        # A daemon of its own for each commit: one that hangs must not hold up the next, nor our exit.
        Thread(target=self._finish, args=(ending, unit, group_metadata), name="commit", daemon=True).start()

    def _finish(self, ending: Future[Ending], unit: SealedUnit, group_metadata: Any) -> None:
        try:
            ending.set_result(self._writer.finish(unit.positions, group_metadata))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is taken
            ending.set_exception(error)

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
        ending, unit = self._ending, self._unit
        if ending is None or unit is None:
            return None
        left = max(self._deadline - time.monotonic(), 0.0)
        # Not by the timeout of `result`: a commit that ended in the moment after it would look lost.
        if not ending.done():
            wait_for([ending], left if wait is None else min(wait, left))
        if ending.done():
            result = _result(ending)
        elif time.monotonic() < self._deadline:
            return None
        else:
            result = Ending(Outcome.UNKNOWN, f"no answer within {self._patience:.0f} s")
        self._ending = self._unit = None
        return Finished(unit, self._writer.conclude(result, unit.positions))

    def checkpoint(self, partition: int, ending: Ending) -> dict[str, int]:
        """For each table, the changelog position that a commit brought a shard to."""
        ends = ending.changelog_ends or {}
        return {
            table: ends[place]
            for table, topic in self._changelogs.items()
            if (place := TopicPartition(topic, partition)) in ends
        }

    def reopen(self) -> None:
        """Replace the writer's client; see `UnitWriter.reopen`."""
        self._begun = False
        self._writer.reopen()

    def close(self) -> None:
        """Let go of the writer. A commit in flight is waited for."""
        if self._ending is not None:
            wait_for([self._ending], max(self._deadline - time.monotonic(), 0.0))
        self._writer.close()


def _result(ending: Future[Ending]) -> Ending:
    try:
        return ending.result()
    except Exception as error:
        log.exception("a commit failed in an unforeseen way")
        return Ending(Outcome.UNKNOWN, repr(error))
