"""The open unit and its way to a commit, or back.

Records add to the open unit; when a commit is due its shards' parts are sealed and it goes into the pipeline.
How it ended is taken here, and the shards are told: what was committed, go back, or restore everything again.

A record that failed only when its unit was on its way is judged by its shard: the shard goes back, and has a
verdict on that record when it comes to it again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from holdfast.engine.unit import SealedUnit, Unit
from holdfast.errors import (
    ClusterError,
    Fenced,
    OutputRefused,
    RecordFailed,
    SinkBehind,
    SinkDown,
    SinkFenced,
    SinkSlow,
    StateError,
    StoppedBySink,
)
from holdfast.kafka.unit_writer import Ending, Outcome
from holdfast.record import Position
from holdfast.runtime.commit import CommitPipeline, Finished
from holdfast.runtime.guarded_sink import SinkGate
from holdfast.runtime.ownership import OwnedShard
from holdfast.runtime.search import Search
from holdfast.runtime.setbacks import Setbacks
from holdfast.runtime.shard_manager import ShardManager

log = logging.getLogger(__name__)

UNIT_RECORDS = 50_000
"""Records in the open unit above which the loop waits for the commit in flight."""

UNIT_OUTPUTS = 25_000
"""Outputs in the open unit above which the loop waits for the commit in flight. Twice as many took 15 MB
more and were not quicker."""

UNIT_BYTES = 32 * 1024 * 1024
"""Bytes of outputs in the open unit above which the loop waits for the commit in flight."""

_IDLE_WAIT_S = 0.2
_COMMIT_WAIT_S = 0.005
_RESTORE_WAIT_S = 0.01
_PACE_WAIT_S = 0.01
_TOUCH_S = 6 * 3600.0

_FIRST_RECORDS_S = 0.03
"""Seconds from the begin of a shard to the commit of its first records, for which somebody has waited. Shards
that begin together have records by then."""


class Committer:
    """Commits the work of a worker's shards, unit by unit.

    Args:
        pipeline: sends units and waits for them.
        shards: whose work it is.
        group_metadata: the member's present standing in the group.
        interval: seconds from the start of one commit to the start of the next.
        setbacks: counts units that fail.
        gate: lets records through to the processor's sink, if it has one.

    Attributes:
        unit: the open unit; replaced when it is sealed or void, so ask for it anew each turn.
        commits: units committed.
        records: records handled, in committed units.
        dead_letters: records set aside, in committed units.
        dropped: records dropped, in committed units.
        search: looks for the record of a unit that the brokers refused.
    """

    def __init__(
        self,
        pipeline: CommitPipeline,
        shards: ShardManager,
        group_metadata: Callable[[], Any],
        interval: float,
        setbacks: Setbacks,
        gate: SinkGate | None = None,
    ) -> None:
        self.unit = Unit()
        self.commits = 0
        self.records = 0
        self.dead_letters = 0
        self.dropped = 0
        self.search = Search()
        self._pipeline = pipeline
        self._shards = shards
        self._group_metadata = group_metadata
        self._interval = interval
        self._setbacks = setbacks
        self._gate = gate
        self._last_commit = time.monotonic()
        self._last_touch = time.monotonic()
        self._is_awaited = False

    @property
    def aborts(self) -> int:
        """Units that were done again."""
        return self._setbacks.total

    @property
    def spare_time(self) -> float:
        """Seconds that may be spent on waiting for records without delaying a commit."""
        if self._pipeline.in_flight:
            return _COMMIT_WAIT_S
        if self._shards.is_claiming:
            return 0.0
        if self._gate is not None and self._gate.is_shut:
            return min(self._gate.seconds_shut, _IDLE_WAIT_S)
        # A wait for records does not end when a shard is restored.
        most = _RESTORE_WAIT_S if self._shards.is_restoring else _IDLE_WAIT_S
        if self._gate is not None and self._gate.is_open and not self._gate.room(len(self.unit.writes)):
            most = min(most, _PACE_WAIT_S)
        if self.unit.records or self._has_moved():
            return min(max(self._due_at - time.monotonic(), 0.0), most)
        return most

    @property
    def _due_at(self) -> float:
        """When the next commit is due."""
        if (self._is_probing and self.unit.writes) or (self.search.is_on and self.unit.records):
            return self._last_commit
        soon = self._is_awaited and self.unit.records
        return self._last_commit + (min(self._interval, _FIRST_RECORDS_S) if soon else self._interval)

    @property
    def must_wait_for_sink(self) -> bool:
        """Whether the open unit is full, or to be a small one, while another is on its way to the sink."""
        return self._pipeline.in_flight and (self._is_full() or self.search.is_on)

    @property
    def tries_sink(self) -> bool:
        """Whether something is on its way to the sink, or about to be."""
        return self._pipeline.in_flight or bool(self.unit.writes)

    @property
    def _has_enough_for_sink(self) -> bool:
        return self._gate is not None and (
            len(self.unit.writes) >= self._gate.most or self.unit.weigh_writes() >= UNIT_BYTES
        )

    @property
    def _is_probing(self) -> bool:
        """Whether the sink is tried with single records."""
        return self._gate is not None and not self._gate.is_open

    def put_off(self) -> None:
        """Commit next when a shard that has just begun has handled records, at the latest after an interval.

        Its positions alone would be committed at once, and the records wait for the end of that.
        """
        self._last_commit = time.monotonic()
        self._is_awaited = True

    def advance(self) -> None:
        """Start a commit when it is due, else send outputs ahead; waits when the unit is full.

        Raises:
            Fenced: another process took this worker's slot.
            ClusterError: too many units failed in a row.
        """
        if self._is_full() and self._gate is None:
            self.take(wait=None)
        if self._is_due():
            self._commit()
            if self.search.is_on and self._gate is None:
                self.take(wait=None)
        else:
            self._send_ahead()

    def take(self, wait: float | None = 0.0) -> None:
        """Take the end of the commit in flight, if there is one and it has ended.

        Args:
            wait: seconds to wait for its end; None waits for it, as long as the writer's timeouts allow.

        Raises:
            Fenced: another process took this worker's slot.
            ClusterError: too many units failed in a row.
            SinkError: the processor's sink cannot be written to as it is declared, or does not return.
        """
        try:
            finished = self._pipeline.take(wait)
        except SinkDown as error:
            self._hold_up(error)
            return
        except RecordFailed as failure:
            self._stop_at(failure)
            return
        except SinkBehind as error:
            self._go_behind(error)
            return
        except SinkFenced as error:
            log.warning("%s", error)
            self._setbacks.count_fenced(str(error))
            self._begin_anew(str(error))
            return
        if finished is None:
            return
        outcome = finished.ending.outcome
        if outcome is Outcome.COMMITTED:
            self._committed(finished)
        elif outcome is Outcome.ABORTED:
            log.warning("a transaction was aborted and is done again: %s", finished.ending.reason)
            self._setbacks.count(finished.ending.reason)
            self.roll_back()
        elif outcome is Outcome.REFUSED:
            self._refused(finished)
        elif outcome is Outcome.GIVEN_UP:
            self._replace_client(finished.ending.reason)
        else:
            self._lost_client(finished.ending)

    def settle(self, *, commit_open: bool = True) -> None:
        """Wait for the commit in flight, then commit what is done since; the writer's timeouts bound both.

        Args:
            commit_open: whether to commit the open unit too.

        Raises:
            Fenced: another process took this worker's slot.
            ClusterError: too many units failed in a row.
        """
        self.take(wait=None)
        if commit_open and self._has_moved():
            self._commit()
            self.take(wait=None)

    def roll_back(self) -> None:
        """Give up the open unit: every shard goes back to its last commit. May be called inside a fetch.

        Raises:
            Fenced: another process took this worker's slot.
            ClusterError: too many units failed in a row.
        """
        self.unit = Unit()
        ending = self._pipeline.abandon()
        if ending is None or ending.outcome is Outcome.ABORTED:
            self._shards.rewind()
        elif ending.outcome is Outcome.GIVEN_UP:
            self._replace_client(ending.reason)
        else:
            self._lost_client(ending)

    def _has_moved(self) -> bool:
        return any(task.moved for _, task in self._shards.owned.with_task())

    def _is_full(self) -> bool:
        # Outputs pile up only while a commit is in flight; otherwise they are sent as they come.
        return (
            self.unit.records >= UNIT_RECORDS
            or self.unit.is_heavy
            or self._has_enough_for_sink
            or (
                self._pipeline.in_flight
                and (len(self.unit.outputs) >= UNIT_OUTPUTS or self.unit.weigh() >= UNIT_BYTES)
            )
        )

    def _is_due(self) -> bool:
        if self._pipeline.in_flight:
            return False
        now = time.monotonic()
        if now - self._last_touch > _TOUCH_S:
            self._last_touch = now
            for _, task in self._shards.owned.running():
                task.touch()
        is_early = now < self._due_at
        is_full = self.unit.records >= UNIT_RECORDS or self.unit.is_heavy or self._has_enough_for_sink
        # A shard that claims handles nothing until this commit.
        if is_early and not is_full and not self._shards.is_claiming:
            return False
        return self._has_moved()

    def _commit(self) -> None:
        self._last_commit = time.monotonic()
        if self.unit.records:
            self._is_awaited = False
        try:
            unit = self._seal()
        except _UnsealableError as error:
            self._roll_back_and_fail(error)
            return
        if self._gate is not None:
            self._gate.sends(len(unit.writes))
        try:
            self._pipeline.start(unit, self._group_metadata())
        except ClusterError as error:
            log.warning("a unit could not be sent: %s", error)
            self._start_over(error)

    def _seal(self) -> SealedUnit:
        unit, self.unit = self.unit, Unit()
        parts = []
        for shard, task in self._shards.owned.with_task():
            try:
                part = task.seal()
            except StateError as error:
                raise _UnsealableError(shard, error) from error
            if part.positions or part.changes:
                parts.append(part)
        return SealedUnit(
            unit.outputs,
            tuple(parts),
            unit.records,
            unit.dead_letters,
            unit.writes,
            unit.last,
            unit.dropped,
        )

    def _send_ahead(self) -> None:
        try:
            self._pipeline.send(self.unit.outputs)
        except ClusterError as error:
            log.warning("outputs could not be sent: %s", error)
            self._start_over(error)

    def _committed(self, finished: Finished) -> None:
        """The unit is on the brokers: count it, and let the shards know."""
        if finished.unit.records:
            # Without any it proves nothing: each restore commits where it begins.
            self._setbacks.forget()
        if self._gate is not None and finished.unit.writes:
            self._gate.succeeded(len(finished.unit.writes))
        self.search.committed(finished.unit)
        self.commits += 1
        self.records += finished.unit.records
        self.dead_letters += finished.unit.dead_letters
        self.dropped += finished.unit.dropped
        for part in finished.unit.shards:
            self._shards.committed(part, self._pipeline.checkpoint(part.partition, finished.ending))
        self._shards.note_refused(finished.refusals)

    def _hold_up(self, error: SinkDown) -> None:
        """The sink took nothing: its records are handled again when it is worth a try."""
        assert self._gate is not None, "only a processor with a sink has one that is down"
        if isinstance(error, SinkSlow):
            log.info("%s", error)
        else:
            log.warning("%s; its inputs wait for it", error)
        self._gate.failed(error)
        self.unit = Unit()
        self._shards.rewind()

    def _go_behind(self, error: SinkBehind) -> None:
        """The sink has lost what it had taken: its inputs go back to where it is, behind their commits."""
        log.error("%s", error)
        self._setbacks.note()
        self.unit = Unit()
        self._shards.rewind(error.positions)

    def _stop_at(self, failure: RecordFailed) -> None:
        """A record failed that is not to be set aside: its shard judges that, and goes back to it."""
        position = Position(*failure.position)
        shard = self._shards.owned.running_shard(position.partition)
        if shard is not None and shard.task is not None:
            log.info("%s failed on the way: %s", position, failure.cause)
            shard.task.failed(position, failure.cause)
        else:
            # It may have stopped at a later one meanwhile. When it is started again it begins before both.
            log.error("%s failed on the way, in a shard that has stopped: %s", position, failure.cause)
        if self._gate is not None and isinstance(failure.cause, StoppedBySink):
            self._gate.succeeded(1)
        self.unit = Unit()
        self._shards.rewind()

    def _refused(self, finished: Finished) -> None:
        """The brokers do not take something of a unit, and whole units only: find out which record it was."""
        unit, ending = finished.unit, finished.ending
        if not self.search.is_on:
            log.warning("the brokers refuse a unit of %d records (%s)", unit.records, ending.reason)
        record = self.search.refused(unit)
        if unit.records and (record is None or ending.refused is not None):
            self._setbacks.note()
        else:
            # Nothing of records, or not said of which topic it is: that must not go on for ever.
            self._setbacks.count(ending.reason)
        if record is not None and ending.refused is not None:
            self._judge(record, ending.refused)
        self.roll_back()

    def _judge(self, record: Position, refused: OutputRefused) -> None:
        """The record is found of which the brokers do not take what came of it."""
        log.info("it is %s: %s", record, refused)
        self.search.found()
        # The engine has no clock.
        now = int(time.time() * 1000)
        shard = self._shards.owned.running_shard(record.partition)
        if shard is not None and shard.task is not None:
            shard.task.refuse(record, refused, now)
        if refused.is_time:
            self._pipeline.date_letter(record, now)

    def _replace_client(self, reason: str) -> None:
        """Nothing was committed, but the transaction may be open: a new client ends it; shards go back."""
        log.warning("the producer is replaced, and its transaction is done again: %s", reason)
        # First: if this was one setback too many, nothing stays open.
        self._reopen()
        self._setbacks.count(reason)
        self._shards.rewind()

    def _lost_client(self, ending: Ending) -> None:
        """The commit's outcome is not known, or we were fenced: never use that client again."""
        log.warning("the producer is replaced (%s): %s", ending.outcome.value, ending.reason)
        if ending.outcome is Outcome.FENCED:
            self._setbacks.count_fenced(ending.reason)
        else:
            self._setbacks.count(ending.reason)
        self._begin_anew(ending.reason)

    def _start_over(self, error: ClusterError) -> None:
        """The client is of no use any more."""
        reason = str(error)
        if isinstance(error, Fenced):
            self._setbacks.count_fenced(reason)
        else:
            self._setbacks.count(reason)
        self._begin_anew(reason)

    def _begin_anew(self, reason: str) -> None:
        """New client, and every shard anew: only the brokers know what was committed."""
        self._reopen()
        self._shards.restore_all()
        log.info("shards are restored again after: %s", reason)

    def _reopen(self) -> None:
        self.unit = Unit()
        self._pipeline.reopen()

    def _roll_back_and_fail(self, error: _UnsealableError) -> None:
        """A shard's changes cannot be written: that shard stops, the others do the unit again."""
        self.roll_back()
        shard = self._shards.owned.current(error.shard.claim)
        if shard is not None:
            self._shards.fail(shard, error, f"shard {shard.claim.partition}")


class _UnsealableError(StateError):
    """A shard's changes cannot be written."""

    def __init__(self, shard: OwnedShard, error: StateError) -> None:
        self.shard = shard
        super().__init__(str(error))
