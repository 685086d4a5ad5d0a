"""Commits of a processor with a sink, or an async handler: there first, then the positions on Kafka.

    the unit's writes -> stage -> its outputs, dead letters of what it refused, and the positions,
                                  in one Kafka transaction

If the second half fails, the same records come again: a sink that keeps positions leaves out what it has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from math import inf
from threading import Lock, Thread
from typing import Any, Final

from holdfast.engine.dead_letter import drop, set_aside
from holdfast.engine.redriven import Redriven
from holdfast.engine.unit import SealedUnit
from holdfast.errors import ClusterError, Fenced, SinkStuck
from holdfast.kafka.unit_writer import Ending, Outcome, UnitWriter
from holdfast.record import Output, Position, TopicPartition, known_as
from holdfast.runtime.commit import CommitPipeline, Finished
from holdfast.runtime.stage import Stage, Written
from holdfast.runtime.unit_end import PATIENCE_S, UnitEnd
from holdfast.sinks.base import Refusal, SinkBatch

log = logging.getLogger(__name__)

_GRACE_S: Final = 5.0
"""Seconds beyond twice its timeout after which a sink counts as stuck."""

_LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class StageProcessor:
    """Whose batches they are.

    Attributes:
        name: the processor's name.
        group: its consumer group.
        dead_letter_topic: where records go that the sink refuses.
        topic_id: the id of an input.
        drops: whether those records are dropped instead.
        stops: whether their shard stops at them instead; for a sink.
    """

    name: str
    group: str
    dead_letter_topic: str
    topic_id: Callable[[str], str | None]
    drops: bool = False
    stops: bool = False


class StagePipeline(CommitPipeline):
    """Sends sealed units through a stage, and then their positions to Kafka.

    Args:
        writer: writes outputs, dead letters and positions.
        stage: the sink, or what asks for it.
        processor: whose it is.
    """

    def __init__(self, writer: UnitWriter, stage: Stage, processor: StageProcessor) -> None:
        super().__init__(writer, {})
        self._stage = stage
        self._processor = processor
        self._letter_times: dict[Position, int] = {}
        self._is_stuck = False

    def send(self, outputs: list[Output]) -> None:
        """Nothing: a transaction that is open while a stage takes its time could come to its end."""

    def start(self, unit: SealedUnit, group_metadata: Any) -> None:
        """Begin to send a unit through the stage, and after that to commit it on Kafka."""
        assert self._end is None, "one commit at a time"
        batch = self._batch(unit)

        def commit(written: Written) -> Ending:
            outputs = [*unit.outputs, *written.outputs, *self._letters(written.refusals, batch)]
            return self._commit(unit, outputs, group_metadata)

        self._unit = unit
        self._end = _StageEnd(self._stage, batch, commit)

    def _commit(self, unit: SealedUnit, outputs: list[Output], group_metadata: Any) -> Ending:
        try:
            self._writer.begin()
            self._writer.send(outputs)
        except Fenced as error:
            # A rival in the same slot: the worker gives way to it, as it would at the commit.
            return Ending(Outcome.FENCED, str(error))
        except ClusterError as error:
            return Ending(Outcome.UNKNOWN, str(error))
        ending = UnitEnd(self._writer, unit.positions, group_metadata, PATIENCE_S).take(wait=None)
        assert ending is not None, "it waits until there is one"
        return ending

    def take(self, wait: float | None = 0.0) -> Finished | None:
        """Return the commit in flight if it has ended; see `CommitPipeline.take`.

        Raises:
            SinkDown: the sink did not take it; nothing was committed on Kafka, and the writer is as before.
            SinkFenced: a newer owner has written to it; likewise.
            SinkBehind: it has lost what it had taken; likewise.
            SinkError: it cannot be written to as it is declared; likewise.
            SinkStuck: it does not return.
            RecordFailed: a record failed, or is refused, that is not to be set aside; likewise.
        """
        end = self._end
        try:
            finished = super().take(wait)
        except BaseException as error:
            self._is_stuck = isinstance(error, SinkStuck)
            self._end = self._unit = None
            raise
        if finished is None or not isinstance(end, _StageEnd):
            return finished
        unit = finished.unit
        if finished.ending.outcome is Outcome.COMMITTED:
            self._forget_times(unit)
        refused = len(end.refusals)
        if self._processor.drops:
            unit = replace(unit, dropped=unit.dropped + refused)
        else:
            unit = replace(unit, dead_letters=unit.dead_letters + refused)
        return Finished(unit, finished.ending, end.refusals)

    def date_letter(self, position: Position, time: int) -> None:
        """Have the dead letter of a record that the stage refuses carry another time."""
        self._letter_times[position] = time

    def _forget_times(self, unit: SealedUnit) -> None:
        ends = unit.positions
        for at in [at for at in self._letter_times if at.offset < ends.get(TopicPartition(*at[:2]), 0)]:
            del self._letter_times[at]

    def close(self) -> None:
        """Let go of writer and stage. A commit in flight is waited for.

        Not of a stage that is stuck: it still writes, and its close may wait for that. The process ends.
        """
        try:
            if self._end is not None:
                self._end.take(wait=None)
        except SinkStuck as error:
            self._is_stuck = True
            log.info("%s", error)
        except Exception as error:  # noqa: BLE001 - of whatever it is, nothing was committed on Kafka
            log.info("%s", error)
        self._end = self._unit = None
        super().close()
        if not self._is_stuck:
            self._stage.close()

    def _batch(self, unit: SealedUnit) -> SinkBatch:
        begins = {place: at for part in unit.shards for place, at in part.begins.items()}
        fences = {place: part.fence for part in unit.shards for place in part.positions}
        topics = {place.topic for place in begins}
        # Those of redriven records are told by where they were read first.
        topics |= {known_as(it.message).topic for it in unit.writes if isinstance(it.message, Redriven)}
        return SinkBatch(
            group=self._processor.group,
            writes=unit.writes,
            begins=begins,
            ends=unit.positions,
            fences=fences,
            topic_ids={topic: self._processor.topic_id(topic) for topic in topics},
            stops_at_refusal=self._processor.stops,
        )

    def _letters(self, refusals: Sequence[Refusal], batch: SinkBatch) -> list[Output]:
        messages = {write.position: write.message for write in batch.writes} if refusals else {}
        topic, name = self._processor.dead_letter_topic, self._processor.name
        letters = []
        for each in refusals:
            position, error = each.position, each.error
            if self._processor.drops:
                drop(position, error, processor=name)
                continue
            time_of_letter = self._letter_times.get(position)
            letters.append(
                set_aside(
                    topic,
                    position,
                    messages[position],
                    error,
                    processor=name,
                    now=int(time.time() * 1000),
                    time=time_of_letter,
                    attempts=each.attempts,
                )
            )
        return letters


class _StageEnd:
    """A unit on its way through the stage, and then to Kafka, from the moment that this is made.

    Args:
        stage: where its writes go.
        batch: its writes.
        commit: commits it on Kafka, with what came of it; ends by itself.

    Attributes:
        refusals: records that were refused; known at the end.
    """

    def __init__(self, stage: Stage, batch: SinkBatch, commit: Callable[[Written], Ending]) -> None:
        self.refusals: Sequence[Refusal] = ()
        self._stage = stage
        self._batch = batch
        self._commit = commit
        self._lock = Lock()
        # Once for a connection, and once for the batch.
        self._stuck_at = time.monotonic() + 2 * stage.timeout + _GRACE_S
        self._is_stuck = False
        self._ending: Future[Ending] = Future()
        # A daemon: a sink that hangs must not hold up our exit.
        Thread(target=self._run, name="sink", daemon=True).start()

    def take(self, wait: float | None = 0.0) -> Ending | None:
        """Return the end if it has come.

        Args:
            wait: seconds to wait for it; None waits for it, or until the sink counts as stuck.

        Raises:
            SinkError: the sink did not take the unit.
            SinkStuck: the sink does not return.
        """
        until = inf if wait is None else time.monotonic() + wait
        while not self._ending.done():
            now = time.monotonic()
            self._check_stuck(now)
            if now >= until:
                return None
            wait_for([self._ending], min(until - now, _LOOK_S))
        return self._ending.result()

    def _check_stuck(self, now: float) -> None:
        with self._lock:
            self._is_stuck = now > self._stuck_at
        if self._is_stuck:
            raise SinkStuck(
                f"sink {self._stage.name!r} did not return for {2 * self._stage.timeout + _GRACE_S:g} s, "
                f"though its timeout is {self._stage.timeout:g} s. This process ends, for another to begin "
                "anew. A sink of your own has to end each call to its system in time, and an async handler "
                "must not block"
            )

    def _is_for_stage(self) -> bool:
        """Whether the stage has to know of it: records without writes cost most sinks nothing."""
        batch = self._batch
        if batch.writes or not self._stage.keeps_positions:
            return bool(batch.writes)
        return any(end > batch.begins[place] for place, end in batch.ends.items())

    def _run(self) -> None:
        try:
            written = self._stage.write(self._batch) if self._is_for_stage() else Written()
            with self._lock:
                if self._is_stuck:
                    return
                self._stuck_at = inf
            self.refusals = written.refusals
            self._ending.set_result(self._commit(written))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the end is taken
            self._ending.set_exception(error)
