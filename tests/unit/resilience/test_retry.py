"""Retries: how often, how far apart, and when there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import CircuitOpen, PolicyError
from holdfast.resilience import Backoff, Retry, RetryBudget
from tests.unit.resilience.clock import ManualClock


class Down(Exception):
    """The downstream failed; it may say for how long."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s


class Flaky:
    """Fails the first times, then answers."""

    def __init__(self, failures: int, error: Callable[[], Exception] = Down) -> None:
        self.failures = failures
        self.calls = 0
        self._error = error

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self._error()
        return "answer"

    async def later(self) -> str:
        return self()


def retry(clock: ManualClock, **settings: object) -> Retry:
    return Retry(
        clock=clock, sleep=clock.sleep, sleep_async=clock.sleep_async, jitter=lambda: 1.0, **settings
    )  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_it_tries_until_there_is_an_answer_and_waits_twice_as_long_each_time(clock: ManualClock) -> None:
    flaky = Flaky(3)
    answer = retry(clock, attempts=5, backoff=Backoff(0.1, 0.3)).call(flaky)
    assert answer == "answer"
    assert clock.slept == [0.1, 0.2, 0.3]


def test_a_coroutine_is_tried_again_the_same_way(clock: ManualClock) -> None:
    flaky = Flaky(2)
    assert asyncio.run(retry(clock, backoff=Backoff(0.1)).call_async(flaky.later)) == "answer"
    assert clock.slept == [0.1, 0.2]


def test_the_last_error_is_raised_with_a_note_of_what_was_tried(clock: ManualClock) -> None:
    flaky = Flaky(9)
    with pytest.raises(Down) as error:
        retry(clock, attempts=3, backoff=Backoff(0.1)).call(flaky)
    assert flaky.calls == 3
    assert error.value.__notes__ == ["tried 3 times in 0.3 s; no attempt is left"]


def test_an_error_that_was_not_named_is_not_tried_again(clock: ManualClock) -> None:
    flaky = Flaky(1, ValueError)
    with pytest.raises(ValueError):  # noqa: PT011 - its text is not ours
        retry(clock, errors=(Down,)).call(flaky)
    assert flaky.calls == 1


def test_what_an_open_circuit_refused_is_not_tried_again(clock: ManualClock) -> None:
    flaky = Flaky(1, lambda: CircuitOpen("gateway", "OPEN", 3.0))
    with pytest.raises(CircuitOpen):
        retry(clock).call(flaky)
    assert flaky.calls == 1


def test_a_downstream_that_says_when_to_come_back_is_obeyed(clock: ManualClock) -> None:
    flaky = Flaky(1, lambda: Down(retry_after_s=7))
    assert retry(clock).call(flaky) == "answer"
    assert clock.slept == [7]


def test_a_downstream_that_asks_for_too_long_a_pause_is_not_waited_for(clock: ManualClock) -> None:
    flaky = Flaky(1, lambda: Down(retry_after_s=3600))
    with pytest.raises(Down) as error:
        retry(clock).call(flaky)
    assert clock.slept == []
    assert error.value.__notes__ == ["tried once in 0 s; it asks for 3600 s of pause, and 30 s are allowed"]


def test_no_other_try_begins_when_the_time_is_over(clock: ManualClock) -> None:
    flaky = Flaky(99)
    with pytest.raises(Down) as error:
        retry(clock, attempts=99, within_s=1.0, backoff=Backoff(0.25, 0.25)).call(flaky)
    assert flaky.calls == 4
    assert "another would begin later than the 1 s that are allowed" in error.value.__notes__[0]


def test_when_all_calls_fail_the_budget_keeps_retries_to_its_share(clock: ManualClock) -> None:
    budget = RetryBudget(ratio=0.2, per_s=0, capacity=10, clock=clock)
    policy = retry(clock, attempts=4, budget=budget)
    flaky = Flaky(10**9)
    for _ in range(1_000):
        with pytest.raises(Down):
            policy.call(flaky)
    retries = flaky.calls - 1_000
    assert retries <= 10 + 0.2 * 1_000
    assert retries >= 0.2 * 1_000 - 1


def test_an_empty_budget_is_named_as_the_reason(clock: ManualClock) -> None:
    policy = retry(clock, budget=RetryBudget(ratio=0, per_s=0, capacity=1, clock=clock))
    policy.call(Flaky(1))
    with pytest.raises(Down) as error:
        policy.call(Flaky(1))
    assert error.value.__notes__ == ["tried once in 0 s; the retry budget of this downstream is empty"]


def test_a_budget_fills_with_time_and_never_above_its_capacity(clock: ManualClock) -> None:
    budget = RetryBudget(ratio=0, per_s=2, capacity=5, clock=clock)
    assert [budget.take() for _ in range(6)] == [True] * 5 + [False]
    clock.advance(1)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    clock.advance(1e6)
    assert budget.tokens() == 5


@given(
    ratio=st.sampled_from([0.0, 0.1, 0.5]),
    per_s=st.sampled_from([0.0, 1.0]),
    capacity=st.integers(1, 5),
    steps=st.lists(st.sampled_from(["first", "take", "wait"]), max_size=60),
)
def test_a_budget_never_gives_more_than_calls_and_time_put_in(
    ratio: float, per_s: float, capacity: int, steps: list[str]
) -> None:
    clock = ManualClock()
    budget = RetryBudget(ratio=ratio, per_s=per_s, capacity=capacity, clock=clock)
    taken = put = 0.0
    for step in steps:
        if step == "first":
            budget.first_try()
            put += ratio
        elif step == "wait":
            clock.advance(0.5)
            put += 0.5 * per_s
        else:
            taken += budget.take()
    assert taken <= capacity + put + 1e-9


@given(retry=st.integers(1, 5_000), jitter=st.floats(0, 1))
def test_a_wait_is_never_above_the_cap_however_many_retries_there_were(retry: int, jitter: float) -> None:
    backoff = Backoff(0.05, 5.0)
    assert 0 <= backoff.wait_s(retry, lambda: jitter) <= 5.0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Retry(attempts=0), "attempts must be a whole number, 1 or more, not 0"),
        (lambda: Retry(within_s=0), "within_s must be a number above 0"),
        (lambda: Retry(retry_after_limit_s=-1), "retry_after_limit_s must be a number above 0"),
        (lambda: Backoff(0), "base_s must be a number above 0"),
        (lambda: Backoff(2, 1), r"cap_s \(1\) must not be below base_s \(2\)"),
        (lambda: RetryBudget(ratio=-1), "ratio must be a number, 0 or more"),
        (lambda: RetryBudget(capacity=0), "capacity must be a whole number, 1 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        make()
