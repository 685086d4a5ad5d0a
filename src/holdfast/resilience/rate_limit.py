"""A limit on how many calls a downstream gets in a time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import ParamSpec, TypeVar

from holdfast.errors import RateLimited
from holdfast.resilience.calls import not_done
from holdfast.resilience.checks import at_least, named, not_negative, positive

P = ParamSpec("P")
T = TypeVar("T")


class RateLimit:
    """Spaces calls so that no more than `calls` begin in `per_s` seconds, beside a burst at the start.

    The generic cell rate algorithm (ITU-T I.371): one number, the time at which the next call is due, and no
    timer. Calls that come early wait for their turn, in the order in which they asked; one that would wait
    longer than `wait_s` is refused and takes no turn. A call that is cancelled while it waits has used its
    turn.

    Args:
        name: what it is called in errors.
        calls: how many calls,
        per_s: in so many seconds.
        burst: how many calls may begin at once after a pause.
        wait_s: how long a call waits for its turn at most, in seconds.
        clock: seconds that never go back.
        sleep: waits in `call`.
        sleep_async: waits in `call_async`.

    Raises:
        PolicyError: a value is out of its range.
    """

    def __init__(
        self,
        name: str,
        *,
        calls: float,
        per_s: float = 1.0,
        burst: int = 1,
        wait_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        sleep_async: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        positive("calls", calls)
        positive("per_s", per_s)
        at_least("burst", burst, 1)
        not_negative("wait_s", wait_s)
        self.name = named(name)
        self._step_s = per_s / calls
        self._early_s = self._step_s * (burst - 1)
        self._wait_s = wait_s
        self._clock = clock
        self._sleep = sleep
        self._sleep_async = sleep_async
        self._due = clock()
        self._lock = threading.Lock()

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` when it is its turn.

        Raises:
            RateLimited: it was not called.
            PolicyError: it is a coroutine function.
            BaseException: what it raised itself.
        """
        wait_s = self.reserve()
        if wait_s > 0:
            self._sleep(wait_s)
        answer = function(*args, **kwargs)
        if type(answer) is CoroutineType:
            raise not_done(answer, function)
        return answer

    async def call_async(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await `function` when it is its turn.

        Raises:
            RateLimited: it was not called.
            BaseException: what it raised itself.
        """
        wait_s = self.reserve()
        if wait_s > 0:
            await self._sleep_async(wait_s)
        return await function(*args, **kwargs)

    def reserve(self) -> float:
        """Take the next turn; answers how many seconds it is away, 0 if it is now.

        Raises:
            RateLimited: it is further away than calls may wait; no turn was taken.
        """
        with self._lock:
            now = self._clock()
            due = max(self._due, now)
            wait_s = max(0.0, due - self._early_s - now)
            if wait_s <= self._wait_s:
                self._due = due + self._step_s
                return wait_s
        raise RateLimited(
            f"rate limit {self.name} allows the next call in {wait_s:.3g} s, and calls wait at most "
            f"{self._wait_s:g} s",
            wait_s,
        )
