"""Runs async handlers: many records at once, in the order of each key, on an event loop of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from holdfast.engine.asking import AskingHandler
from holdfast.errors import HandlerError, RecordFailed, SinkDown, SinkError, SinkRefused
from holdfast.record import Output, Position, TopicPartition
from holdfast.resilience import BreakerSettings
from holdfast.runtime.asked_systems import AskedSystems
from holdfast.runtime.guards import Guard
from holdfast.runtime.outages import outage_of
from holdfast.runtime.stage import Written
from holdfast.sinks.base import Downstream, Refusal, SinkBatch
from holdfast.sinks.handler_time import HANDLER_TIME, HandlerTime
from holdfast.sinks.identity import identity_of
from holdfast.sinks.keyed import KeyedWork, RecordWrites
from holdfast.sinks.progress import Progress

_BEGIN_WITHIN: Final = 0.5
"""Of the timeout: after that no more records of a batch are begun, so that the last ones end in time."""

_CUTS: Final = 3
"""How often a record's handler may take too long, with no sign of an outage, before the record is judged."""

Failing = Literal["refuse", "stop", "again"]
"""What an async handler's failure is: a refused record, or a reason to stop its shard, or to try again."""


@dataclass(frozen=True, slots=True)
class _Handled:
    """What came of one record."""

    outputs: list[Output]
    refusal: Refusal | None = None


class AskingStage:
    """The async handler of a processor, and the systems that it asks.

    What was done of a batch that has to come again is remembered, and not asked for again.

    Args:
        handler: the handler.
        downstreams: what it asks, by name.
        on_error: what becomes of a record whose handler fails.
        timeout: seconds that the handler may take for one record.
        settings: of the breakers of those that have none of their own, by name; a batch is one call of each.

    Attributes:
        name: of the systems.
        timeout: see above.
        took_s: seconds that the last batch took that came to its end.
        keeps_positions: no: what makes no call is nothing to it.
        guards: the breakers of these systems, one of each.
    """

    def __init__(
        self,
        handler: AskingHandler,
        downstreams: Mapping[str, Downstream],
        on_error: Failing,
        timeout: float,
        settings: Mapping[str, BreakerSettings],
    ) -> None:
        self.name = ", ".join(downstreams)
        self.timeout = timeout
        self.took_s = 0.0
        self.keeps_positions = False
        self._handler = handler
        self._downstreams = dict(downstreams)
        self._on_error = on_error
        concurrent = max(each.concurrent for each in downstreams.values())
        self._systems = AskedSystems(downstreams, settings)
        self.guards: Sequence[Guard] = self._systems.guards
        self._work: KeyedWork[_Handled] = KeyedWork(self.name, concurrent, _BEGIN_WITHIN * timeout)
        self._failures: Progress[Exception] = Progress()
        self._cuts: Progress[int] = Progress()
        self._has_outage = False

    def write(self, batch: SinkBatch) -> Written:
        """Handle the events of a batch; see `Stage.write`."""
        return self._systems.call(lambda: self._write(batch))

    def _write(self, batch: SinkBatch) -> Written:
        began = time.monotonic()
        self._failures.begin(batch)
        self._cuts.begin(batch)
        self._has_outage = False

        async def handle(record: RecordWrites) -> _Handled:
            return await self._handle(record, batch)

        done = self._work.run(batch, handle)
        self.took_s = time.monotonic() - began
        refusals = [each.refusal for each in done if each.refusal is not None]
        return Written(refusals, [output for each in done for output in each.outputs])

    async def _handle(self, record: RecordWrites, batch: SinkBatch) -> _Handled:
        position = record.position
        if self._failures.has(position):
            # Found once, in a batch of which another record failed, too.
            raise RecordFailed(position, self._failures.result(position))
        identity = identity_of(batch, record.message)
        clients = self._systems.clients(identity)
        fence = batch.fences.get(TopicPartition(position.topic, position.partition), 0)
        try:
            async with asyncio.timeout(self.timeout) as limit:
                HANDLER_TIME.set(HandlerTime(limit, self.timeout))
                return _Handled(await self._handler.handle(record.writes[0], clients, fence))
        except BaseException as error:  # noqa: BLE001 - a handler's own CancelledError, for one
            if (outage := outage_of(error, self.name)) is not None:
                self._has_outage = True
                self._systems.note(outage, clients)
                raise outage from outage.__cause__
            if isinstance(error, TimeoutError) and limit.expired():
                return self._cut(position, error, clients)
            return self._judge(position, error)

    def _cut(self, position: Position, error: TimeoutError, clients: Mapping[str, Any]) -> _Handled:
        """Judge a handler that took too long: a system may be away that does not say so, or it is the record.

        Raises:
            SinkDown: it is to be tried again.
            RecordFailed: it was often enough, and the record is not to be set aside.
        """
        cut = SinkDown(
            f"the handler was not done with {position} within {self.timeout:g} s; it asks {self.name}"
        )
        cut.__cause__ = error
        self._systems.note(cut, clients)
        if self._has_outage or self._systems.are_in_trouble:
            raise cut
        times = 1 + self._cut_before(position)
        self._cuts.note({position: times})
        if times < _CUTS:
            raise cut
        reason = HandlerError(
            f"the handler took more than {self.timeout:g} s for this record {times} times, with no sign that "
            f"{self.name} is down"
        )
        reason.__cause__ = error
        return self._failed(position, reason, times)

    def _cut_before(self, position: Position) -> int:
        """How often the handler was cut for a record, with no sign of an outage."""
        return self._cuts.result(position) if self._cuts.has(position) else 0

    def _judge(self, position: Position, error: BaseException) -> _Handled:
        """Tell mistakes from what the policy judges: whatever else a handler raises."""
        if isinstance(error, SinkError) and not isinstance(error, SinkRefused):
            raise error
        attempts = 1 + self._cut_before(position)
        if isinstance(error, Exception):
            return self._failed(position, error, attempts)
        reason = HandlerError(f"the handler raised {type(error).__name__}: {error}")
        reason.__cause__ = error
        return self._failed(position, reason, attempts)

    def _failed(self, position: Position, error: Exception, attempts: int) -> _Handled:
        if self._on_error == "refuse":
            return _Handled([], Refusal(position, error, attempts))
        if self._on_error == "stop":
            self._failures.note({position: error})
        raise RecordFailed(position, error)

    def close(self) -> None:
        """Let go of connections and thread."""
        self._work.close(*(each.close() for each in self._downstreams.values()))
