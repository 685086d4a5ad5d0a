"""What to answer when a call has no answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from holdfast.errors import ResilienceError
from holdfast.resilience.checks import a_function
from holdfast.resilience.checks import errors as check_errors

P = ParamSpec("P")
T = TypeVar("T")

Errors = tuple[type[Exception], ...]


class Fallback:
    """Answers in place of a call that was refused or failed.

    Args:
        answer: makes the answer from the error. It must be quick: it has no protection of its own, and an
            asyncio call waits for it.
        errors: for which errors; by default those of the protection itself, so that a wrong request is not
            hidden.

    Raises:
        PolicyError: `answer` is no function, or `errors` are none.
    """

    def __init__(self, answer: Callable[[Exception], object], errors: Errors = (ResilienceError,)) -> None:
        a_function("answer", answer, "takes the error and answers")
        check_errors("errors", errors)
        self._answer = answer
        self._errors = errors

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | object:
        """Call `function`, or answer in its place.

        Raises:
            BaseException: what it raised itself, if that is not one of `errors`.
        """
        try:
            return function(*args, **kwargs)
        except self._errors as error:
            return self._answer(error)

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
            return self._answer(error)
