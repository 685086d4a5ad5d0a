"""Time as a budget that is passed down a call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import CoroutineType
from typing import ParamSpec, TypeVar

from holdfast.errors import CallTimeout
from holdfast.resilience.calls import not_done
from holdfast.resilience.checks import named, positive

P = ParamSpec("P")
T = TypeVar("T")

_deadline: ContextVar[float] = ContextVar("holdfast_deadline", default=float("inf"))


def time_left(limit_s: float = float("inf")) -> float:
    """How many seconds the running call has left, at most `limit_s`; 0 when its time is over.

    A client's own timeout is set from it: `httpx.get(url, timeout=time_left(5))`.
    """
    return max(0.0, min(limit_s, _deadline.get() - time.monotonic()))


class Timeout:
    """Gives a call a time, and cuts an asyncio call that takes longer.

    A thread cannot be stopped from outside. So `call` sets the deadline that `time_left` tells, and
    whatever the call waits with (a socket, a database driver) must be given that as its own timeout; every
    sink of Holdfast does. An answer that comes in spite of it is an answer. Deadlines nest: the nearest one
    holds.

    Args:
        name: what it is called in errors.
        seconds: how long a call may take.

    Raises:
        PolicyError: `seconds` is not above 0.
    """

    def __init__(self, name: str, seconds: float) -> None:
        positive("seconds", seconds)
        self.name = named(name)
        self.seconds = seconds

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` with a deadline that it can ask for.

        Raises:
            PolicyError: it is a coroutine function.
            BaseException: what it raised itself.
        """
        token = _deadline.set(min(_deadline.get(), time.monotonic() + self.seconds))
        try:
            answer = function(*args, **kwargs)
            if type(answer) is CoroutineType:
                raise not_done(answer, function)
            return answer
        finally:
            _deadline.reset(token)

    async def call_async(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await `function`, and cancel it when its time is over.

        Raises:
            CallTimeout: it was cancelled.
            BaseException: what it raised itself.
        """
        token = _deadline.set(min(_deadline.get(), time.monotonic() + self.seconds))
        try:
            async with asyncio.timeout(self.seconds) as timer:
                return await function(*args, **kwargs)
        except TimeoutError:
            if timer.expired():
                raise CallTimeout(
                    f"{self.name} gave no answer within {self.seconds:g} s; whether it "
                    f"did its work is unknown"
                ) from None
            raise  # one of the call's own
        finally:
            _deadline.reset(token)
