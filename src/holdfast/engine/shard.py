"""A shard: one partition of a processor's inputs, with its state.

`ShardTask` is what a worker and a simulation hold. It takes records as far as they may go, and keeps what was
handled together until it is committed or aborted. Its parts have one job each:

- `input_loops`: the hot loops (see `step`) that decode records and call the handler
- `mutes`: which records of a replayed input write no outputs, and which inputs wait for others
- `error_handler`: what becomes of a record that failed, by the processor's policies
- `failed_records`: what is known of such records, for when they come again
- `redrive_input`: dead letters that come back
- `tables`, `positions`, `sealing`: state and offsets, and their way into the transaction
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast.engine.context import Context
from holdfast.engine.error_handler import ErrorHandler, Halt, ShardFailure
from holdfast.engine.failed_records import FailedRecords
from holdfast.engine.input_loops import InputLoops
from holdfast.engine.mutes import Mutes
from holdfast.engine.ports import Store
from holdfast.engine.positions import Positions
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.redrive_input import RedriveInput
from holdfast.engine.sealing import seal_tables
from holdfast.engine.state import ShardTable
from holdfast.engine.tables import ShardTables
from holdfast.engine.unit import ShardChanges, Unit
from holdfast.errors import OutputRefused
from holdfast.record import Message, Position, TopicPartition


def no_clock() -> int:
    """For who has none: everything happens in the beginning."""
    return 0


class ShardTask:
    """Handles one shard's records inside the worker's open unit.

    Args:
        plan: what the processor's shards share.
        partition: the shard's number.
        store: its committed state.
        positions: for each input topic, the next offset to handle.
        fence: the fencing token of this ownership.
        muted: for each input that is replayed, the offset up to which records make state but no outputs.
        now: the time in milliseconds since the epoch, for dead letters.

    Attributes:
        partition: the shard's number.
        failure: what stopped the shard; None while it goes on.
    """

    def __init__(
        self,
        plan: ProcessorPlan,
        partition: int,
        store: Store,
        positions: Mapping[str, int],
        *,
        fence: int = 0,
        muted: Mapping[str, int] | None = None,
        now: Callable[[], int] = no_clock,
    ) -> None:
        self.partition = partition
        self.failure: ShardFailure | None = None
        self._plan = plan
        self._fence = fence
        self._positions = Positions(positions)
        self._mutes = Mutes(muted or {}, positions)
        self._waiting_at: dict[str, int] = {}
        self._tables = ShardTables(plan.tables, store, has_parked_keys=plan.on_error == "park-key")
        self._failed = FailedRecords(plan, self._tables.parked_keys, fence)
        self._errors = ErrorHandler(plan, partition, self._failed, now)
        self._loops = InputLoops(plan, Context(partition, fence), self._tables.states, self._failed)
        self._redriven = RedriveInput(
            plan, loops=self._loops, errors=self._errors, failed=self._failed, now=now
        )

    @property
    def positions(self) -> Mapping[str, int]:
        """For each input topic, the next offset to handle."""
        return self._positions.current

    @property
    def committed_positions(self) -> Mapping[str, int]:
        """For each input topic, the offset of the last commit: where an abort goes back to."""
        return self._positions.committed

    @property
    def moved(self) -> bool:
        """Whether there is something to commit."""
        return self._positions.have_moved

    def table(self, name: str) -> ShardTable[Any]:
        """A table of this shard."""
        return self._tables[name]

    def limit_cache(self, entries: int) -> None:
        """Keep at most `entries` decoded values in memory per table and cache generation."""
        self._tables.limit_cache(entries)

    def handle(self, topic: str, messages: Sequence[Message], unit: Unit) -> None:
        """Handle records of one input, in order, until the end or the first that stops the shard.

        Args:
            topic: the input that they were read from.
            messages: the records, oldest first.
            unit: the worker's open unit; outputs and counts are added to it.

        Raises:
            StoreError: the local store cannot be read. The unit holds part of a batch then: give it up.
        """
        self._waiting_at.pop(topic, None)
        muted = self._mutes.count_muted(topic, messages)
        if topic == self._plan.redrive_topic:
            self._handle_redriven(topic, messages, muted, unit)
            return
        if muted:
            # Their outputs were written when they were handled for the first time.
            self._handle(topic, messages[:muted], unit, [])
            messages = messages[muted:]
        if topic not in self._waiting_at:
            self._handle(topic, messages, unit, self._plan.results_of(unit))

    def _handle(self, topic: str, messages: Sequence[Message], unit: Unit, outputs: list[Any]) -> None:
        if self.failure is not None or not messages:
            return
        done, error = self._loops.run(topic, messages, outputs)
        while error is not None:
            halt = self._errors.handle(topic, messages[done], error, unit)
            if halt is not None:
                self._stop_at(topic, messages[done], halt)
                break
            # Its key may be parked now.
            more, error = self._loops.run(topic, messages[done + 1 :], outputs)
            done += 1 + more
        self._require_read_state()
        if done:
            last = messages[done - 1].offset()
            self._move(topic, last + 1)
            unit.records += done
            unit.last = Position(topic, self.partition, last)
            self._tables.weigh(unit)

    def _handle_redriven(self, topic: str, messages: Sequence[Message], muted: int, unit: Unit) -> None:
        if self.failure is not None or not messages:
            return
        done, halt = self._redriven.handle(topic, messages, muted, unit)
        if halt is not None:
            self._stop_at(topic, messages[done], halt)
        self._require_read_state()
        if done:
            self._move(topic, messages[done - 1].offset() + 1)
            self._tables.weigh(unit)

    def _stop_at(self, topic: str, message: Message, halt: Halt) -> None:
        """Stop the shard at a record, or have its input wait there."""
        if isinstance(halt, ShardFailure):
            self.failure = halt
        else:
            self._waiting_at[topic] = message.offset()

    def _require_read_state(self) -> None:
        """Refuse records whose handler caught the error of its state, and went on without.

        Raises:
            StoreError: there is such a one.
        """
        swallowed = self._tables.take_swallowed(self.failure.cause if self.failure is not None else None)
        if swallowed is not None:
            # A later record may have stopped the shard: it is reached again.
            self.failure = None
            raise swallowed

    def advance(self, topic: str, offset: int) -> None:
        """Note that nothing is left to read before `offset`.

        Control records take offsets but are never handed out. Without this an input that
        is fully read would show lag forever.
        """
        if self.failure is None and offset > self._positions.current[topic]:
            self._move(topic, offset)

    def reach_front(self, topic: str) -> None:
        """Note that nothing is left to read of an input before the front that it is muted up to."""
        self.advance(topic, self._mutes.front(topic))

    def _move(self, topic: str, position: int) -> None:
        self._positions.move(topic, position)
        self._mutes.move(topic, position)

    def failed(self, position: Position, cause: Exception) -> None:
        """Judge a record that failed with `cause` after it was handed on; `reset` goes back to it."""
        self._errors.failed(position, cause)

    def refuse(self, position: Position, refused: OutputRefused, now: int) -> None:
        """Judge a record that comes again by this: the brokers do not take what came of it.

        Args:
            position: the record; `reset` goes back to it.
            refused: what they do not take.
            now: the time that its dead letter has if they refuse times, in milliseconds since the epoch.
        """
        self._errors.refuse(position, refused, now)

    def note_refused(self, records: Sequence[tuple[Position, Exception]]) -> None:
        """Count records that were set aside or dropped on the way to a commit; too many stop the shard."""
        too_many = self._errors.refused(records)
        if self.failure is None:
            self.failure = too_many

    @property
    def inputs_behind(self) -> frozenset[str]:
        """Inputs that are replayed, and not as far yet as they were before."""
        return self._mutes.behind

    @property
    def is_retrying(self) -> bool:
        """Whether an input stands at a record that failed and is tried again."""
        return any(self._failed.retries.attempts(*place) for place in self._positions.current.items())

    def waits(self, topic: str) -> bool:
        """Whether an input may go on only later.

        When others are as far as they were before (see `engine.mutes`), when another attempt is due, or when
        a key has been freed (see `engine.redriven.Hold`).
        """
        position = self._positions.current[topic]
        waits = self._is_held(topic) or self._mutes.waits(topic, position)
        return waits or self._failed.retries.waits(topic, position)

    def waiting_at(self, topic: str) -> int | None:
        """Where `handle` ended last because a record is to be handled later; None if it did not.

        Also when that time has come meanwhile: what was behind the record has to be read again.
        """
        return self._waiting_at.get(topic)

    def count_ready(self, topic: str, messages: Sequence[Message]) -> int:
        """How many of these records, oldest first, need not wait for other inputs.

        When some have to, all that are before the input's front are among `messages` or done.
        """
        return 0 if self._is_held(topic) else self._mutes.count_ready(topic, messages)

    def _is_held(self, topic: str) -> bool:
        return topic != self._plan.redrive_topic and self._redriven.is_holding

    def hurry(self) -> None:
        """Have records that wait for another attempt be handled when they come next."""
        self._failed.retries.hurry()

    def touch(self) -> None:
        """Commit the positions again with the next unit, moved or not.

        The broker forgets offsets of topics that the group is not subscribed to after
        `offsets.retention.minutes`; only the first input is subscribed (KIP-211).
        """
        self._positions.touch()

    def seal(self) -> ShardChanges:
        """Close this shard's part of the unit.

        Raises:
            StateError: a value is larger than the changelog accepts, or is not of its table's type.
        """
        changes = seal_tables(self._tables, self._positions, self._plan, self.partition)
        self._failed.seal()
        ends = {TopicPartition(t, self.partition): offset for t, offset in self._positions.seal().items()}
        begins = {place: self._positions.committed[place.topic] for place in ends}
        return ShardChanges(self.partition, ends, changes, begins, self._fence)

    def committed(self) -> None:
        """The sealed part is committed and in the store."""
        self._positions.commit()
        self._failed.committed(self._positions.committed)
        self._tables.committed()

    def reset(self) -> None:
        """The transaction was aborted: forget all that was not committed, and go back."""
        self._positions.go_back()
        self._mutes.go_back(self._positions.current)
        self._waiting_at.clear()
        self._tables.reset()
        self._failed.go_back()

    def go_behind(self, topic: str, offset: int) -> None:
        """Go back behind the last commit, with nothing open: what came of its records is lost.

        The next commit sets the input back on the brokers as well, if it has not come as far again by then.
        Only for shards without state, which would have the records twice.
        """
        self._positions.go_behind(topic, offset)
