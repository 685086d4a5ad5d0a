"""Several protections together, and the time that is passed down through them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.errors import BulkheadFull, CallTimeout, CircuitOpen, PolicyError
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
    time_left,
)
from tests.unit.resilience.clock import ManualClock


class Down(Exception):
    """The downstream failed."""


def breaker(minimum_calls: int, clock: ManualClock | None = None) -> CircuitBreaker:
    rules = BreakerSettings(
        window_calls=minimum_calls, window_s=None, minimum_calls=minimum_calls, open_jitter=0
    )
    return CircuitBreaker("gateway", rules, clock=clock or ManualClock())


def quick_retry(attempts: int, errors: tuple[type[Exception], ...] = (Exception,)) -> Retry:
    clock = ManualClock()
    return Retry(
        attempts=attempts,
        errors=errors,
        backoff=Backoff(0.01),
        clock=clock,
        sleep=clock.sleep,
        sleep_async=clock.sleep_async,
    )


def test_every_try_counts_at_the_breaker_and_retries_end_when_it_opens() -> None:
    calls = []

    def fails() -> None:
        calls.append(1)
        raise Down

    policy = Policy(retry=quick_retry(10), breaker=breaker(3))
    with pytest.raises(CircuitOpen):
        policy.call(fails)
    assert len(calls) == 3


def test_a_circuit_that_opens_between_two_tries_does_not_hide_why_the_call_failed() -> None:
    tries: list[Down] = []

    def fails() -> None:
        tries.append(Down(f"no seats, try {len(tries) + 1}"))
        raise tries[-1]

    async def fails_later() -> None:
        fails()

    for errors in ((Exception,), (Down,)):
        tries.clear()
        with pytest.raises(CircuitOpen) as refused:
            Policy(retry=quick_retry(10, errors), breaker=breaker(2)).call(fails)
        assert refused.value.__cause__ is tries[1]
        assert refused.value.__notes__ == [
            "tried 2 times before that; the call itself failed with Down: no seats, try 2"
        ]
        tries.clear()
        with pytest.raises(CircuitOpen) as refused:
            asyncio.run(Policy(retry=quick_retry(10, errors), breaker=breaker(1)).call_async(fails_later))
        assert refused.value.__cause__ is tries[0]
        assert refused.value.__notes__ == [
            "tried once before that; the call itself failed with Down: no seats, try 1"
        ]


def test_a_call_that_was_refused_at_its_first_try_has_no_error_of_its_own() -> None:
    circuit = breaker(1)
    circuit.force_open()
    with pytest.raises(CircuitOpen) as refused:
        Policy(retry=quick_retry(3), breaker=circuit).call(lambda: None)
    assert refused.value.__cause__ is None
    assert not hasattr(refused.value, "__notes__")


def test_a_full_bulkhead_is_no_failure_of_the_downstream() -> None:
    async def scenario() -> None:
        circuit = breaker(2)
        policy = Policy(bulkhead=Bulkhead("gateway", concurrent=1), breaker=circuit)
        let_go = asyncio.Event()
        holder = asyncio.create_task(policy.call_async(let_go.wait))
        await asyncio.sleep(0)
        for _ in range(5):
            with pytest.raises(BulkheadFull):
                await policy.call_async(asyncio.sleep, 0)
        assert circuit.state is CircuitState.CLOSED
        assert circuit.snapshot().calls == 0
        let_go.set()
        await holder

    asyncio.run(scenario())


def test_waiting_for_a_turn_is_not_a_slow_call() -> None:
    clock = ManualClock()
    rules = BreakerSettings(
        slow_call_rate=0.1, slow_call_s=0.5, window_calls=2, window_s=None, minimum_calls=2
    )
    circuit = CircuitBreaker("gateway", rules, clock=clock)
    rate = RateLimit("gateway", calls=1, per_s=1, clock=clock, sleep=clock.sleep)
    policy = Policy(rate_limit=rate, breaker=circuit)
    for _ in range(5):
        policy.call(lambda: None)
    assert clock.slept == [1, 1, 1, 1]
    assert circuit.snapshot().slow == 0


def test_a_call_that_hangs_is_cut_and_counts_as_a_failure() -> None:
    circuit = breaker(2)
    policy = Policy(breaker=circuit, timeout=Timeout("gateway", 0.01))

    async def hangs() -> None:
        await asyncio.Event().wait()

    for _ in range(2):
        with pytest.raises(
            CallTimeout, match=r"gateway gave no answer within 0.01 s; whether it did its work is unknown"
        ):
            asyncio.run(policy.call_async(hangs))
    assert circuit.state is CircuitState.OPEN


def test_a_call_that_was_cut_is_an_error_like_the_timeout_of_a_socket() -> None:
    circuit = CircuitBreaker(
        "gateway",
        BreakerSettings(window_calls=1, window_s=None, minimum_calls=1),
        failures=(OSError,),
    )
    with pytest.raises(TimeoutError, match=r"gateway gave no answer within 0\.01 s"):
        asyncio.run(circuit.call_async(Timeout("gateway", 0.01).call_async, asyncio.sleep, 60))
    assert circuit.state is CircuitState.OPEN


def test_a_call_that_was_cut_by_the_inner_of_two_timeouts_is_told_as_that() -> None:
    inner = Timeout("one", 0.01)
    with pytest.raises(CallTimeout, match=r"one gave no answer within 0\.01 s"):
        asyncio.run(Timeout("all", 60).call_async(inner.call_async, asyncio.sleep, 60))


def test_a_timeout_of_the_calls_own_stays_what_it_is() -> None:
    async def own() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        asyncio.run(Timeout("gateway", 10).call_async(own))


def test_the_time_that_is_left_is_told_to_the_call_and_the_nearest_deadline_holds() -> None:
    outer, inner = Timeout("all", 1), Timeout("one", 100)
    assert 0 < outer.call(inner.call, time_left) <= 1
    assert outer.call(time_left, 0.25) == 0.25
    assert time_left() == float("inf")
    assert time_left(5) == 5


def test_the_time_that_is_left_is_told_to_a_coroutine_too() -> None:
    async def left() -> float:
        return time_left()

    assert 0 < asyncio.run(Timeout("one", 1).call_async(left)) <= 1


def test_a_fallback_answers_for_what_was_refused_but_not_for_a_wrong_request() -> None:
    circuit = breaker(1)
    policy = Policy(fallback=Fallback(lambda error: f"instead of {type(error).__name__}"), breaker=circuit)

    def fails() -> str:
        raise Down

    with pytest.raises(Down):
        policy.call(fails)
    assert policy.call(fails) == "instead of CircuitOpen"


def test_a_function_and_a_coroutine_function_can_be_decorated() -> None:
    policy = Policy(retry=quick_retry(3))
    tries = []

    @policy
    def plain(first: int, *, second: int) -> int:
        """Adds."""
        tries.append(1)
        if len(tries) < 3:
            raise Down
        return first + second

    @policy
    async def later(value: int) -> int:
        return value

    assert plain(1, second=2) == 3
    assert plain.__doc__ == "Adds."
    assert inspect.iscoroutinefunction(later)
    assert asyncio.run(later(4)) == 4


def test_all_layers_let_an_answer_pass() -> None:
    clock = ManualClock()
    policy = Policy(
        fallback=Fallback(lambda _: "instead"),
        retry=quick_retry(2),
        bulkhead=Bulkhead("gateway"),
        rate_limit=RateLimit("gateway", calls=1e6),
        breaker=breaker(1, clock),
        timeout=Timeout("gateway", 5),
    )

    async def answers(value: int) -> int:
        return value

    assert policy.call(lambda value: value, 3) == 3
    assert asyncio.run(policy.call_async(answers, 4)) == 4


def test_a_policy_without_any_protection_is_refused() -> None:
    with pytest.raises(PolicyError, match="protects from nothing"):
        Policy()
    with pytest.raises(PolicyError, match="seconds must be a number above 0"):
        Timeout("gateway", 0)


@pytest.mark.parametrize(
    ("argument", "given", "said"),
    [
        (
            "fallback",
            "x",
            "fallback must be a Fallback, such as Fallback(lambda error: ...), not 'x'",
        ),
        (
            "fallback",
            Fallback,
            "fallback must be a Fallback, such as Fallback(lambda error: ...), not <class",
        ),
        ("retry", 3, "retry must be a Retry, such as Retry(attempts=3), not 3"),
        ("bulkhead", 20, 'bulkhead must be a Bulkhead, such as Bulkhead("gateway", concurrent=20), not 20'),
        ("rate_limit", 5, 'rate_limit must be a RateLimit, such as RateLimit("gateway", calls=100), not 5'),
        (
            "breaker",
            BreakerSettings(),
            'breaker must be a CircuitBreaker, such as CircuitBreaker("gateway"), not BreakerSettings(',
        ),
        ("timeout", 3.0, 'timeout must be a Timeout, such as Timeout("gateway", 3.0), not 3.0'),
        ("timeout", False, 'timeout must be a Timeout, such as Timeout("gateway", 3.0), not False'),
    ],
)
def test_a_layer_that_is_none_is_refused_before_any_call(argument: str, given: object, said: str) -> None:
    with pytest.raises(PolicyError) as error:
        Policy(**{argument: given})  # type: ignore[arg-type]
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Fallback("x"), "answer must be a function that takes the error and answers, not 'x'"),
        (lambda: Fallback(repr, "x"), "errors must be classes of errors in a tuple, not 'x'"),
        (lambda: Retry(errors=[Down]), "errors must be classes of errors in a tuple, not [<class"),
        (lambda: Retry(errors=(Down, 3)), "errors must be classes of errors in a tuple, not (<class"),
        (
            lambda: Retry(backoff=0.1),
            "backoff must be a Backoff, such as Backoff(base_s=0.05, cap_s=2.0), no",
        ),
        (lambda: Retry(budget=10), "budget must be a RetryBudget, such as RetryBudget(), not 10"),
        (lambda: CircuitBreaker("x", 0.5), "settings must be a BreakerSettings, such as BreakerSettings(fai"),
        (lambda: CircuitBreaker("x", failures="x"), "failures must be what isinstance takes, such as (OSErr"),
        (lambda: CircuitBreaker("x", ignored=3), "ignored must be what isinstance takes, such as (OSError, "),
        (lambda: CircuitBreaker("x", failed_result=500), "failed_result must be a function that takes"),
        (lambda: BreakerSettings(open_growth="2"), "open_growth must be a number, 1 or more, not '2'"),
        (lambda: BreakerSettings(open_jitter=True), "open_jitter must be a number, 0 or more, not True"),
    ],
)
def test_a_part_of_a_layer_that_is_none_is_refused_at_once(make: Callable[[], object], said: str) -> None:
    with pytest.raises(PolicyError) as error:
        make()
    assert str(error.value).startswith(said)


def test_one_class_of_errors_may_stand_without_its_tuple() -> None:
    Retry(errors=Down)  # type: ignore[arg-type] # as `except` takes it
    CircuitBreaker("gateway", failures=Down)


class Transient:
    """Mixed into errors of a library; it is none itself."""


class Busy(Transient, Exception):
    pass


@pytest.mark.parametrize(
    "failures",
    [
        OSError | Transient,
        (ValueError, (OSError, (Transient,))),
        (OSError, Transient),
        (OSError | Transient,),
    ],
    ids=str,
)
def test_a_breaker_takes_for_a_failure_whatever_isinstance_can_be_asked(failures: Any) -> None:
    """It asks isinstance, where `except` would take no union and nothing but classes of errors."""
    breaker = CircuitBreaker("gateway", failures=failures, ignored=KeyError | LookupError)

    def fails(error: Exception) -> None:
        raise error

    for error in (Busy(), ConnectionError(), RuntimeError(), IndexError()):
        with pytest.raises(type(error)):
            breaker.call(fails, error)
    seen = breaker.snapshot()
    assert (seen.failed, seen.succeeded) == (2, 1)


@pytest.mark.parametrize(
    "kinds", ["x", None, [OSError], (object, 3), (OSError, (ValueError, "x")), list[int]], ids=str
)
def test_what_isinstance_could_not_take_is_refused_before_a_call_fails(kinds: Any) -> None:
    for argument in ("failures", "ignored"):
        with pytest.raises(PolicyError) as error:
            CircuitBreaker("gateway", **{argument: kinds})
        said = f"{argument} must be what isinstance takes, such as (OSError, ValueError), not {kinds!r}"
        assert str(error.value) == said


@pytest.mark.parametrize("kinds", [OSError | ValueError, (OSError, (ValueError,)), Transient], ids=str)
def test_what_except_could_not_take_is_refused_where_it_stands(kinds: Any) -> None:
    """`Retry` and `Fallback` use `except`, which would fail only when an error comes."""
    for make in (lambda: Retry(errors=kinds), lambda: Fallback(repr, errors=kinds)):
        with pytest.raises(PolicyError, match="errors must be classes of errors in a tuple, not "):
            make()
