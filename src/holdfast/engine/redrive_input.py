"""The redrive topic as an input of a shard: dead letters that come back, each handled when it is its turn.

See `engine.redriven` for what is in its records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from holdfast.engine.error_handler import ErrorHandler, Halt
from holdfast.engine.failed_records import FailedRecords
from holdfast.engine.input_loops import InputLoops
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.redriven import Hold, Redriven, read_redriven
from holdfast.engine.retries import RetryLater
from holdfast.engine.unit import Unit
from holdfast.errors import KeyParked
from holdfast.record import Message, Position

LONGEST_HOLD_MS: Final = 10_000
"""For so long a shard reads its inputs no further when it is asked to; whoever asks may be gone."""


class RedriveInput:
    """Handles the redriven records of one shard.

    Args:
        plan: what the processor's shards share.
        loops: handle a record whose turn it is.
        errors: judges a record that fails again.
        failed: what is known of the shard's failed records.
        now: the time in milliseconds since the epoch.
    """

    def __init__(
        self,
        plan: ProcessorPlan,
        *,
        loops: InputLoops,
        errors: ErrorHandler,
        failed: FailedRecords,
        now: Callable[[], int],
    ) -> None:
        self._plan = plan
        self._loops = loops
        self._errors = errors
        self._failed = failed
        self._now = now
        self._held_until = 0

    @property
    def is_holding(self) -> bool:
        """Whether the shard is to read its other inputs no further for now."""
        return bool(self._held_until) and self._now() < self._held_until

    def handle(
        self, topic: str, messages: Sequence[Message], muted: int, unit: Unit
    ) -> tuple[int, Halt | None]:
        """Handle records that were given back to this processor, and pass those for others.

        Args:
            topic: the redrive topic.
            messages: its records, oldest first.
            muted: how many of them were handled by the version that was live: this one has handled what they
                were.
            unit: the worker's open unit.

        Returns:
            How many are done with, and why the next one is not.

        Raises:
            StoreError: the local store cannot be read.
        """
        outputs = self._plan.results_of(unit)
        done = len(messages) if self._plan.is_shadow else muted
        for message in messages[done:]:
            if self._failed.retries.waits(topic, message.offset()):
                return done, RetryLater()
            record = read_redriven(message, self._plan.name)
            if isinstance(record, Hold):
                self._held_until = self._now() + min(record.ms, LONGEST_HOLD_MS)
            elif record is not None and (halt := self._redo(topic, record, unit, outputs)) is not None:
                return done, halt
            done += 1
        return done, None

    def _redo(self, topic: str, record: Redriven, unit: Unit, outputs: list[Any]) -> Halt | None:
        """Handle a redriven record if it is its turn; why its input goes no further, if it does not."""
        keys = self._failed.parked
        if keys is not None:
            turn = keys.judge(record)
        else:
            turn = "leave out" if record.sent.is_discarded else "handle"
        if turn == "leave out":
            return None
        error = turn if isinstance(turn, KeyParked) else self._loops.run_redriven(topic, record, outputs)
        if error is not None:
            halt = self._errors.handle(topic, record, error, unit)
            if halt is not None:
                return halt
        elif keys is not None:
            keys.settle(record)
        unit.records += 1
        unit.last = Position(topic, record.partition(), record.offset())
        return None
