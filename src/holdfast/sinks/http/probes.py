"""Calls that wait for the probes of a half-open circuit, instead of failing beside them."""

from __future__ import annotations

import asyncio

from holdfast.resilience import CircuitBreaker, CircuitState, Transition


class Probes:
    """The probes of one breaker, for the calls that it refuses meanwhile.

    A handler that makes two calls at once would never close a circuit that lets one through: the other one is
    refused in the same moment, and what fails for that takes the probe with it.

    Args:
        breaker: the breaker; its orders may come from other threads.
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = 0
        self._news = asyncio.Event()
        breaker.listen(self._hear)

    async def wait(self, until: float) -> bool:
        """Wait for a reason to try again: the circuit is half-open no more, or a probe ended.

        Args:
            until: how long at most, on the loop's clock.

        Returns:
            Whether there is one.
        """
        self._loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            async with asyncio.timeout_at(until):
                # It may have been told otherwise in between.
                if self._breaker.state is CircuitState.HALF_OPEN:
                    await self._news.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def ended(self) -> None:
        """A call that was let through came to its end; it may have given its place back."""
        if self._waiting:
            self._tell()

    def _hear(self, _: Transition) -> None:
        if self._waiting and self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        """Wake those that wait now."""
        self._news.set()
        self._news.clear()
