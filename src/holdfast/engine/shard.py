"""A shard: one partition of a processor's inputs, with its state.

It owns the shard's tables and positions, hands records to the hot loop (`holdfast.engine.step`),
and judges those that failed by the processor's policies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from pydantic import ValidationError

from holdfast.engine.asking import Waiting, passing
from holdfast.engine.blame import explain
from holdfast.engine.context import Context
from holdfast.engine.dead_letter import drop, put_off, set_aside
from holdfast.engine.handler import HandlerSpec
from holdfast.engine.letter_limit import LetterCount, LetterLimit
from holdfast.engine.mutes import Mutes
from holdfast.engine.outputs import Router
from holdfast.engine.parking import ParkedKey, ParkedKeys
from holdfast.engine.ports import Store
from holdfast.engine.redriven import Hold, Parked, Redriven, read_redriven
from holdfast.engine.retries import Retries, RetryLater, RetryPolicy
from holdfast.engine.sink_writes import SinkWrites
from holdfast.engine.state import CACHED_VALUE_BYTES, ShardTable, State
from holdfast.engine.step import Run, make_run
from holdfast.engine.unit import ShardChanges, Unit
from holdfast.engine.verdicts import Verdicts
from holdfast.errors import (
    DecodeError,
    HandlerError,
    KeyParked,
    LetterRefused,
    OutputRefused,
    StateError,
    StoreError,
    TooManySetAside,
    UnexpectedTombstone,
)
from holdfast.record import Message, Position, TopicPartition
from holdfast.schema import EventDecoder, ValueCodec
from holdfast.topology.model import PARKED_KEYS

Policy = Literal["stop", "retry", "dead-letter", "park-key", "drop"]
"""What becomes of a record that failed. With "retry" its handler is called until it does not raise."""

_STOPPING: Final = ("stop", "retry")
"""What keeps a shard at the record. Where "retry" comes to be judged no other attempt helps."""


@dataclass(frozen=True, slots=True)
class ProcessorPlan:
    """Everything about a processor that its shards share.

    Attributes:
        name: the processor's name.
        handler: its handler.
        decoders: for each input topic, its decoder.
        tables: for each table, the codec of its values.
        router: routes outputs to declared topics.
        sink: takes what the handler returns instead, if the processor writes to a sink.
        dead_letter_topic: where records go that are set aside.
        on_error: what to do when the handler raises.
        on_bad_record: what to do with a record that cannot be decoded.
        retry: when a handler that raised is called again before that.
        letter_limit: how many records may be set aside or dropped.
        max_bytes: the largest state value, with its key, that the changelog accepts.
        shadow: for each topic that it writes to, dead letters included, the topic that takes its place while
            this version of the processor is a shadow.
        redrive_topic: where dead letters are given back to it; None if it takes none.
        is_shadow: whether this version is one. It leaves redriven records to the one that is live.
    """

    name: str
    handler: HandlerSpec
    decoders: Mapping[str, EventDecoder]
    tables: Mapping[str, ValueCodec[Any]]
    router: Router
    dead_letter_topic: str
    on_error: Policy = "stop"
    on_bad_record: Policy = "dead-letter"
    retry: RetryPolicy | None = None
    letter_limit: LetterLimit | None = None
    max_bytes: int = 1_000_000
    shadow: Mapping[str, str] = field(default_factory=dict)
    sink: SinkWrites | None = None
    redrive_topic: str | None = None
    is_shadow: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """All topics that it reads."""
        return (*self.decoders, *((self.redrive_topic,) if self.redrive_topic else ()))

    @property
    def uses_fence(self) -> bool:
        """Whether somebody may use the fencing token: a handler that asks for its context, or a sink."""
        return self.handler.takes_context or self.has_writes

    @property
    def has_writes(self) -> bool:
        """Whether units hold writes: for a sink, or events that an async handler is still to handle."""
        return self.sink is not None or self.handler.is_async

    def run_of(self, decoder: EventDecoder, context: Context, states: Mapping[str, State[Any]]) -> Run:
        """The loop that handles records of one input."""
        if self.handler.is_async:
            return make_run(passing(self.handler), decoder, Waiting(), context, states)
        return make_run(self.handler, decoder, self.sink or self.router, context, states)

    def as_shadow(self) -> ProcessorPlan:
        """The same processor, whose outputs and dead letters go to its shadow topics."""
        return replace(
            self,
            router=self.router.redirected(self.shadow),
            dead_letter_topic=self.shadow[self.dead_letter_topic],
            is_shadow=True,
        )


CACHE_ENTRIES = 50_000
"""Decoded values of a table in memory, per shard and cache generation, until `limit_cache` says otherwise."""


def no_clock() -> int:
    """For who has none: everything happens in the beginning."""
    return 0


LONGEST_HOLD_MS = 10_000
"""For so long a shard reads its inputs no further when it is asked to; whoever asks may be gone."""


SAMPLE_RECORDS = 256
"""Records of a unit between two looks at the size of a state value."""


@dataclass(frozen=True, slots=True)
class ShardFailure:
    """A shard stopped at a record; nothing was skipped.

    Attributes:
        position: the record that it stopped at, which is also where it will start again.
        cause: what was raised.
    """

    position: Position
    cause: Exception


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
        self._committed = dict(positions)
        self._positions = dict(positions)
        self._mutes = Mutes(muted or {}, positions)
        self._verdicts = Verdicts()
        self._retries = Retries(plan.retry)
        self._waiting_at: dict[str, int] = {}
        self._letters = LetterCount(plan.letter_limit)
        self._sealed: dict[str, int] = {}
        self._moved: set[str] = set()
        self._is_touched = False
        self._context = Context(partition, fence)
        self._tables = {
            name: ShardTable(name, codec, store, CACHE_ENTRIES) for name, codec in plan.tables.items()
        }
        self._states = {name: State(table) for name, table in self._tables.items()}
        self._weighed = tuple((table, self._states[name]) for name, table in self._tables.items())
        self._now = now
        self._held_until = 0
        self._parked: ParkedKeys | None = None
        if plan.on_error == "park-key":
            parked = ShardTable(PARKED_KEYS, ValueCodec(ParkedKey), store, CACHE_ENTRIES)
            self._tables[PARKED_KEYS] = parked
            self._parked = ParkedKeys(parked, fence)
        self._runs = {
            topic: plan.run_of(decoder, self._context, self._states)
            for topic, decoder in plan.decoders.items()
        }

    @property
    def positions(self) -> Mapping[str, int]:
        """For each input topic, the next offset to handle."""
        return self._positions

    @property
    def committed_positions(self) -> Mapping[str, int]:
        """For each input topic, the offset of the last commit: where an abort goes back to."""
        return self._committed

    @property
    def moved(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._moved)

    def table(self, name: str) -> ShardTable[Any]:
        """A table of this shard."""
        return self._tables[name]

    def limit_cache(self, entries: int) -> None:
        """Keep at most `entries` decoded values in memory per table and cache generation."""
        for table in self._tables.values():
            table.cache_entries = entries

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
            self._handle(topic, messages, unit, unit.writes if self._plan.has_writes else unit.outputs)

    def _handle(self, topic: str, messages: Sequence[Message], unit: Unit, outputs: list[Any]) -> None:
        if self.failure is not None or not messages:
            return
        self._context._topic = topic
        done, error = self._run_of(topic)(messages, outputs)
        self._letters.handled(done)
        while error is not None and self._set_aside(topic, messages[done], error, unit):
            # Its key may be parked now.
            more, error = self._run_of(topic)(messages[done + 1 :], outputs)
            self._letters.handled(more)
            done += 1 + more
        self._require_read_state()
        if done:
            last = messages[done - 1].offset()
            self._move(topic, last + 1)
            unit.records += done
            unit.last = Position(topic, self.partition, last)
            self._weigh(unit)

    def _run_of(self, topic: str) -> Run:
        """The loop for an input, as it is to be at this moment."""
        run = self._verdicts.guard(topic, self._runs[topic])
        return self._retries.guard(topic, run if self._parked is None else self._parked.guard(run))

    def _handle_redriven(self, topic: str, messages: Sequence[Message], muted: int, unit: Unit) -> None:
        """Handle records that were given back to this processor, and pass those for others.

        Those that are muted were handled by the version that was live: this one has handled what they were.
        """
        if self.failure is not None or not messages:
            return
        outputs: list[Any] = unit.writes if self._plan.has_writes else unit.outputs
        done = len(messages) if self._plan.is_shadow else muted
        for message in messages[done:]:
            if self._retries.waits(topic, message.offset()):
                self._waiting_at[topic] = message.offset()
                break
            record = read_redriven(message, self._plan.name)
            if isinstance(record, Hold):
                self._held_until = self._now() + min(record.ms, LONGEST_HOLD_MS)
            elif record is not None and not self._redo(topic, record, unit, outputs):
                break
            done += 1
        self._require_read_state()
        if done:
            self._move(topic, messages[done - 1].offset() + 1)
            self._weigh(unit)

    def _redo(self, topic: str, record: Redriven, unit: Unit, outputs: list[Any]) -> bool:
        """Handle a redriven record if it is its turn; False if it stops the shard."""
        if self._parked is not None:
            turn = self._parked.judge(record)
        else:
            turn = "leave out" if record.sent.is_discarded else "handle"
        if turn == "leave out":
            return True
        error = self._try_again(topic, record, outputs) if turn == "handle" else turn
        if error is not None and not self._set_aside(topic, record, error, unit):
            return False
        if error is None and self._parked is not None:
            self._parked.settle(record)
        unit.records += 1
        unit.last = Position(topic, self.partition, record.offset())
        return True

    def _try_again(self, topic: str, record: Redriven, outputs: list[Any]) -> Exception | None:
        origin = record.sent.origin.topic
        run = self._runs.get(origin)
        if run is None:
            return HandlerError(f"{self._plan.name!r} does not read {origin} any more")
        self._context._topic = origin
        done, error = self._verdicts.guard(topic, run)([record], outputs)
        self._letters.handled(done)
        return error

    def condemn(self, position: Position, cause: Exception) -> None:
        """Judge a record that comes again as if its handler had raised `cause`; `reset` goes back to it."""
        self._verdicts.condemn(position.topic, position.offset, cause)

    def failed(self, position: Position, cause: Exception) -> None:
        """Judge a record whose handler raised `cause` after it was handed on; `reset` goes back to it."""
        if not self._tries_again(position, cause):
            self.condemn(position, cause)

    def refuse(self, position: Position, refused: OutputRefused, now: int) -> None:
        """Judge a record that comes again by this: the brokers do not take what came of it.

        If it was its dead letter that they refuse, the shard stops at it; unless they refuse its time, which
        can be another one.

        Args:
            position: the record.
            refused: what they do not take.
            now: the time that its dead letter has if they refuse times, in milliseconds since the epoch.
        """
        topic, _, offset = position
        is_letter = refused.topic == self._plan.dead_letter_topic
        is_dated = self._verdicts.time_of(topic, offset) is not None
        if refused.is_time:
            self._verdicts.date(topic, offset, now)
        if not is_letter:
            self.condemn(position, refused.stopping() if self._plan.on_error in _STOPPING else refused)
        elif is_dated or not refused.is_time:
            self.condemn(position, LetterRefused(refused))

    def _require_read_state(self) -> None:
        """Refuse records whose handler caught the error of its state, and went on without.

        Raises:
            StoreError: there is such a one.
        """
        for table in self._tables.values():
            failure = table.failure
            if failure is not None and (self.failure is None or self.failure.cause is not failure):
                table.failure = None
                # A later record may have stopped the shard: it is reached again.
                self.failure = None
                if isinstance(failure, StoreError):
                    raise failure
                raise StoreError(
                    f"{failure} (the handler caught this error and went on: that would commit a wrong result)"
                )

    def advance(self, topic: str, offset: int) -> None:
        """Note that nothing is left to read before `offset`.

        Control records take offsets but are never handed out. Without this an input that
        is fully read would show lag forever.
        """
        if self.failure is None and offset > self._positions[topic]:
            self._move(topic, offset)

    def _move(self, topic: str, position: int) -> None:
        self._positions[topic] = position
        self._moved.add(topic)
        self._mutes.move(topic, position)

    @property
    def inputs_behind(self) -> frozenset[str]:
        """Inputs that are replayed, and not as far yet as they were before."""
        return self._mutes.behind

    def waits(self, topic: str) -> bool:
        """Whether an input may go on only later.

        When others are as far as they were before (see `engine.mutes`), when another attempt is due, or when
        a key has been freed (see `engine.redriven.Hold`).
        """
        position = self._positions[topic]
        waits = self._is_held(topic) or self._mutes.waits(topic, position)
        return waits or self._retries.waits(topic, position)

    def waiting_at(self, topic: str) -> int | None:
        """Where `handle` ended last because a record is to be handled later; None if it did not.

        Also when that time has come meanwhile: what was behind the record has to be read again.
        """
        return self._waiting_at.get(topic)

    @property
    def is_retrying(self) -> bool:
        """Whether an input stands at a record that failed and is tried again."""
        return any(self._retries.attempts(*place) for place in self._positions.items())

    def note_refused(self, position: Position, cause: Exception) -> None:
        """Count a record that was set aside or dropped on the way to its commit; too many stop the shard."""
        behind = self._positions[position.topic] - position.offset - 1
        why = self._letters.refused(position.topic, position.offset, behind=behind)
        if why is not None and self.failure is None:
            self.failure = ShardFailure(position, TooManySetAside(why, explain(cause)))

    def hurry(self) -> None:
        """Have records that wait for another attempt be handled when they come next."""
        self._retries.hurry()

    def count_ready(self, topic: str, messages: Sequence[Message]) -> int:
        """How many of these records, oldest first, need not wait for other inputs.

        When some have to, all that are before the input's front are among `messages` or done.
        """
        return 0 if self._is_held(topic) else self._mutes.count_ready(topic, messages)

    def _is_held(self, topic: str) -> bool:
        return bool(self._held_until) and topic != self._plan.redrive_topic and self._now() < self._held_until

    def reach_front(self, topic: str) -> None:
        """Note that nothing is left to read of an input before the front that it is muted up to."""
        self.advance(topic, self._mutes.front(topic))

    def touch(self) -> None:
        """Commit the positions again with the next unit, moved or not.

        The broker forgets offsets of topics that the group is not subscribed to after
        `offsets.retention.minutes`; only the first input is subscribed (KIP-211).
        """
        self._moved.update(self._positions)
        self._is_touched = True

    def seal(self) -> ShardChanges:
        """Close this shard's part of the unit.

        Raises:
            StateError: a value is larger than the changelog accepts, or is not of its table's type.
        """
        changes = {name: rows for name in self._tables if (rows := self._encoded(name))}
        self._sealed = {topic: self._positions[topic] for topic in self._moved}
        self._moved.clear()
        positions = {TopicPartition(t, self.partition): offset for t, offset in self._sealed.items()}
        begins = {place: self._committed[place.topic] for place in positions}
        return ShardChanges(self.partition, positions, changes, begins, self._context.fencing_token)

    def committed(self) -> None:
        """The sealed part is committed and in the store."""
        self._committed.update(self._sealed)
        self._sealed = {}
        self._is_touched = False
        self._verdicts.forget(self._committed)
        self._retries.forget(self._committed)
        for table in self._tables.values():
            table.committed()

    def reset(self) -> None:
        """The transaction was aborted: forget all that was not committed, and go back."""
        self._positions = dict(self._committed)
        self._mutes.go_back(self._positions)
        self._waiting_at.clear()
        self._sealed = {}
        self._moved.clear()
        if self._is_touched:
            # An input in which nothing comes would have no position for long.
            self._moved.update(self._positions)
        for table in self._tables.values():
            table.reset()
        if self._parked is not None:
            self._parked.go_back()

    def go_behind(self, topic: str, offset: int) -> None:
        """Go back behind the last commit, with nothing open: what came of its records is lost.

        The next commit sets the input back on the brokers as well, if it has not come as far again by then.
        Only for shards without state, which would have the records twice.
        """
        self._committed[topic] = self._positions[topic] = offset

    def _weigh(self, unit: Unit) -> None:
        """Estimate the bytes of state in the unit: by the slice of records, and from few values."""
        is_due = unit.records >= unit.sample_at
        if is_due:
            unit.sample_at = unit.records + SAMPLE_RECORDS
        for table, state in self._weighed:
            if 0 < table.value_bytes <= CACHED_VALUE_BYTES and not is_due:
                # The limit of records bounds these, and it saves most of the time that this takes.
                continue
            if is_due or not table.value_bytes:
                table.sample(state._value)
            unit.state_bytes += table.weigh()

    def _set_aside(self, topic: str, message: Message, error: Exception, unit: Unit) -> bool:
        """Judge a failed record; True when it was set aside or dropped, and the shard may go on."""
        if isinstance(error, RetryLater):
            self._waiting_at[topic] = message.offset()
            return False
        cause, policy, may_retry = self._judge(topic, message, error)
        position = Position(topic, self.partition, message.offset())
        if may_retry and self._tries_again(position, cause):
            self._waiting_at[topic] = message.offset()
            return False
        if policy in _STOPPING:
            self.failure = ShardFailure(position, cause)
            return False
        is_follower = isinstance(cause, KeyParked)
        if not is_follower and (why := self._letters.why_not(topic, position.offset)) is not None:
            self.failure = ShardFailure(position, TooManySetAside(why, explain(cause)))
            return False
        parked = self._note_parked(position, message, policy) if self._parked is not None else None
        name, letters = self._plan.name, self._plan.dead_letter_topic
        if policy == "drop":
            drop(position, cause, processor=name)
            unit.dropped += 1
            return True
        letter = set_aside(
            letters,
            position,
            message,
            cause,
            processor=name,
            now=self._now(),
            time=self._verdicts.time_of(topic, position.offset),
            attempts=0 if is_follower else max(self._retries.attempts(topic, position.offset), 1),
            parked=parked,
        )
        unit.outputs.append(letter)
        unit.dead_letters += 1
        return True

    def _note_parked(self, position: Position, message: Message, policy: Policy) -> Parked | None:
        """Have the key of a record parked that is set aside, or let it go if nothing is to wait for it."""
        assert self._parked is not None, "asked for only where keys are parked"
        redriven = message if isinstance(message, Redriven) else None
        if policy == "park-key":
            return self._parked.park(message, redriven.sent.origin if redriven is not None else position)
        if redriven is not None:
            self._parked.settle(redriven)
        return None

    def _tries_again(self, position: Position, cause: Exception) -> bool:
        """Whether the handler is called for a failed record again, after a while."""
        wait_s = self._retries.again(position.topic, position.offset)
        if wait_s is None:
            return False
        attempt = self._retries.attempts(position.topic, position.offset)
        put_off(position, cause, processor=self._plan.name, attempt=attempt, wait_s=wait_s)
        return True

    def _judge(self, topic: str, message: Message, error: Exception) -> tuple[Exception, Policy, bool]:
        """Tell a record that cannot be decoded from a handler that raised.

        The fast decoder raises pydantic's own error, which a handler may raise as well;
        decoding is pure, so doing it again gives the answer and the classified cause.

        Returns:
            The cause, the policy, and whether another attempt may end otherwise.
        """
        if isinstance(error, (ValidationError, DecodeError)):
            try:
                decoder = self._plan.decoders[_input(topic, message)]
                decoder.decode(message.value(), message.headers(), message.key())
            except DecodeError as bad_record:
                return bad_record, self._plan.on_bad_record, False
        if isinstance(error, UnexpectedTombstone):
            return error, self._plan.on_bad_record, False
        if isinstance(error, KeyParked):
            return error, "park-key", False
        if isinstance(error, (StateError, LetterRefused)):
            # A stored value that the table's type does not fit: it is so for every record of the key.
            return error, "stop", False
        is_condemned = self._verdicts.is_condemned(topic, message.offset())
        return error, self._plan.on_error, not is_condemned

    def _encoded(self, table: str) -> list[tuple[bytes, bytes | None]]:
        """The changes of one table in bytes.

        Raises:
            StateError: the changelog cannot take one of them. The message names the key, and the records
                among which is the one that set it: looking for it when it is set would cost every record.
        """
        try:
            rows = self._tables[table].seal()
            self._tables[table].sealed(self._checked_size(rows), len(rows))
        except StateError as error:
            raise StateError(
                f"table {table!r} of {self._plan.name!r}, shard {self.partition}: {error}; "
                f"set by a record with this key, {self._open_range()}"
            ) from error
        return rows

    def _open_range(self) -> str:
        """The records that were handled since the last seal, in words."""
        begins = self._committed | self._sealed
        return " or ".join(
            f"of {topic}[{self.partition}] from offset {begins[topic]} to {end - 1}"
            for topic, end in self._positions.items()
            if end > begins[topic]
        )

    def _checked_size(self, rows: list[tuple[bytes, bytes | None]]) -> int:
        """Bytes of all keys and values.

        Raises:
            StateError: one is too large.
        """
        limit, total = self._plan.max_bytes, 0
        for key, value in rows:
            if value is not None:
                size = len(key) + len(value)
                if size > limit:
                    raise StateError(
                        f"key {key[:100]!r} and its value have {size:,} bytes, above the changelog's limit "
                        f"of {limit:,}; keep less under one key"
                    )
                total += size
        return total


def _input(topic: str, message: Message) -> str:
    """The input that a record is of, which was read from `topic`."""
    return message.sent.origin.topic if isinstance(message, Redriven) else topic
