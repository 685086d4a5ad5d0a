"""What becomes of a record that failed: another attempt, a dead letter, nothing, or its shard stops at it.

Most records fail when they are handled. Some do so only when their unit is on its way: an async handler
raises, or the brokers refuse what came of the record. The shard goes back then, and they are judged when they
come again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.engine.blame import explain
from holdfast.engine.classification import classify
from holdfast.engine.dead_letter import drop, put_off, set_aside
from holdfast.engine.failed_records import FailedRecords
from holdfast.engine.parking import ParkedKeys
from holdfast.engine.processor_plan import STOPPING, Policy, ProcessorPlan
from holdfast.engine.redriven import Parked, Redriven
from holdfast.engine.retries import RetryLater
from holdfast.engine.unit import Unit
from holdfast.errors import KeyParked, LetterRefused, OutputRefused, StoppedBySink, TooManySetAside
from holdfast.record import Message, Output, Position


@dataclass(frozen=True, slots=True)
class ShardFailure:
    """A shard stopped at a record; nothing was skipped.

    Attributes:
        position: the record that it stopped at, which is also where it will start again.
        cause: what was raised.
    """

    position: Position
    cause: Exception


Halt = RetryLater | ShardFailure
"""Why an input goes no further than a record: for now, or until somebody has looked at it."""


class ErrorHandler:
    """Judges the failed records of one shard by the processor's policies.

    Args:
        plan: what the processor's shards share.
        partition: the shard's number.
        failed: what is known of them.
        now: the time in milliseconds since the epoch, for dead letters.
    """

    def __init__(
        self, plan: ProcessorPlan, partition: int, failed: FailedRecords, now: Callable[[], int]
    ) -> None:
        self._plan = plan
        self._partition = partition
        self._failed = failed
        self._now = now

    def handle(self, topic: str, message: Message, error: Exception, unit: Unit) -> Halt | None:
        """Judge a record that was not handled.

        Args:
            topic: the input that it was read from.
            message: the record.
            error: what came out of the hot loop at it.
            unit: the worker's open unit; a dead letter is added to it.

        Returns:
            What its input waits for; None if it was set aside or dropped, and the shard may go on.
        """
        if isinstance(error, RetryLater):
            return error
        position = Position(topic, self._partition, message.offset())
        cause, policy, may_retry = classify(error, message, self._plan)
        is_condemned = self._failed.verdicts.is_condemned(topic, position.offset)
        if may_retry and not is_condemned and self._tries_again(position, cause):
            return RetryLater()
        if policy in STOPPING:
            return ShardFailure(position, cause)
        # What only waits behind a parked key says nothing about the processor.
        if not isinstance(cause, KeyParked) and (failure := self._too_many(position, cause)) is not None:
            return failure
        self._skip(position, message, cause, policy, unit)
        return None

    def refused(self, records: Sequence[tuple[Position, Exception]]) -> ShardFailure | None:
        """Count records that were set aside or dropped after they counted as handled.

        Args:
            records: those of one commit, each with why it was.

        Returns:
            Why their shard stops, if they were too many.
        """
        letters = self._failed.letters
        in_order = sorted(records, key=lambda it: letters.number_of(it[0].topic, it[0].offset))
        for count, (position, cause) in enumerate(in_order, 1):
            why = letters.refused(position.topic, position.offset)
            if why is not None:
                also = len(records) - count
                return ShardFailure(position, TooManySetAside(why, explain(cause), also))
        return None

    def _too_many(self, position: Position, cause: Exception) -> ShardFailure | None:
        """Count a record that is to be set aside or dropped; why its shard stops, if it is one too many."""
        why = self._failed.letters.why_not(position.topic, position.offset)
        return None if why is None else ShardFailure(position, TooManySetAside(why, explain(cause)))

    def failed(self, position: Position, cause: Exception) -> None:
        """Judge a record that comes again by this: it failed with `cause` after it was handed on."""
        if isinstance(cause, StoppedBySink) or not self._tries_again(position, cause):
            self._condemn(position, cause)

    def refuse(self, position: Position, refused: OutputRefused, now: int) -> None:
        """Judge a record that comes again by this: the brokers do not take what came of it.

        If it was its dead letter that they refuse, the shard stops at it; unless they refuse its time, which
        can be another one.

        Args:
            position: the record.
            refused: what they do not take.
            now: the time that its dead letter has if they refuse times, in milliseconds since the epoch.
        """
        verdicts, (topic, _, offset) = self._failed.verdicts, position
        is_letter = refused.topic == self._plan.dead_letter_topic
        is_dated = verdicts.time_of(topic, offset) is not None
        if refused.is_time:
            verdicts.date(topic, offset, now)
        if not is_letter:
            self._condemn(position, refused.stopping() if self._plan.on_error in STOPPING else refused)
        elif is_dated or not refused.is_time:
            self._condemn(position, LetterRefused(refused))

    def _condemn(self, position: Position, cause: Exception) -> None:
        """Judge a record that comes again as if its handler had raised `cause`."""
        self._failed.verdicts.condemn(position.topic, position.offset, cause)

    def _tries_again(self, position: Position, cause: Exception) -> bool:
        """Whether the handler is called for a failed record again, after a while."""
        retries = self._failed.retries
        wait_s = retries.again(position.topic, position.offset)
        if wait_s is None:
            return False
        attempt = retries.attempts(position.topic, position.offset)
        put_off(position, cause, processor=self._plan.name, attempt=attempt, wait_s=wait_s)
        return True

    def _skip(
        self, position: Position, message: Message, cause: Exception, policy: Policy, unit: Unit
    ) -> None:
        """Drop a record, or set it aside with its key parked or not."""
        keys = self._failed.parked
        parked = _note_parked(keys, position, message, policy) if keys is not None else None
        if policy == "drop":
            drop(position, cause, processor=self._plan.name)
            unit.dropped += 1
            return
        unit.outputs.append(self._letter(position, message, cause, parked))
        unit.dead_letters += 1

    def _letter(
        self, position: Position, message: Message, cause: Exception, parked: Parked | None
    ) -> Output:
        place = position.topic, position.offset
        is_follower = isinstance(cause, KeyParked)
        return set_aside(
            self._plan.dead_letter_topic,
            position,
            message,
            cause,
            processor=self._plan.name,
            now=self._now(),
            time=self._failed.verdicts.time_of(*place),
            attempts=0 if is_follower else max(self._failed.retries.attempts(*place), 1),
            parked=parked,
        )


def _note_parked(keys: ParkedKeys, position: Position, message: Message, policy: Policy) -> Parked | None:
    """Have the key of a record parked that is set aside, or let it go if nothing is to wait for it."""
    redriven = message if isinstance(message, Redriven) else None
    if policy == "park-key":
        return keys.park(message, redriven.sent.origin if redriven is not None else position)
    if redriven is not None:
        keys.settle(redriven)
    return None
