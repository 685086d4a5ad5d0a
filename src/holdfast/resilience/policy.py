"""All protections of one downstream, in their one order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from holdfast.errors import PolicyError
from holdfast.resilience.breaker import CircuitBreaker
from holdfast.resilience.bulkhead import Bulkhead
from holdfast.resilience.calls import is_awaited, wrappable
from holdfast.resilience.checks import a_layer
from holdfast.resilience.deadline import Timeout
from holdfast.resilience.fallback import Fallback
from holdfast.resilience.rate_limit import RateLimit
from holdfast.resilience.retry import Retry

P = ParamSpec("P")
T = TypeVar("T")

_LAYERS: Mapping[str, tuple[type, str]] = {
    "fallback": (Fallback, "Fallback(lambda error: ...)"),
    "retry": (Retry, "Retry(attempts=3)"),
    "bulkhead": (Bulkhead, 'Bulkhead("gateway", concurrent=20)'),
    "rate_limit": (RateLimit, 'RateLimit("gateway", calls=100)'),
    "breaker": (CircuitBreaker, 'CircuitBreaker("gateway")'),
    "timeout": (Timeout, 'Timeout("gateway", 3.0)'),
}
"""What each argument has to be, and an example of it."""


class Policy:
    """Wraps calls in the layers that it is given; those that are None are left out.

    The order is always the same, outermost first: fallback, retry, bulkhead, rate limit, breaker, timeout.
    The package's page says why. As a decorator it wraps functions and coroutine functions.

    Args:
        fallback: what to answer instead of an error.
        retry: when to try again, and with which budget.
        bulkhead: how many calls run at once.
        rate_limit: how many begin in a time.
        breaker: when to make no calls.
        timeout: how long each single try may take.

    Raises:
        PolicyError: it has no layer at all, or one that is none.
    """

    def __init__(
        self,
        *,
        fallback: Fallback | None = None,
        retry: Retry | None = None,
        bulkhead: Bulkhead | None = None,
        rate_limit: RateLimit | None = None,
        breaker: CircuitBreaker | None = None,
        timeout: Timeout | None = None,
    ) -> None:
        given = {
            "fallback": fallback,
            "retry": retry,
            "bulkhead": bulkhead,
            "rate_limit": rate_limit,
            "breaker": breaker,
            "timeout": timeout,
        }
        for name, (kind, example) in _LAYERS.items():
            if given[name] is not None:
                a_layer(name, given[name], kind, example)
        layers = [layer for layer in given.values() if layer is not None]
        if not layers:
            raise PolicyError(
                "this policy protects from nothing: give it a breaker, a retry or another layer"
            )
        self.breaker = breaker
        # Each layer calls its first argument with the rest: so the next layer's call is the first argument
        # of this.
        calls: list[Callable[..., Any]] = [layer.call for layer in layers]
        calls_async: list[Callable[..., Awaitable[Any]]] = [layer.call_async for layer in layers]
        self._call: Callable[..., Any] = partial(calls[0], *calls[1:])
        self._call_async: Callable[..., Awaitable[Any]] = partial(calls_async[0], *calls_async[1:])

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` under all layers.

        Raises:
            ResilienceError: a layer refused it or gave it up.
            PolicyError: it is a coroutine function.
            BaseException: what it raised itself.
        """
        return self._call(function, *args, **kwargs)  # type: ignore[no-any-return]

    async def call_async(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await `function` under all layers.

        Raises:
            ResilienceError: a layer refused it or gave it up.
            BaseException: what it raised itself.
        """
        return await self._call_async(function, *args, **kwargs)  # type: ignore[no-any-return]

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Wrap `function`, a coroutine function too, so that each of its calls is made under all layers.

        Raises:
            PolicyError: its work is not done in its call: a generator, a class, or no function at all.
        """
        wrappable(function)
        if is_awaited(function):

            @wraps(function)
            async def protected_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                return await self._call_async(function, *args, **kwargs)

            # What calls it sees no difference: a coroutine function with the same parameters and answer.
            return protected_async  # type: ignore[return-value]

        @wraps(function)
        def protected(*args: P.args, **kwargs: P.kwargs) -> T:
            return self._call(function, *args, **kwargs)  # type: ignore[no-any-return]

        return protected
