"""The worker: one thread that owns a consumer, its shards and the open unit.

Each turn of the loop takes over restored shards, takes the end of the commit in flight,
fetches, handles, and starts the next commit when it is due. Rebalances happen inside
the fetch, on the same thread, so nothing here needs a lock.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.engine.shard import ProcessorPlan, ShardTask
from holdfast.engine.unit import SealedUnit, Unit
from holdfast.errors import ClusterError, CorruptStore, Fenced, StateError, StoreError, WorkerError
from holdfast.kafka.consumer import Batch, OwnershipListener, ShardConsumer
from holdfast.kafka.transaction import Ending, Outcome
from holdfast.record import Message, TopicPartition
from holdfast.runtime.commit import CommitPipeline, Finished
from holdfast.runtime.ownership import OwnedShard, Ownership, ShardState, explain
from holdfast.runtime.restore import NotRestored, Restored, Restorer
from holdfast.runtime.status import Reporter, WorkerStatus
from holdfast.runtime.store import RocksStore
from holdfast.runtime.write_behind import WriteBehind

log = logging.getLogger(__name__)

FETCH_RECORDS = 4_000
"""The most records per turn: enough to make a turn's fixed cost small. Half of it was measured to be
slower by 8 %; with twice as many the commits come late."""

FIRST_FETCH_RECORDS = 1
"""Records in the first turn; the number then follows the time that turns take."""

SLICE_RECORDS = 64
"""Records that are handled between two looks at the clock."""

TURN_S = 0.1
"""What a turn should take. A slow handler must not keep a transaction open for long: the broker ends
it after its timeout."""

LONGEST_TURN_S = 1.0
"""When a turn took this long, what is left of it is read again in the next one."""

UNIT_RECORDS = 50_000
"""Records in the open unit above which the loop waits for the commit in flight."""

UNIT_OUTPUTS = 25_000
"""Outputs in the open unit above which the loop waits for the commit in flight. Twice as many took 15 MB
more and were not quicker."""

UNIT_BYTES = 32 * 1024 * 1024
"""Bytes of outputs in the open unit above which the loop waits for the commit in flight."""

FAILED_UNITS = 4
"""A broker that goes away costs one unit, rarely two."""

_IDLE_WAIT_S = 0.2
_COMMIT_WAIT_S = 0.005
_TOUCH_S = 6 * 3600.0
_FENCED_LIMIT = 3
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Times of a worker, in seconds.

    Attributes:
        commit_interval: from the start of one commit to the start of the next.
        cache_entries: decoded values in memory per table, over all shards of the worker.
        failed_units: units that may fail one after the other before the worker ends with the reason;
            its supervisor starts it again after a pause.
    """

    commit_interval: float
    cache_entries: int
    failed_units: int = FAILED_UNITS


