"""A limit on how many calls to one downstream are under way, with a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import ParamSpec, Protocol, TypeVar

from holdfast.errors import BulkheadFull
from holdfast.resilience.calls import not_done
from holdfast.resilience.checks import at_least, named, not_negative

P = ParamSpec("P")
T = TypeVar("T")


class _Waiter(Protocol):
    def wake(self) -> bool:
        """Tell that a place is there; False if nobody waits for it any more."""


class Bulkhead:
    """Lets a fixed number of calls run at once; some more wait in line, and all others are refused.

    Threads and tasks, also of several event loops, share the places in the order in which they came.

    Args:
        name: what it is called in errors.
        concurrent: how many calls run at once.
        waiting: how many more may wait for a place.
        wait_s: how long each of them waits at most, in seconds.

    Raises:
        PolicyError: a value is out of its range.
    """

    def __init__(self, name: str, *, concurrent: int = 25, waiting: int = 0, wait_s: float = 1.0) -> None:
        at_least("concurrent", concurrent, 1)
        at_least("waiting", waiting, 0)
        not_negative("wait_s", wait_s)
        self.name = named(name)
        self._concurrent = concurrent
        self._waiting_limit = waiting
        self._wait_s = wait_s
        self._free = concurrent
        self._line: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` when there is a place.

        Raises:
            BulkheadFull: it was not called.
            PolicyError: it is a coroutine function.
            BaseException: what it raised itself.
        """
        thread = self._enter(_Thread)
        if thread is not None:
            self._wait(thread)
        try:
            answer = function(*args, **kwargs)
            if type(answer) is CoroutineType:
                raise not_done(answer, function)
            return answer
        finally:
            self._leave()

    async def call_async(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await `function` when there is a place.

        Raises:
            BulkheadFull: it was not called.
            BaseException: what it raised itself.
        """
        task = self._enter(_Task)
        if task is not None:
            await self._wait_async(task)
        try:
            return await function(*args, **kwargs)
        finally:
            self._leave()

    @property
    def running(self) -> int:
        """How many calls are under way."""
        return self._concurrent - self._free

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        return len(self._line)

    def _enter(self, kind: Callable[[], W]) -> W | None:
        """Take a place, or stand in line and answer who waits."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            if len(self._line) >= self._waiting_limit:
                raise BulkheadFull(
                    f"bulkhead {self.name} is full: {self._concurrent} calls are under way and "
                    f"{len(self._line)} wait",
                    self._wait_s,
                )
            waiter = kind()
            self._line.append(waiter)
            return waiter

    def _leave(self) -> None:
        # A place is handed to the first in line, never put back for whoever comes first: so nobody overtakes.
        with self._lock:
            while self._line:
                if self._line.popleft().wake():
                    return
            self._free += 1

    def _wait(self, thread: _Thread) -> None:
        try:
            came = thread.wait(self._wait_s)
        except BaseException:  # Ctrl-C while in line
            self._go(thread)
            raise
        if not came and self._left(thread):
            raise self._waited_too_long()

    async def _wait_async(self, task: _Task) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await task.future
        except TimeoutError:
            if self._left(task):
                raise self._waited_too_long() from None
        except BaseException:  # cancelled while in line
            self._go(task)
            raise

    def _go(self, waiter: _Waiter) -> None:
        """Leave for good: the line, or the place that was handed over in this moment."""
        if not self._left(waiter):
            self._leave()

    def _left(self, waiter: _Waiter) -> bool:
        """Leave the line; False if a place was handed over in this moment, which is then ours."""
        with self._lock:
            try:
                self._line.remove(waiter)
            except ValueError:
                return False
            return True

    def _waited_too_long(self) -> BulkheadFull:
        return BulkheadFull(
            f"bulkhead {self.name} had no place within {self._wait_s:g} s: "
            f"{self._concurrent} calls are under way",
            self._wait_s,
        )


class _Thread:
    def __init__(self) -> None:
        self._event = threading.Event()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)

    def wake(self) -> bool:
        self._event.set()
        return True


class _Task:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self._loop.create_future()

    def wake(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._come)
        except RuntimeError:  # its event loop was closed, and the task with it
            return False
        return True

    def _come(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


W = TypeVar("W", _Thread, _Task)
