"""What to answer when a call has no answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from types import CoroutineType
from typing import ParamSpec, TypeVar

from holdfast.errors import ResilienceError
from holdfast.resilience.calls import not_done
from holdfast.resilience.checks import a_function, takes_one
from holdfast.resilience.checks import errors as check_errors

P = ParamSpec("P")
T = TypeVar("T")

Errors = tuple[type[Exception], ...]


class Fallback:
    """Answers in place of a call that was refused or failed.

    Args:
        answer: makes the answer from the error; for asyncio calls it may be a coroutine function. It must be
            quick: it has no protection of its own.
        errors: for which errors; by default those of the protection itself, so that a wrong request is not
            hidden.

    Raises:
        PolicyError: `answer` is no function of one argument, or `errors` are none.
    """

    def __init__(self, answer: Callable[[Exception], object], errors: Errors = (ResilienceError,)) -> None:
        a_function("answer", answer, "takes the error and answers")
        takes_one("answer", answer, "the error")
        check_errors("errors", errors)
        self._answer = answer
        self._errors = errors

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | object:
        """Call `function`, or answer in its place.

        Raises:
            PolicyError: it is a coroutine function.
            BaseException: what it raised itself, if that is not one of `errors`.
        """
        try:
            answer = function(*args, **kwargs)
        except self._errors as error:
            instead = self._answer(error)
            if type(instead) is CoroutineType:
                raise not_done(instead, self._answer) from error
            return instead
        if type(answer) is CoroutineType:
            raise not_done(answer, function)
        return answer

    async def call_async(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T | object:
        """Await `function`, or answer in its place.

        Raises:
            BaseException: what it raised itself, if that is not one of `errors`.
        """
        try:
            return await function(*args, **kwargs)
        except self._errors as error:
            answer = self._answer(error)
            return await answer if isawaitable(answer) else answer
