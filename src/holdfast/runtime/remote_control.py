"""Lets operators force the breakers of a worker from anywhere, and tells them how these are.

The medium is a topic of the cluster, as operators work on other machines than workers: see
`holdfast.engine.breaker_log` for what stands there. A thread follows it with a plain consumer, obeys the last
order of each sink, and reports: each change at once, and else as seldom as is of use. Nothing else depends on
it: without the topic or the brokers breakers do what they do by themselves, or what they were told last.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from threading import Event, Thread
from typing import Any, Final, Protocol

from holdfast.engine.breaker_log import BreakerLog, Report, Standing, key_of, told, value_of
from holdfast.errors import HoldfastError
from holdfast.log_limit import LogLimit
from holdfast.record import Message
from holdfast.resilience import CircuitState
from holdfast.runtime.breaker_view import record_of
from holdfast.runtime.guarded_sink import SinkGate
from holdfast.runtime.guards import Guard

log = logging.getLogger(__name__)
log.addFilter(LogLimit(log, lambda record: str(record.msg), most=3, seconds=60.0))

BEGIN_S: Final = 5.0
"""Seconds that a worker's first records wait for the orders that were given before it began."""

TROUBLED_S: Final = 5.0
"""Seconds from one report of a breaker to the next while it is not closed, or shards wait for it."""

QUIET_S: Final = 30.0
"""The same while all is well."""

_LOOK_S: Final = 0.25
_RETRY_S: Final = 5.0
_CLOSE_S: Final = 2.0
_TEXT: Final = 500
"""Characters that are reported of what a system said."""


class Controls(Protocol):
    """The topic; see `holdfast.kafka.control_log.ControlLog`."""

    def read(self, wait: float) -> tuple[list[Message], bool]:
        """Return records as they come, and whether the end was reached with them."""

    def write(self, key: bytes, value: bytes | None) -> None:
        """Send a record."""

    def flush(self, timeout: float) -> None:
        """Wait until what was sent is acknowledged."""

    def close(self) -> None:
        """Let go of the clients."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whose breakers they are.

    Attributes:
        processor: the processor.
        slot: the worker's slot.
        host: its machine.
        pid: its process.
    """

    processor: str
    slot: str
    host: str
    pid: int


@dataclass(slots=True)
class _Told:
    """What was reported of a breaker last.

    Attributes:
        news: what a change of is reported at once.
        due: when the next report is due without one.
    """

    news: tuple[Any, ...] = ()
    due: float = 0.0


@dataclass(slots=True)
class _Watched:
    """A breaker, what it was told, and what was told of it."""

    guard: Guard
    obeyed: Standing | None = None
    told: _Told = field(default_factory=_Told)


