"""A shard in memory: the engine's task, its store, and the commit between them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.shard import ShardTask
from holdfast.engine.unit import Unit
from holdfast.errors import SinkError
from holdfast.record import Message, Output, Write
from holdfast.testing.memory_log import MemoryLog
from holdfast.testing.memory_store import MemoryStore

Asks = Callable[[Write, int], list[Output]]
"""Handles an event, for an owner with this fencing token."""

BATCH = 10_000
"""Records of one input in one unit, so that a long log is not encoded in one piece."""


class MemoryShard:
    """One shard of one processor, reading and writing a `MemoryLog`.

    Args:
        plan: the processor.
        partition: the shard's number.
        log: all topics.
        asks: runs an async handler.

    Attributes:
        written: what went to the processor's sink, if it has one.
    """

    def __init__(self, plan: ProcessorPlan, partition: int, log: MemoryLog, asks: Asks | None = None) -> None:
        self.plan = plan
        self._asks = asks
        self._partition = partition
        self._log = log
        self._store = MemoryStore()
        self.written: list[Write] = []
        self._owners = 1
        self.task = ShardTask(plan, partition, self._store, dict.fromkeys(plan.inputs, 0), fence=self._owners)

    @property
    def lag(self) -> int:
        """Number of records that are left to handle."""
        return sum(self._lag(topic) for topic in self.plan.inputs)

    def work(self) -> None:
        """Handle everything that is there, one input after the other."""
        for topic in self.plan.inputs:
            while self._lag(topic):
                self.work_on(topic, BATCH)

    def work_some(self, rng: random.Random, *, crash: bool) -> None:
        """Handle a few records of one input, both as chosen by `rng`.

        Args:
            rng: the source of chance.
            crash: abort instead of committing, and let a new task take the shard over.
        """
        topic = rng.choice([topic for topic in self.plan.inputs if self._lag(topic)])
        self.work_on(topic, rng.randint(1, 5), crash=crash)

    def work_on(self, topic: str, limit: int, *, crash: bool = False) -> None:
        """Handle up to `limit` records of one input in one unit.

        Raises:
            Exception: what a handler raised, if that stops the shard.
        """
        unit, task = Unit(), self.task
        if self._asks is not None:
            limit = 1  # what it asked for one is not asked for again when the next one fails
        messages = self._log.read(topic, self._partition, task.positions[topic], limit)
        task.hurry()
        task.handle(topic, messages, unit)
        if self._asks is not None:
            unit = self._ask(self._asks, topic, messages, unit)
        if crash:
            self._owners += 1
            positions = task.committed_positions
            self.task = ShardTask(self.plan, self._partition, self._store, positions, fence=self._owners)
            return
        sealed = task.seal()
        for output in unit.outputs:
            self._log.append(output)
        self.written += unit.writes
        self._store.apply(sealed.changes, {})
        task.committed()
        if task.failure is not None:
            cause = task.failure.cause
            cause.add_note(f"processor {self.plan.name!r} stopped at {task.failure.position}")
            raise cause

    def _ask(self, asks: Asks, topic: str, messages: Sequence[Message], unit: Unit) -> Unit:
        """Handle what waits for the async handler; a record that fails is judged when it comes again."""
        while unit.writes:
            write = unit.writes.pop(0)
            try:
                unit.outputs += asks(write, self._owners)
            except Exception as error:
                self.task.reset()
                if isinstance(error, SinkError):
                    error.add_note(f"processor {self.plan.name!r} stopped at {write.position}")
                    raise
                self.task.failed(write.position, error)
                self.task.hurry()
                unit = Unit()
                self.task.handle(topic, messages, unit)
        return unit

    def _lag(self, topic: str) -> int:
        return self._log.end(topic, self._partition) - self.task.positions[topic]