class Worker(OwnershipListener):
    """Runs the shards of one processor that the group gives to this process.

    Args:
        plan: the processor.
        limits: its times and sizes.
        connect: makes the group's consumer, given the listener.
        restorer: restores shards.
        commits: commits units.
        reporter: told about progress and failures.
    """

    def __init__(
        self,
        plan: ProcessorPlan,
        limits: WorkerLimits,
        connect: Callable[[OwnershipListener], ShardConsumer],
        restorer: Restorer,
        commits: CommitPipeline,
        reporter: Reporter,
    ) -> None:
        self.shards = Ownership()
        self.records = 0
        self.dead_letters = 0
        self.commits = 0
        self.aborts = 0
        self.restored_records = 0
        self._plan = plan
        self._limits = limits
        self._restorer = restorer
        self._pipeline = commits
        self._reporter = reporter
        self._unit = Unit()
        self._last_commit = time.monotonic()
        self._last_touch = time.monotonic()
        self._fenced = 0
        self._stopping = False
        self._to_start: dict[TopicPartition, int] = {}
        self._put_back: set[TopicPartition] = set()
        self._failed_units = 0
        self._fetch_records = FIRST_FETCH_RECORDS
        self._consumer = connect(self)

    def observe(self) -> WorkerStatus:
        """How this worker is at this moment."""
        return WorkerStatus(
            records=self.records,
            commits=self.commits,
            aborts=self.aborts,
            dead_letters=self.dead_letters,
            shards=dict(Counter(shard.state.value for shard in self.shards)),
            restored=self.restored_records,
            restoring=sum(p.total - p.done for p in self._restorer.progress()),
        )

    def stop(self) -> None:
        """Ask the loop to end after its present turn; safe to call from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until `stop` is called; then commit what is done and leave.

        Raises:
            Fenced: another process took this worker's slot.
            WorkerError: none of its shards can go on.
            ClusterError: the brokers refuse this worker for good.
        """
        while not self._stopping:
            self.turn()
        self._settle()
        self._consumer.close()

    def close(self) -> None:
        """Let go of everything, also after a failure."""
        self._restorer.close()
        self._pipeline.close()
        for shard in self.shards:
            shard.close()

    def turn(self) -> None:
        """One turn of the loop."""
        self._take_restored()
        self._take_commit()
        self._resume()
        batch = self._consumer.fetch(self._fetch_records, self._wait())
        began = time.monotonic()
        self._handle(batch)
        self._pace(time.monotonic() - began)
        if self._unit_is_full():
            self._take_commit(wait=None)
        if self._commit_is_due():
            self._commit()
        else:
            self._send_ahead()
        self._write_a_store()
        self._reporter.report(self)
        if self.shards.all_failed:
            # What was handled before the records that stopped them is good.
            self._settle()
            raise WorkerError(self._why_stopped())

    # -- records

    def _handle(self, batch: Batch) -> None:
        self._put_back.clear()
        deadline = time.monotonic() + LONGEST_TURN_S
        for (topic, partition), messages in batch.records.items():
            shard = self._running(partition)
            if shard is None or shard.task is None:
                continue
            try:
                self._handle_until(deadline, shard.task, topic, messages)
            except StoreError as error:
                self._rebuild(shard, error)
                # Every shard went back to its last commit: the rest of the batch is read again.
                return
            if shard.task.failure is not None:
                self._fail(shard, shard.task.failure.cause, str(shard.task.failure.position))
        for place, unreadable in batch.errors.items():
            shard = self._running(place.partition)
            if shard is not None:
                self._fail(shard, unreadable, str(place))
        for place, end in batch.ends.items():
            shard = self._running(place.partition)
            if shard is not None and shard.task is not None and place not in self._put_back:
                shard.task.advance(place.topic, end)

    def _handle_until(
        self, deadline: float, task: ShardTask, topic: str, messages: Sequence[Message]
    ) -> None:
        """Handle records; those that are left at the deadline are read again with the next turn."""
        for start in range(0, len(messages), SLICE_RECORDS):
            if start and time.monotonic() > deadline:
                place = TopicPartition(topic, task.partition)
                self._put_back.add(place)
                self._consumer.seek(place, messages[start].offset())
                return
            task.handle(topic, messages[start : start + SLICE_RECORDS], self._unit)
            if task.failure is not None:
                return

    def _running(self, partition: int) -> OwnedShard | None:
        shard = self.shards.get(partition)
        return shard if shard is not None and shard.state is ShardState.RUNNING else None

    def _unit_is_full(self) -> bool:
        # Outputs pile up only while a commit is in flight; otherwise they are sent as they come.
        return self._unit.records >= UNIT_RECORDS or (
            self._pipeline.in_flight
            and (len(self._unit.outputs) >= UNIT_OUTPUTS or self._unit.weigh() >= UNIT_BYTES)
        )

    def _pace(self, seconds: float) -> None:
        if seconds > TURN_S:
            self._fetch_records = max(self._fetch_records // 2, 1)
        elif seconds < TURN_S / 4:
            self._fetch_records = min(self._fetch_records * 2, FETCH_RECORDS)

    def _wait(self) -> float:
        """Seconds that a fetch may wait for a first record without delaying a commit."""
        if self._pipeline.in_flight:
            return _COMMIT_WAIT_S
        if self._unit.records or any(task.moved for _, task in self.shards.with_task()):
            due = self._last_commit + self._limits.commit_interval - time.monotonic()
            return min(max(due, 0.0), _IDLE_WAIT_S)
        return _IDLE_WAIT_S

    # -- commits

    def _commit_is_due(self) -> bool:
        if self._pipeline.in_flight:
            return False
        now = time.monotonic()
        if now - self._last_touch > _TOUCH_S:
            self._last_touch = now
            for _, task in self.shards.running():
                task.touch()
        if now - self._last_commit < self._limits.commit_interval and self._unit.records < UNIT_RECORDS:
            return False
        return any(task.moved for _, task in self.shards.with_task())

    def _commit(self) -> None:
        self._last_commit = time.monotonic()
        try:
            unit = self._seal()
        except _UnsealableError as error:
            self._abort_and_fail(error)
            return
        try:
            self._pipeline.start(unit, self._consumer.group_metadata())
        except ClusterError as error:
            log.warning("a unit could not be sent: %s", error)
            self._start_over(str(error))

    def _send_ahead(self) -> None:
        try:
            self._pipeline.send(self._unit.outputs)
        except ClusterError as error:
            log.warning("outputs could not be sent: %s", error)
            self._start_over(str(error))

    def _seal(self) -> SealedUnit:
        unit, self._unit = self._unit, Unit()
        parts = []
        for shard, task in self.shards.with_task():
            try:
                part = task.seal()
            except StateError as error:
                raise _UnsealableError(shard, error) from error
            if part.positions or part.changes:
                parts.append(part)
        return SealedUnit(unit.outputs, tuple(parts), unit.records, unit.dead_letters)

    def _take_commit(self, wait: float | None = 0.0) -> None:
        """Take the end of the commit in flight, if there is one and it has ended."""
        finished = self._pipeline.take(wait)
        if finished is None:
            return
        outcome = finished.ending.outcome
        if outcome is Outcome.COMMITTED:
            self._apply(finished)
        elif outcome is Outcome.ABORTED:
            log.warning("a transaction was aborted and is done again: %s", finished.ending.reason)
            self._note_failure(finished.ending.reason)
            self._rewind()
        else:
            self._lost_client(finished.ending)

    def _apply(self, finished: Finished) -> None:
        """The unit is on the brokers: bring the local stores up to it."""
        self.commits += 1
        self._fenced = self._failed_units = 0
        self.records += finished.unit.records
        self.dead_letters += finished.unit.dead_letters
        ends = finished.ending.changelog_ends or {}
        for part in finished.unit.shards:
            shard = self.shards.get(part.partition)
            if shard is not None and shard.task is not None and shard.store is not None:
                shard.store.apply(part.changes, self._checkpoint(part.partition, ends))
                shard.task.committed()

    def _write_a_store(self) -> None:
        """Write one store that is due: one a turn, so that no turn takes long."""
        for shard in self.shards:
            if shard.store is not None and shard.store.is_due:
                try:
                    shard.store.write()
                except StateError as error:
                    self._rebuild(shard, error)
                else:
                    if shard.state is ShardState.RUNNING:
                        shard.error = None
                return

    def _note_failure(self, reason: str) -> None:
        """Count a unit that has to be done again; many in a row do not mend themselves.

        Raises:
            ClusterError: it was one too many.
        """
        self.aborts += 1
        self._failed_units += 1
        if self._failed_units >= self._limits.failed_units:
            raise ClusterError(
                f"processor {self._plan.name!r} cannot commit: {reason} ({self._failed_units} units in a row)"
            )
        if self._failed_units > 1:
            time.sleep(min(_FIRST_PAUSE_S * 2**self._failed_units, _LONGEST_PAUSE_S))

    def _checkpoint(self, partition: int, ends: Mapping[TopicPartition, int]) -> dict[str, int]:
        topics = self._pipeline.changelogs
        return {
            table: ends[place]
            for table, topic in topics.items()
            if (place := TopicPartition(topic, partition)) in ends
        }

    def _rewind(self) -> None:
        """Go back to the last commit in every shard.

        Reading stops here and starts again with the next turn: this may be running inside a
        fetch, whose records of stopped partitions are dropped. Were reading started here, fresh
        records could be dropped with the stale ones, and be lost.
        """
        self._unit = Unit()
        given_up = self._pipeline.abandon()
        if given_up is not None and given_up.outcome is not Outcome.ABORTED:
            self._lost_client(given_up)
            return
        for shard, task in self.shards.with_task():
            task.reset()
            if shard.state is ShardState.RUNNING:
                back = self._inputs(shard, task.committed_positions)
                self._consumer.stop(back)
                self._to_start.update(back)

    def _resume(self) -> None:
        if self._to_start:
            positions, self._to_start = self._to_start, {}
            self._consumer.start(positions)

    def _stop_reading(self, partition: int) -> None:
        places = [TopicPartition(topic, partition) for topic in self._plan.decoders]
        for place in places:
            self._to_start.pop(place, None)
        self._consumer.stop(places)

    def _lost_client(self, ending: Ending) -> None:
        """The commit's outcome is not known, or we were fenced: never use that client again."""
        log.warning("the producer is replaced (%s): %s", ending.outcome.value, ending.reason)
        if ending.outcome is Outcome.FENCED:
            self._fenced += 1
            if self._fenced >= _FENCED_LIMIT:
                raise Fenced(
                    f"processor {self._plan.name!r}: this worker's transactional id was taken over "
                    f"{self._fenced} times in a row ({ending.reason}). Either another process runs in the "
                    "same slot: give each worker its own; or one call of the handler takes longer than the "
                    "transaction's timeout."
                )
        self._start_over(ending.reason)

    def _start_over(self, reason: str) -> None:
        """New client, and every shard anew: only the brokers know what was committed."""
        self._note_failure(reason)
        self._unit = Unit()
        self._pipeline.reopen()
        for shard, _ in self.shards.with_task():
            if shard.state is ShardState.RUNNING:
                self._reclaim(shard)
            else:
                # It stopped at a record; what it did before that in the lost unit is done again
                # when it is restarted. Its changes must not be committed without its outputs.
                shard.task = None
                shard.close()
        log.info("shards are restored again after: %s", reason)

    def _reclaim(self, shard: OwnedShard) -> OwnedShard:
        """Restore a shard again while it stays ours."""
        self._stop_reading(shard.claim.partition)
        shard.close()
        again = self.shards.claim(shard.claim.partition)
        self._restorer.ask(again.claim)
        return again

    def _discard(self, shard: OwnedShard) -> None:
        """Throw away local state that cannot be read: opening it again may not show the damage."""
        if shard.store is not None:
            path = shard.store.store.path
            shard.close()
            RocksStore.destroy(path)

    def _rebuild(self, shard: OwnedShard, error: StateError) -> None:
        """A store cannot be read or written: everything uncommitted is done again, the shard restored.

        A second failure in a row ends the shard: a full or broken disk does not mend itself.
        """
        log.warning("shard %d: %s", shard.claim.partition, error)
        self._settle(commit_open=False)
        # The open unit holds outputs of this shard whose positions will never be committed with it.
        self._rewind()
        owned = self.shards.current(shard.claim)
        if owned is None:
            return
        if owned.error is not None:
            self._fail(owned, error, f"shard {owned.claim.partition}")
            # Nothing of it is uncommitted now, and its store would be tried again with every turn.
            owned.task = None
            owned.close()
        else:
            if isinstance(error, CorruptStore):
                self._discard(owned)
            self._reclaim(owned).error = error

    def _abort_and_fail(self, error: _UnsealableError) -> None:
        """A shard's changes cannot be written: that shard stops, the others do the unit again."""
        self._rewind()
        shard = self.shards.current(error.shard.claim)
        if shard is not None:
            self._fail(shard, error, f"shard {shard.claim.partition}")

    def _settle(self, *, commit_open: bool = True) -> None:
        """Wait for the commit in flight, then commit what is done since; the writer's timeouts bound both."""
        self._take_commit(wait=None)
        if commit_open and any(task.moved for _, task in self.shards.with_task()):
            self._commit()
            self._take_commit(wait=None)

    # -- ownership

    def assigned(self, partitions: list[int]) -> None:
        """The group gave us shards: restore them first."""
        self._drop_stale_results()
        for partition in partitions:
            self._restorer.ask(self.shards.claim(partition).claim)
        self._share_cache()

    def revoked(self, partitions: list[int]) -> None:
        """The group takes shards: commit what is done, then let go of them."""
        self._settle()
        self._release(partitions)

    def lost(self, partitions: list[int]) -> None:
        """The group took shards without us: whatever was not committed is void."""
        log.warning("shards %s were taken while this worker was away", partitions)
        self._settle(commit_open=False)
        self._release(partitions)
        self._rewind()

    def _release(self, partitions: list[int]) -> None:
        for partition in partitions:
            self._restorer.cancel(partition)
            self._stop_reading(partition)
            shard = self.shards.drop(partition)
            if shard is not None:
                shard.close()
        self._share_cache()

    def _drop_stale_results(self) -> None:
        """Close stores of claims that have ended: a shard may come back before its last result was taken."""
        results = self._restorer.results
        for _ in range(results.qsize()):
            result = results.get()
            if self.shards.current(result.claim) is not None:
                results.put(result)
            elif isinstance(result, Restored):
                result.store.close()

    def _take_restored(self) -> None:
        while not self._restorer.results.empty():
            result = self._restorer.results.get()
            shard = self.shards.current(result.claim)
            if isinstance(result, NotRestored):
                if shard is not None:
                    self._fail(shard, result.error, f"shard {result.claim.partition}")
            elif shard is None:
                result.store.close()
            else:
                self._begin(shard, result)

    def _begin(self, shard: OwnedShard, restored: Restored) -> None:
        self.restored_records += restored.records
        store = WriteBehind(restored.store)
        task = ShardTask(self._plan, shard.claim.partition, store, restored.positions)
        shard.task, shard.store, shard.state = task, store, ShardState.RUNNING
        # Commits where the shard begins: `start: latest` is a moment that passes, and a successor
        # must not take a later one.
        task.touch()
        self._share_cache()
        self._consumer.start(self._inputs(shard, restored.positions))

    def _fail(self, shard: OwnedShard, error: Exception, where: str) -> None:
        shard.state, shard.error = ShardState.FAILED, error
        partition = shard.claim.partition
        places = [TopicPartition(topic, partition) for topic in self._plan.decoders]
        for place in places:
            self._to_start.pop(place, None)
        self._consumer.pause(places)
        message = (
            f"processor {self._plan.name!r} stopped shard {partition} at {where}: {explain(error)}. "
            "Nothing was skipped; the other shards go on."
        )
        log.error(message)
        self._reporter.failed(partition, message, "".join(traceback.format_exception(error)))

    def _share_cache(self) -> None:
        tasks = [task for _, task in self.shards.running()]
        for task in tasks:
            # Two generations per table: half of the share each.
            task.limit_cache(max(self._limits.cache_entries // (2 * len(tasks)), 1))

    @staticmethod
    def _inputs(shard: OwnedShard, positions: Mapping[str, int]) -> dict[TopicPartition, int]:
        return {TopicPartition(topic, shard.claim.partition): o for topic, o in positions.items()}

    def _why_stopped(self) -> str:
        reasons = "; ".join(f"shard {n}: {text}" for n, text in sorted(self.shards.failures().items()))
        return f"processor {self._plan.name!r}: every shard of this worker has stopped. {reasons}"


class _UnsealableError(StateError):
    """A shard's changes cannot be written."""

    def __init__(self, shard: OwnedShard, error: StateError) -> None:
        self.shard = shard
        super().__init__(str(error))
