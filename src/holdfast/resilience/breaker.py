"""A circuit breaker for threads and tasks."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import CoroutineType, UnionType
from typing import Any, ParamSpec, TypeVar

from holdfast.errors import CircuitOpen, PolicyError
from holdfast.resilience.calls import is_awaited, name_of, not_done
from holdfast.resilience.checks import a_function, a_layer, kinds, named
from holdfast.resilience.machine import REFUSED, Machine
from holdfast.resilience.settings import BreakerSettings
from holdfast.resilience.states import CircuitState, Transition

P = ParamSpec("P")
T = TypeVar("T")

Listener = Callable[[Transition], object]
Kinds = type | UnionType | tuple["Kinds", ...]
"""What `isinstance` takes."""

_log = logging.getLogger("holdfast.resilience")


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """What a breaker is doing, all of one moment.

    Attributes:
        name: of the breaker.
        state: its state.
        state_s: for how many seconds it has been in it.
        wait_s: after how many seconds a call may pass; 0 if one may now, infinite while it is forced open.
        calls: how many calls are in its window.
        failure_rate: fraction of them that failed; None while they are fewer than `minimum_calls`.
        slow_call_rate: fraction of them that were slow; None likewise, and where nothing says what is slow.
        succeeded: calls over its whole life that succeeded,
        failed: that failed,
        slow: that were slow, failed or not,
        refused: that were not made because it was open,
        late: and whose results came when their state was over, and counted for nothing.
    """

    name: str
    state: CircuitState
    state_s: float
    wait_s: float
    calls: int
    failure_rate: float | None
    slow_call_rate: float | None
    succeeded: int
    failed: int
    slow: int
    refused: int
    late: int


class CircuitBreaker:
    """Refuses calls to a downstream that fails, and lets single ones through to see whether it is back.

    One breaker stands for one downstream and is shared by all that call it, from any thread and any event
    loop. `call` and `call_async` do everything; for calls of another shape, `acquire` a permit and give it
    back with exactly one of `succeed`, `fail` and `release`.

    Args:
        name: what it is called in errors, events and metrics.
        settings: when it opens and how it closes.
        failures: errors that count as failures of the downstream; whatever `isinstance` takes, as `ignored`.
        ignored: errors that say nothing about the downstream (a request that was wrong): counted for nothing.
            An error in neither is a success: the downstream answered.
        failed_result: tells an answer that is a failure, though nothing was raised (an HTTP status).
        listeners: called with every transition, in order, outside of all locks.
        clock: seconds that never go back.
        jitter: random numbers from 0 to 1.

    Raises:
        PolicyError: an argument is none of its kind.
    """

    def __init__(
        self,
        name: str,
        settings: BreakerSettings | None = None,
        *,
        failures: Kinds = (Exception,),
        ignored: Kinds = (),
        failed_result: Callable[[Any], bool] | None = None,
        listeners: Iterable[Listener] = (),
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if settings is not None:
            a_layer("settings", settings, BreakerSettings, "BreakerSettings(failure_rate=0.5)")
        kinds("failures", failures)
        kinds("ignored", ignored)
        if failed_result is not None:
            a_function("failed_result", failed_result, "takes an answer and tells whether it is a failure")
        self.name = named(name)
        self.settings = settings or BreakerSettings()
        self._failures = failures
        self._ignored = ignored
        self._failed_result = failed_result
        self._listeners = _checked(listeners)
        self._clock = clock
        # A call is never slower than for ever, so a breaker without slow calls needs no question of its own.
        self._slow_call_s = (
            self.settings.slow_call_s if self.settings.slow_call_s is not None else float("inf")
        )
        # Below this time a success needs no other look; an answer that has to be judged is never below it.
        self._plain_s = self._slow_call_s if failed_result is None else float("-inf")
        # Where no success has to be judged, none has to be timed: only the quick way of `Machine` is left.
        self._judges = self.settings.slow_call_s is not None or failed_result is not None
        self._machine = Machine(name, self.settings, clock(), jitter)
        self._lock = threading.Lock()
        self._telling = threading.Lock()

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function`, if the circuit lets it pass, and count its result.

        Raises:
            CircuitOpen: it was not called.
            PolicyError: it is a coroutine function.
            BaseException: what it raised itself.
        """
        era = self._machine.era
        if era is None or self._judges:
            return self._call_judged(function, *args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            self._judge(era.generation, error, 0.0)
            raise
        if type(result) is CoroutineType:
            raise not_done(result, function)
        if self._machine.era is era and self._clock() < era.until:
            era.note(None)
        else:
            self._count(era.generation, result, 0.0, self._clock())
        return result

    async def call_async(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await `function`, if the circuit lets it pass, and count its result.

        A call that is cancelled gives its permit back.

        Raises:
            CircuitOpen: it was not called.
            BaseException: what it raised itself.
        """
        era = self._machine.era
        if era is None or self._judges:
            return await self._call_judged_async(function, *args, **kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            self._judge(era.generation, error, 0.0)
            raise
        if self._machine.era is era and self._clock() < era.until:
            era.note(None)
        else:
            self._count(era.generation, result, 0.0, self._clock())
        return result

    def acquire(self) -> int:
        """Ask for a permit to call.

        Raises:
            CircuitOpen: the call must not be made now.
        """
        with self._lock:
            now = self._clock()
            permit = self._machine.admit(now)
            wait_s = self._machine.wait_s(now) if permit == REFUSED else 0.0
            state = self._machine.state
        self._tell()
        if permit == REFUSED:
            raise CircuitOpen(self.name, state.name, wait_s)
        return permit

    def succeed(self, permit: int, took_s: float) -> None:
        """Count a call that succeeded and took `took_s` seconds."""
        self._settle(permit, False, took_s, self._clock())

    def fail(self, permit: int, took_s: float) -> None:
        """Count a call that failed and took `took_s` seconds."""
        self._settle(permit, True, took_s, self._clock())

    def release(self, permit: int) -> None:
        """Give back the permit of a call that has no result."""
        with self._lock:
            self._machine.release(permit)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every transition from now on, in whatever thread it comes about.

        Raises:
            PolicyError: it is no function, or one that has to be awaited.
        """
        self._listeners.extend(_checked([listener]))

    def force_open(self, reason: str = "by order") -> None:
        """Refuse all calls until another order."""
        self._enter(CircuitState.FORCED_OPEN, reason)

    def disable(self, reason: str = "by order") -> None:
        """Let all calls pass and count nothing, until another order."""
        self._enter(CircuitState.DISABLED, reason)

    def observe_only(self, reason: str = "by order") -> None:
        """Let all calls pass, but count them and tell when the circuit would have opened."""
        self._enter(CircuitState.METRICS_ONLY, reason)

    def open(self, reason: str = "by order") -> None:
        """Open the circuit for its open time, as if too many calls had failed."""
        self._enter(CircuitState.OPEN, reason)

    def close(self, reason: str = "by order") -> None:
        """Close the circuit with an empty window, and forget how often it opened."""
        self._enter(CircuitState.CLOSED, reason)

    @property
    def state(self) -> CircuitState:
        """The present state. A circuit whose open time is over is OPEN until the next call asks."""
        return self._machine.state

    def wait_s(self) -> float:
        """After how many seconds a call may pass; 0 if one may now, infinite while it is forced open."""
        with self._lock:
            return self._machine.wait_s(self._clock())

    def snapshot(self) -> BreakerSnapshot:
        """What it is doing, all of one moment."""
        with self._lock:
            machine, now = self._machine, self._clock()
            failure_rate, slow_call_rate = machine.rates(now)
            return BreakerSnapshot(
                name=self.name,
                state=machine.state,
                state_s=now - machine.since,
                wait_s=machine.wait_s(now),
                calls=machine.window.calls,
                failure_rate=failure_rate,
                slow_call_rate=slow_call_rate,
                succeeded=machine.succeeded,
                failed=machine.failed,
                slow=machine.slow,
                refused=machine.refused,
                late=machine.late,
            )

    def _call_judged(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        machine = self._machine
        era = machine.era
        permit = era.generation if era is not None else machine.free or self.acquire()
        began = self._clock()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            self._judge(permit, error, began)
            raise
        if type(result) is CoroutineType:
            self.release(permit)
            raise not_done(result, function)
        ended = self._clock()
        if era is not None and machine.era is era and ended < era.until and ended - began < self._plain_s:
            era.note(None)
        elif self._failed_result is None:
            self._settle(permit, False, ended - began, ended)
        else:
            self._count(permit, result, began, ended)
        return result

    async def _call_judged_async(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        machine = self._machine
        era = machine.era
        permit = era.generation if era is not None else machine.free or self.acquire()
        began = self._clock()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            self._judge(permit, error, began)
            raise
        ended = self._clock()
        if era is not None and machine.era is era and ended < era.until and ended - began < self._plain_s:
            era.note(None)
        elif self._failed_result is None:
            self._settle(permit, False, ended - began, ended)
        else:
            self._count(permit, result, began, ended)
        return result

    def _count(self, permit: int, result: object, began: float, ended: float) -> None:
        failed = False if self._failed_result is None else self._is_failed(permit, result)
        self._settle(permit, failed, ended - began, ended)

    def _is_failed(self, permit: int, result: object) -> bool:
        assert self._failed_result is not None
        try:
            return bool(self._failed_result(result))
        except BaseException:
            # The question broke, so there is no result; a probe's place must not be lost.
            self.release(permit)
            raise

    def _judge(self, permit: int, error: BaseException, began: float) -> None:
        ended = self._clock()
        failed = isinstance(error, self._failures)
        # What is no Exception (cancelled, or the program ends) is no result either.
        if isinstance(error, self._ignored) or not (failed or isinstance(error, Exception)):
            self.release(permit)
        else:
            self._settle(permit, failed, ended - began, ended)

    def _settle(self, permit: int, failed: bool, took_s: float, now: float) -> None:
        with self._lock:
            self._machine.settle(permit, failed, took_s >= self._slow_call_s, now)
        if self._machine.transitions:
            self._tell()

    def _enter(self, state: CircuitState, reason: str) -> None:
        with self._lock:
            self._machine.enter(state, self._clock(), reason)
        self._tell()

    def _tell(self) -> None:
        # One thread tells at a time, so listeners see the order; who comes meanwhile leaves its news to that
        # one, which looks again after it has let go.
        transitions = self._machine.transitions
        while transitions and self._telling.acquire(blocking=False):
            try:
                while transitions:
                    self._tell_of(transitions.popleft())
            finally:
                self._telling.release()

    def _tell_of(self, transition: Transition) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(transition)
            except Exception:  # noqa: BLE001 - a listener is a guest: the call that it hears of goes on
                _log.exception("a listener of breaker %s failed on %s", self.name, transition)


def _checked(listeners: Iterable[Listener]) -> list[Listener]:
    """Refuse listeners that would not hear anything."""
    if callable(listeners) or not isinstance(listeners, Iterable):
        raise PolicyError(f"listeners must be functions in a list or tuple, not {listeners!r}")
    checked = list(listeners)
    for listener in checked:
        if not callable(listener):
            raise PolicyError(f"a listener is a function that takes a Transition, not {listener!r}")
        if is_awaited(listener):
            raise PolicyError(f"{name_of(listener)} is asynchronous, and a listener is not awaited")
    return checked