class RemoteControl:
    """Follows the orders for the breakers behind a gate, and reports them, on a thread of its own.

    Args:
        who: whose breakers they are.
        connect: opens the topic.
        clock: seconds that never go back.
        now: the time of day, for orders that end by themselves.
    """

    def __init__(
        self,
        who: Source,
        connect: Callable[[], Controls],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._who = who
        self._connect = connect
        self._clock = clock
        self._now = now
        self._ended = Event()
        self._thread: Thread | None = None

    def start(self, gate: SinkGate) -> None:
        """Begin to control a gate, which is let go when it is known what was forced, or cannot be."""
        self._thread = Thread(target=self._run, args=(gate,), name="remote-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; the reports are withdrawn if the brokers take that soon."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _run(self, gate: SinkGate) -> None:
        watched = [_Watched(guard) for guard in gate.guards]
        try:
            while not self._ended.is_set():
                try:
                    self._follow(gate, watched)
                except Exception as error:
                    # No fault of this may end the worker, whatever it is.
                    known = isinstance(error, HoldfastError)
                    log.warning("breakers cannot be controlled now: %s", error, exc_info=not known)
                    gate.let_go()
                    self._ended.wait(_RETRY_S)
        finally:
            gate.let_go()

    def _follow(self, gate: SinkGate, watched: list[_Watched]) -> None:
        """Follow the topic from its beginning until `close`.

        Raises:
            ClusterError: it cannot be followed any further.
        """
        began, is_known = self._clock(), False
        for each in watched:
            each.told = _Told()
        with contextlib.closing(self._connect()) as controls:
            state = BreakerLog()
            while not self._ended.is_set():
                records, is_end = controls.read(_LOOK_S)
                for record in records:
                    state.take(record_of(record))
                is_known = is_known or is_end
                if is_known:
                    self._obey(state, watched)
                    self._report(gate, watched, controls)
                    self._forget(state, controls)
                if is_known or self._clock() - began > BEGIN_S:
                    gate.let_go()
            self._withdraw(watched, controls)

    def _obey(self, state: BreakerLog, watched: list[_Watched]) -> None:
        now = self._time()
        for each in watched:
            guard = each.guard
            order = state.order_for(guard.sinks, now)
            if order == each.obeyed:
                continue
            each.obeyed = order
            if order is None:
                text = _why_released(state.last_order(guard.sinks))
                guard.breaker.close(text)
            else:
                text = told(order)
                enter = guard.breaker.force_open if order.order.mode == "open" else guard.breaker.observe_only
                enter(text)
            log.warning("the breaker of %s is %s", ", ".join(guard.sinks), text)

    def _report(self, gate: SinkGate, watched: list[_Watched], controls: Controls) -> None:
        paused, pause, trouble, clock = gate.paused, gate.pause_s, gate.reason, self._clock()
        # What is shut for a moment between two calls that pass is no breaker's doing, if one is not closed.
        blamed = [each for each in watched if not _passes(each.guard)] or watched
        for each in watched:
            waiting = paused if each in blamed else ()
            rest = pause if waiting else None
            last = each.guard.last
            news = (last and last.generation, last and last.at, waiting, each.obeyed)
            if news == each.told.news and clock < each.told.due:
                continue
            report = self._report_of(each, waiting, rest, trouble)
            controls.write(key_of(report), value_of(report))
            each.told = _Told(news, clock + report.every_s)

    def _report_of(
        self, each: _Watched, paused: tuple[int, ...], pause: float | None, trouble: str
    ) -> Report:
        guard, who = each.guard, self._who
        seen = guard.breaker.snapshot()
        is_well = seen.state is CircuitState.CLOSED and not paused
        wait = guard.wait_s
        return Report(
            processor=who.processor,
            slot=who.slot,
            host=who.host,
            pid=who.pid,
            sinks=guard.sinks,
            state=seen.state,
            state_s=seen.state_s,
            wait_s=wait if isfinite(wait) else None,
            pause_s=pause,
            calls=seen.calls,
            failure_rate=seen.failure_rate,
            slow_call_rate=seen.slow_call_rate,
            succeeded=seen.succeeded,
            failed=seen.failed,
            refused=seen.refused,
            reason=guard.reason[:_TEXT],
            trouble=trouble[:_TEXT],
            paused=paused,
            order=each.obeyed.offset if each.obeyed is not None else None,
            every_s=QUIET_S if is_well else TROUBLED_S,
        )

    def _forget(self, state: BreakerLog, controls: Controls) -> None:
        """Delete what workers told that are gone for good; whoever sees it first does it."""
        for key in state.forgotten(self._time()):
            controls.write(key, None)
            del state.reports[key]

    def _withdraw(self, watched: list[_Watched], controls: Controls) -> None:
        """Nobody is to wait for a worker that ended in good order."""
        for each in watched:
            if each.told.news:
                controls.write(key_of(self._report_of(each, (), None, "")), None)
        controls.flush(_CLOSE_S / 2)

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


def _passes(guard: Guard) -> bool:
    return guard.breaker.state in (CircuitState.CLOSED, CircuitState.DISABLED, CircuitState.METRICS_ONLY)


def _why_released(last: Standing | None) -> str:
    if last is None:
        return "released: its order was deleted"
    return told(last) if last.order.mode == "automatic" else "released: the time of its order is over"
