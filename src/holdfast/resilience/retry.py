"""Retries of calls that failed in a way that may pass."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from math import isnan
from types import CoroutineType
from typing import ParamSpec, TypeGuard, TypeVar

from holdfast.errors import CallRefused
from holdfast.resilience.backoff import Backoff
from holdfast.resilience.budget import RetryBudget
from holdfast.resilience.calls import not_done
from holdfast.resilience.checks import a_layer, at_least, positive
from holdfast.resilience.checks import errors as check_errors

P = ParamSpec("P")
T = TypeVar("T")

Errors = tuple[type[Exception], ...]


class Retry:
    """Tries a call again, with full jitter, inside a budget.

    A call that our own protection refused (`CallRefused`) is not tried again: an open circuit stays open for
    longer than a retry waits. An error may say how long to wait by an attribute `retry_after_s`, as those of
    HTTP's Retry-After do; the wait is then at least that long, and if it is longer than
    `retry_after_limit_s` the error is raised at once.

    The error that is raised in the end is the last one of the call itself; a note on it tells how many
    tries it had and why there was no other. If a later try is refused, because the circuit opened meanwhile,
    say, the refusal is raised, as it tells when to come again; its `__cause__` is the last error of the call
    itself, and a note tells it, too.

    Args:
        attempts: how often the call is made at most, the first time included.
        backoff: how long to wait between them.
        budget: what all retries of this downstream share; None: as many as are asked for.
        errors: what is worth another try.
        within_s: no other try begins so many seconds after the first began, or later; None: no limit.
        retry_after_limit_s: how long a downstream may ask to wait.
        clock: seconds that never go back.
        sleep: waits in `call`.
        sleep_async: waits in `call_async`.
        jitter: random numbers from 0 to 1.

    Raises:
        PolicyError: a value is out of its range.
    """

    def __init__(
        self,
        *,
        attempts: int = 3,
        backoff: Backoff | None = None,
        budget: RetryBudget | None = None,
        errors: Errors = (Exception,),
        within_s: float | None = 30.0,
        retry_after_limit_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        sleep_async: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        at_least("attempts", attempts, 1)
        if within_s is not None:
            positive("within_s", within_s)
        positive("retry_after_limit_s", retry_after_limit_s)
        if backoff is not None:
            a_layer("backoff", backoff, Backoff, "Backoff(base_s=0.05, cap_s=2.0)")
        if budget is not None:
            a_layer("budget", budget, RetryBudget, "RetryBudget()")
        check_errors("errors", errors)
        self.attempts = attempts
        self.backoff = backoff or Backoff()
        self.budget = budget
        self.errors = errors
        self.within_s = within_s if within_s is not None else float("inf")
        self.retry_after_limit_s = retry_after_limit_s
        self._clock = clock
        self._sleep = sleep
        self._sleep_async = sleep_async
        self._jitter = jitter

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` until it answers or nothing more may be tried.

        Raises:
            PolicyError: it is a coroutine function.
            CallRefused: a try was not made; its cause is what the one before it raised.
            BaseException: what its last try raised.
        """
        began = self._begin()
        tries = 1
        last: Exception | None = None
        while True:
            try:
                answer = function(*args, **kwargs)
            except CallRefused as refused:
                _tell(refused, last, tries - 1)
                raise
            except self.errors as error:
                wait_s = self._wait_s(error, tries, began)
                if wait_s is None:
                    raise
                last = error
            else:
                if type(answer) is CoroutineType:
                    raise not_done(answer, function)
                return answer
            self._sleep(wait_s)
            tries += 1

    async def call_async(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await `function` until it answers or nothing more may be tried.

        Raises:
            CallRefused: a try was not made; its cause is what the one before it raised.
            BaseException: what its last try raised.
        """
        began = self._begin()
        tries = 1
        last: Exception | None = None
        while True:
            try:
                return await function(*args, **kwargs)
            except CallRefused as refused:
                _tell(refused, last, tries - 1)
                raise
            except self.errors as error:
                wait_s = self._wait_s(error, tries, began)
                if wait_s is None:
                    raise
                last = error
            await self._sleep_async(wait_s)
            tries += 1

    def _begin(self) -> float:
        if self.budget is not None:
            self.budget.first_try()
        return self._clock()

    def _wait_s(self, error: Exception, tries: int, began: float) -> float | None:
        """How long to wait before the next try; None if there is none."""
        hint = getattr(error, "retry_after_s", None)
        asked_s = hint if _is_time(hint) else 0.0
        wait_s = max(asked_s, self.backoff.wait_s(tries, self._jitter))
        spent_s = self._clock() - began
        if tries >= self.attempts:
            end = "no attempt is left"
        elif asked_s > self.retry_after_limit_s:
            end = f"it asks for {asked_s:g} s of pause, and {self.retry_after_limit_s:g} s are allowed"
        elif spent_s + wait_s >= self.within_s:
            end = f"another would begin later than the {self.within_s:g} s that are allowed"
        elif self.budget is not None and not self.budget.take():
            end = "the retry budget of this downstream is empty"
        else:
            return wait_s
        if tries > 1 or self.attempts > 1:
            if hint is not None and not _is_time(hint):
                end += f"; its retry_after_s is no number of seconds: {hint!r}"
            error.add_note(f"{_times(tries)} in {spent_s:.3g} s; {end}")
        return None


def _tell(refused: CallRefused, last: Exception | None, tries: int) -> None:
    """Say beside the refusal of a try why the call had failed before it; nothing if this is the first."""
    if last is None:
        return
    refused.__cause__ = last
    text = f": {last}" if str(last) else ""
    refused.add_note(f"{_times(tries)} before that; the call itself failed with {type(last).__name__}{text}")


def _is_time(hint: object) -> TypeGuard[float]:
    return isinstance(hint, int | float) and not isinstance(hint, bool) and not isnan(hint)


def _times(tries: int) -> str:
    return "tried once" if tries == 1 else f"tried {tries} times"
