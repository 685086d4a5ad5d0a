"""The breakers of systems that async handlers ask and that have none of their own.

A batch is one call of each of them. Which one an outage comes from is told by where it was raised: a client's
methods, or its system's, are in the traceback. An outage that is nobody's counts for no breaker: the gate
before the inputs has pauses of its own.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, TypeVar

from holdfast.errors import CircuitOpen, SinkDown, SinkSlow
from holdfast.resilience import BreakerSettings
from holdfast.runtime.guards import Guard
from holdfast.runtime.outages import NotCalled, batch_breaker
from holdfast.sinks.base import Downstream

T = TypeVar("T")


class AskedSystems:
    """The systems that a processor's handler asks.

    Args:
        downstreams: by name.
        settings: of the breakers, by name; those that have a breaker of their own need none.

    Attributes:
        guards: a breaker for each, its own or ours, in their order.
    """

    def __init__(
        self, downstreams: Mapping[str, Downstream], settings: Mapping[str, BreakerSettings]
    ) -> None:
        self._downstreams = dict(downstreams)
        self._ours = {
            name: batch_breaker(name, settings[name])
            for name, each in downstreams.items()
            if each.breaker is None
        }
        self._away: set[str] = set()
        self._failed = 0
        self.guards = [Guard([name], each.breaker or self._ours[name]) for name, each in downstreams.items()]

    @property
    def are_in_trouble(self) -> bool:
        """Whether a breaker refuses calls now, or has counted failed ones since the batch began."""
        return self._count_failed() > self._failed or any(guard.wait_s > 0 for guard in self.guards)

    def clients(self, identity: str) -> dict[str, Any]:
        """What a handler asks with for one record, by name."""
        return {name: each.client_for(identity) for name, each in self._downstreams.items()}

    def call(self, work: Callable[[], T]) -> T:
        """Work on a batch if the breakers let it pass, and count how it ended.

        Raises:
            SinkDown: a breaker does not; or `work` raised it.
            BaseException: what `work` raised.
        """
        self._away.clear()
        self._failed = self._count_failed()
        permits = self._acquire()
        began, has_answered = time.monotonic(), False
        try:
            result = work()
            has_answered = True
        except SinkDown:
            # It did not get to all that it was to ask.
            raise
        except Exception:
            has_answered = True
            raise
        finally:
            self._settle(permits, has_answered, time.monotonic() - began)
        return result

    def note(self, error: SinkDown, clients: Mapping[str, Any]) -> None:
        """A handler met an outage: whichever system raised it is away.

        Args:
            error: the outage, or that its handler was cut.
            clients: what the handler asked with.
        """
        if isinstance(error, (SinkSlow, NotCalled)):
            return
        sole = next(iter(clients)) if len(clients) == 1 else None
        found = self._raised_by(error, clients) or sole
        if found is not None:
            self._away.add(found)

    def _count_failed(self) -> int:
        return sum(guard.breaker.snapshot().failed for guard in self.guards)

    def _raised_by(self, error: SinkDown, clients: Mapping[str, Any]) -> str | None:
        owners = {id(each): name for name, each in self._downstreams.items()}
        owners |= {id(each): name for name, each in clients.items()}
        return next((owners[id(each)] for each in _selves(error) if id(each) in owners), None)

    def _acquire(self) -> dict[str, int]:
        permits: dict[str, int] = {}
        for name, breaker in self._ours.items():
            try:
                permits[name] = breaker.acquire()
            except CircuitOpen as error:
                for known, permit in permits.items():
                    self._ours[known].release(permit)
                raise SinkDown(f"{name!r}: {error}", error.wait_s) from error
        return permits

    def _settle(self, permits: Mapping[str, int], has_answered: bool, took_s: float) -> None:
        for name, permit in permits.items():
            if name in self._away:
                self._ours[name].fail(permit, took_s)
            elif has_answered:
                self._ours[name].succeed(permit, took_s)
            else:
                self._ours[name].release(permit)


def _selves(error: BaseException) -> Iterator[object]:
    """The objects whose methods an error came through, the innermost first; then those of its causes."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        frames = [frame for frame, _ in traceback.walk_tb(one.__traceback__)]
        yield from (_self_of(frame) for frame in reversed(frames))
        left += [one.__context__, one.__cause__]


def _self_of(frame: FrameType) -> object:
    """The object whose method a frame is of; None if it is of a function."""
    code = frame.f_code
    first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
    # A function may be given a client first, too.
    return first if hasattr(type(first), code.co_name) else None
