"""What a protection cannot protect is refused, with what to do instead; it never only looks protected."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from holdfast.errors import PolicyError
from holdfast.resilience import (
    Backoff,
    BreakerSettings,
    Bulkhead,
    CircuitBreaker,
    CircuitState,
    Fallback,
    Policy,
    RateLimit,
    Retry,
    Timeout,
)
from tests.unit.resilience.clock import ManualClock


class Down(Exception):
    """The downstream failed."""


async def ask() -> str:
    raise Down


def opens_at_once(clock: ManualClock | None = None) -> CircuitBreaker:
    rules = BreakerSettings(window_calls=1, window_s=None, minimum_calls=1, half_open_calls=1, open_jitter=0)
    return CircuitBreaker("gateway", rules, clock=clock or ManualClock())


@pytest.mark.parametrize(
    "layer",
    [
        Fallback(lambda _: "instead"),
        Retry(),
        Bulkhead("gateway"),
        RateLimit("gateway", calls=1e6),
        CircuitBreaker("gateway"),
        CircuitBreaker("gateway", failed_result=lambda _: False),
        Timeout("gateway", 1),
        Policy(timeout=Timeout("gateway", 1)),
        Policy(retry=Retry(attempts=1)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_coroutine_function_that_is_called_as_a_plain_one_is_refused(layer: Any) -> None:
    with pytest.raises(PolicyError) as error:
        layer.call(ask)
    assert str(error.value) == (
        "ask is asynchronous: its call only makes a coroutine, and nothing would protect what that does; "
        "write await ...call_async(ask, ...)"
    )


def test_a_probe_that_was_a_coroutine_function_by_mistake_gives_its_place_back() -> None:
    clock = ManualClock()
    breaker = opens_at_once(clock)
    breaker.open()
    clock.advance(5)
    with pytest.raises(PolicyError):
        breaker.call(ask)
    assert breaker.call(lambda: "answer") == "answer"
    assert breaker.state is CircuitState.CLOSED


def test_a_coroutine_function_by_mistake_counts_for_nothing() -> None:
    breaker = opens_at_once()
    with pytest.raises(PolicyError):
        breaker.call(ask)
    assert breaker.snapshot().calls == 0


def test_a_plain_function_that_makes_a_coroutine_is_refused_when_it_is_decorated() -> None:
    with pytest.raises(PolicyError, match="is asynchronous"):
        Policy(breaker=opens_at_once())(lambda *_: ask())()


class Asker:
    """Called like a coroutine function."""

    async def __call__(self) -> str:
        raise Down

    async def method(self) -> str:
        raise Down


@pytest.mark.parametrize(
    "function",
    [Asker(), Asker().method, functools.partial(ask), functools.partial(Asker())],
    ids=["object", "method", "partial", "partial of an object"],
)
def test_whatever_is_awaited_is_protected_by_the_decorator(function: Callable[[], Any]) -> None:
    breaker = opens_at_once()
    with pytest.raises(Down):
        asyncio.run(Policy(breaker=breaker)(function)())
    assert breaker.state is CircuitState.OPEN


def test_what_makes_objects_that_are_awaited_is_called_as_what_it_is() -> None:
    assert isinstance(Policy(breaker=opens_at_once())(functools.partial(Asker))(), Asker)


def items() -> Iterator[int]:
    yield 1


async def items_later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("function", [items, items_later, functools.partial(items)])
def test_a_generator_is_not_decorated_since_it_works_after_its_call(function: Callable[[], object]) -> None:
    with pytest.raises(PolicyError) as error:
        Policy(breaker=opens_at_once())(function)
    assert "is a generator: its call only makes it, and nothing would protect what it does" in str(
        error.value
    )
    assert "wrap what it calls for each item" in str(error.value)


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_a_policy_stands_below_what_makes_a_function_a_static_or_class_method(kind: type) -> None:
    with pytest.raises(PolicyError) as error:
        Policy(breaker=opens_at_once())(kind(lambda *_: None))
    assert str(error.value) == f"write the policy below @{kind.__name__}, next to the function"


def test_what_cannot_be_called_is_not_decorated() -> None:
    with pytest.raises(PolicyError) as error:
        Policy(breaker=opens_at_once())(3.0)  # type: ignore[arg-type]
    assert str(error.value) == "a policy wraps a function, not 3.0"


def test_methods_of_every_kind_are_protected_below_their_decorator() -> None:
    policy = Policy(breaker=opens_at_once())

    class Client:
        @policy
        def plain(self) -> str:
            return "plain"

        @staticmethod
        @policy
        def static() -> str:
            return "static"

        @classmethod
        @policy
        def of_class(cls) -> str:
            return cls.__name__

        @policy
        async def later(self) -> str:
            return "later"

    client = Client()
    assert (client.plain(), client.static(), client.of_class()) == ("plain", "static", "Client")
    assert asyncio.run(client.later()) == "later"


def test_the_answer_of_a_fallback_may_be_awaited_where_the_call_is() -> None:
    async def remembered(error: Exception) -> str:
        return f"instead of {type(error).__name__}"

    fallback = Fallback(remembered, errors=(Down,))
    assert asyncio.run(fallback.call_async(ask)) == "instead of Down"


def test_the_answer_of_a_fallback_cannot_be_awaited_in_a_plain_call() -> None:
    async def remembered(error: Exception) -> str:
        return "instead"

    def fails() -> str:
        raise Down

    with pytest.raises(PolicyError, match="remembered is asynchronous"):
        Fallback(remembered, errors=(Down,)).call(fails)


@pytest.mark.parametrize("hint", ["5", float("nan"), True, object()])
def test_a_pause_that_is_no_number_hides_no_error_and_is_told(hint: object) -> None:
    class Busy(Exception):
        retry_after_s = hint

    def fails() -> None:
        raise Busy

    clock = ManualClock()
    retry = Retry(attempts=2, backoff=Backoff(0.1), clock=clock, sleep=clock.sleep, jitter=lambda: 1.0)
    with pytest.raises(Busy) as error:
        retry.call(fails)
    assert clock.slept == [0.1]
    (note,) = error.value.__notes__
    assert note.endswith(f"no attempt is left; its retry_after_s is no number of seconds: {hint!r}")


@pytest.mark.parametrize("listener", ["log", None])
def test_a_listener_that_cannot_be_called_is_refused(listener: Any) -> None:
    with pytest.raises(PolicyError, match="a listener is a function that takes a Transition, not"):
        CircuitBreaker("gateway", listeners=[listener])
    with pytest.raises(PolicyError, match="a listener is a function that takes a Transition, not"):
        CircuitBreaker("gateway").listen(listener)


def test_a_listener_that_would_have_to_be_awaited_is_refused() -> None:
    async def tell(transition: object) -> None:
        """Nobody awaits it."""

    with pytest.raises(PolicyError) as error:
        CircuitBreaker("gateway").listen(tell)
    assert str(error.value).endswith("tell is asynchronous, and a listener is not awaited")
    with pytest.raises(PolicyError, match="listeners must be functions in a list or tuple, not"):
        CircuitBreaker("gateway", listeners=print)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [BreakerSettings(), 3.0, "", None])
@pytest.mark.parametrize(
    "make",
    [
        CircuitBreaker,
        Bulkhead,
        lambda name: RateLimit(name, calls=1),
        lambda name: Timeout(name, 1),
    ],
)
def test_a_name_that_was_forgotten_is_missed(make: Callable[[Any], object], name: object) -> None:
    with pytest.raises(PolicyError) as error:
        make(name)
    assert str(error.value) == f"name must be a text that names the downstream, not {name!r}"


def two(error: Exception, other: object) -> None: ...


def named(*, error: Exception) -> None: ...


@pytest.mark.parametrize("answer", [lambda: 5, two, named, functools.partial(two, 1, 2)])
def test_a_fallback_that_cannot_take_the_error_is_refused_when_it_is_made(answer: Any) -> None:
    with pytest.raises(PolicyError, match=r"^answer must be a function .* one argument, the error; .* \("):
        Fallback(answer)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: 5,
        lambda *_: 5,
        lambda _, more=1: more,
        functools.partial(two, 1),
        str,
        repr,
        int,
        Down,
        dict,
    ],
)
def test_a_fallback_that_can_take_the_error_or_cannot_be_read_is_taken(answer: Any) -> None:
    Fallback(answer)


def test_a_class_is_not_decorated_since_it_only_makes_an_object() -> None:
    class Client:
        def ask(self) -> str:
            return "answer"

    with pytest.raises(
        PolicyError, match=r"Client is a class: its call only makes an object, .* the methods"
    ):
        Policy(retry=Retry(attempts=1))(Client)
