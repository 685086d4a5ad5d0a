"""What users of a circuit breaker see."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from holdfast.errors import CircuitOpen, PolicyError
from holdfast.resilience import BreakerSettings, CircuitBreaker, CircuitState, Transition
from tests.unit.resilience.clock import ManualClock

RULES = BreakerSettings(
    failure_rate=0.5,
    window_calls=4,
    window_s=None,
    minimum_calls=4,
    open_s=5,
    open_limit_s=20,
    open_jitter=0,
    half_open_calls=2,
    half_open_s=30,
)


class Down(Exception):
    """The downstream failed."""


class Wrong(Exception):
    """The request was wrong."""


def fails() -> None:
    raise Down


def answers() -> str:
    return "answer"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("gateway", RULES, ignored=(Wrong,), clock=clock, jitter=lambda: 0.5)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Down):
            breaker.call(fails)


def test_an_answer_passes_through_with_its_arguments(breaker: CircuitBreaker) -> None:
    assert breaker.call(lambda a, *, b: a + b, 1, b=2) == 3
    assert breaker.snapshot().succeeded == 1


def test_it_opens_when_half_of_the_calls_failed(breaker: CircuitBreaker) -> None:
    breaker.call(answers)
    breaker.call(answers)
    fail(breaker, 1)
    assert breaker.state is CircuitState.CLOSED
    fail(breaker, 1)
    assert breaker.state is CircuitState.OPEN


def test_an_open_circuit_refuses_and_says_for_how_long(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 4)
    clock.advance(2)
    with pytest.raises(
        CircuitOpen, match=r"breaker gateway is OPEN: it refuses calls for another 3 s"
    ) as refused:
        breaker.call(answers)
    assert refused.value.wait_s == 3
    assert breaker.snapshot().refused == 1


def test_the_last_probe_that_succeeds_closes_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 4)
    clock.advance(5)
    assert breaker.call(answers) == "answer"
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.call(answers) == "answer"
    assert breaker.state is CircuitState.CLOSED


def test_it_opens_for_longer_each_time_up_to_a_limit_and_a_success_resets_that(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    waits = []
    fail(breaker, 4)
    for _ in range(4):
        waits.append(breaker.wait_s())
        clock.advance(breaker.wait_s())
        fail(breaker, 1)
    assert waits == [5, 10, 20, 20]
    clock.advance(20)
    breaker.call(answers)
    breaker.call(answers)
    fail(breaker, 4)
    assert breaker.wait_s() == 5


def test_the_open_time_is_spread_by_the_jitter(clock: ManualClock) -> None:
    rules = BreakerSettings(window_calls=1, window_s=None, minimum_calls=1, open_s=10, open_jitter=0.2)
    for random, wait in ((0.0, 8), (0.5, 10), (1.0, 12)):
        breaker = CircuitBreaker("gateway", rules, clock=clock, jitter=lambda random=random: random)
        fail(breaker, 1)
        assert breaker.wait_s() == pytest.approx(wait)


def test_probes_that_never_end_do_not_hold_it_half_open(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 4)
    clock.advance(5)
    hung = [breaker.acquire(), breaker.acquire()]
    with pytest.raises(CircuitOpen, match="HALF_OPEN"):
        breaker.acquire()
    clock.advance(30)
    with pytest.raises(CircuitOpen, match="OPEN"):
        breaker.acquire()
    assert breaker.state is CircuitState.OPEN
    for permit in hung:
        breaker.succeed(permit, 35.0)
    assert breaker.state is CircuitState.OPEN
    assert breaker.snapshot().late == 2


def test_a_result_from_before_it_opened_does_not_count_as_a_probe(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    slow_ones = [breaker.acquire(), breaker.acquire()]
    fail(breaker, 4)
    clock.advance(5)
    probe = breaker.acquire()
    for permit in slow_ones:
        breaker.succeed(permit, 5.0)
    assert breaker.state is CircuitState.HALF_OPEN
    breaker.succeed(probe, 0.1)
    assert breaker.state is CircuitState.HALF_OPEN


async def cancelled_probe(breaker: CircuitBreaker) -> None:
    began = asyncio.Event()

    async def hangs() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(breaker.call_async(hangs))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_probe_that_is_cancelled_gives_its_place_back(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 4)
    clock.advance(5)
    for _ in range(5):
        asyncio.run(cancelled_probe(breaker))
    breaker.call(answers)
    breaker.call(answers)
    assert breaker.state is CircuitState.CLOSED


def test_an_ignored_error_gives_its_place_back_and_counts_for_nothing(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    def wrong() -> None:
        raise Wrong

    for _ in range(10):
        with pytest.raises(Wrong):
            breaker.call(wrong)
    assert breaker.snapshot().calls == 0
    fail(breaker, 4)
    clock.advance(5)
    for _ in range(10):
        with pytest.raises(Wrong):
            breaker.call(wrong)
    assert breaker.call(answers) == "answer"


def test_an_error_that_is_no_failure_shows_that_the_downstream_answers(clock: ManualClock) -> None:
    breaker = CircuitBreaker("gateway", RULES, failures=(Down,), clock=clock)

    def refuses() -> None:
        raise Wrong

    for _ in range(8):
        with pytest.raises(Wrong):
            breaker.call(refuses)
    assert breaker.state is CircuitState.CLOSED
    assert breaker.snapshot().failure_rate == 0


def test_an_answer_can_be_a_failure(clock: ManualClock) -> None:
    breaker = CircuitBreaker("gateway", RULES, failed_result=lambda status: status >= 500, clock=clock)
    for status in (200, 500, 200, 503):
        assert breaker.call(lambda status=status: status) == status
    assert breaker.state is CircuitState.OPEN


def test_a_question_about_the_answer_that_raises_does_not_lose_a_probes_place(clock: ManualClock) -> None:
    def broken(answer: object) -> bool:
        raise TypeError

    breaker = CircuitBreaker("gateway", RULES, failed_result=broken, clock=clock)
    fail(breaker, 4)
    clock.advance(5)
    for _ in range(5):
        with pytest.raises(TypeError):
            breaker.call(answers)
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.wait_s() == 0


def test_slow_answers_open_it_too(clock: ManualClock) -> None:
    rules = BreakerSettings(
        failure_rate=None, slow_call_rate=1.0, slow_call_s=2, window_calls=3, window_s=None, minimum_calls=3
    )
    told: list[Transition] = []
    breaker = CircuitBreaker("gateway", rules, clock=clock, listeners=[told.append])
    for _ in range(3):
        breaker.call(clock.advance, 2.0)
    assert breaker.state is CircuitState.OPEN
    assert told[0].reason == "3 of 3 calls took 2 s or more, which reaches slow_call_rate 1"
    assert breaker.snapshot().slow == 3


def test_forced_open_refuses_without_end_until_it_is_closed(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    breaker.force_open("maintenance")
    clock.advance(1e6)
    with pytest.raises(
        CircuitOpen, match="breaker gateway is FORCED_OPEN: it refuses calls until it is told otherwise"
    ):
        breaker.call(answers)
    breaker.close()
    assert breaker.call(answers) == "answer"


def test_disabled_lets_everything_pass_and_counts_no_window(breaker: CircuitBreaker) -> None:
    breaker.disable()
    fail(breaker, 20)
    assert breaker.state is CircuitState.DISABLED
    assert breaker.snapshot().calls == 0


def test_observing_only_says_once_that_it_would_have_opened(breaker: CircuitBreaker) -> None:
    breaker.observe_only()
    told: list[Transition] = []
    breaker.listen(told.append)
    fail(breaker, 6)
    assert [(one.before, one.after) for one in told] == [
        (CircuitState.METRICS_ONLY, CircuitState.METRICS_ONLY)
    ]
    assert told[0].reason.startswith("would have opened: 4 of 4 calls failed")
    for _ in range(4):
        breaker.call(answers)
    fail(breaker, 4)
    assert len(told) == 2


def test_listeners_hear_every_change_in_order_and_one_that_raises_hurts_nobody(
    breaker: CircuitBreaker, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(transition: Transition) -> None:
        raise RuntimeError

    told: list[Transition] = []
    breaker.listen(raises)
    breaker.listen(told.append)
    fail(breaker, 4)
    clock.advance(5)
    breaker.call(answers)
    breaker.call(answers)
    assert [one.after.name for one in told] == ["OPEN", "HALF_OPEN", "CLOSED"]
    assert [one.generation for one in told] == [2, 3, 4]
    assert told[0].reason == "4 of 4 calls failed, which reaches failure_rate 0.5"
    assert told[2].reason == "2 of 2 probes succeeded"
    assert "a listener of breaker gateway failed" in caplog.text


def test_a_listener_may_use_the_breaker_that_it_listens_to(breaker: CircuitBreaker) -> None:
    told: list[str] = []

    def closes(transition: Transition) -> None:
        told.append(transition.after.name)
        if transition.after is CircuitState.OPEN:
            breaker.close()

    breaker.listen(closes)
    fail(breaker, 4)
    assert told == ["OPEN", "CLOSED"]
    assert breaker.call(answers) == "answer"


def test_a_snapshot_tells_the_rates_once_there_are_enough_calls(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    breaker.call(answers)
    clock.advance(3)
    assert breaker.snapshot().failure_rate is None
    fail(breaker, 1)
    breaker.call(answers)
    breaker.call(answers)
    snapshot = breaker.snapshot()
    assert (snapshot.failure_rate, snapshot.calls) == (0.25, 4)
    assert (snapshot.state, snapshot.state_s, snapshot.wait_s) == (CircuitState.CLOSED, 3, 0)


def test_a_snapshot_tells_of_slow_calls_only_where_it_is_known_what_is_slow(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    """A rate of 0 would say that none was."""
    rules = replace(breaker.settings, slow_call_rate=0.5, slow_call_s=2.0)
    with_limit = CircuitBreaker("search", rules, clock=clock)
    for each, rate in ((breaker, None), (with_limit, 0.25)):
        each.succeed(each.acquire(), 2.0)
        assert each.snapshot().slow_call_rate is None, "they are too few to say"
        for _ in range(3):
            each.succeed(each.acquire(), 1.0)
        assert each.snapshot().slow_call_rate == rate


def test_an_open_circuit_still_shows_what_opened_it(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    assert breaker.snapshot().failure_rate == 1


def test_many_threads_get_no_more_probes_than_there_are(clock: ManualClock) -> None:
    rules = BreakerSettings(
        window_calls=1, window_s=None, minimum_calls=1, open_s=1, open_jitter=0, half_open_calls=3
    )
    for _ in range(20):
        breaker = CircuitBreaker("gateway", rules, clock=clock)
        fail(breaker, 1)
        clock.advance(1)
        permits: list[int] = []
        _together(8, lambda breaker=breaker, permits=permits: _try(breaker, permits))
        assert len(permits) == 3
        assert len(set(permits)) == 1


def test_no_result_of_many_threads_is_lost() -> None:
    rules = BreakerSettings(failure_rate=1.0, window_calls=100_000, window_s=None, minimum_calls=100_000)
    breaker = CircuitBreaker("gateway", rules)

    def work() -> None:
        for number in range(2_000):
            if number % 4:
                breaker.call(answers)
            else:
                fail(breaker, 1)

    _together(8, work)
    snapshot = breaker.snapshot()
    assert (snapshot.succeeded, snapshot.failed, snapshot.calls) == (12_000, 4_000, 16_000)


def test_the_transitions_of_many_threads_are_told_in_order_and_completely() -> None:
    rules = BreakerSettings(
        window_calls=2,
        window_s=None,
        minimum_calls=2,
        open_s=1e-6,
        open_growth=1,
        open_limit_s=1e-6,
        half_open_calls=1,
    )
    told: list[int] = []
    breaker = CircuitBreaker("gateway", rules, listeners=[lambda one: told.append(one.generation)])

    def work() -> None:
        for number in range(1_000):
            with suppress(Down, CircuitOpen):
                breaker.call(answers if number % 3 else fails)

    _together(6, work)
    assert len(told) > 10
    assert told == list(range(2, len(told) + 2))


def _try(breaker: CircuitBreaker, permits: list[int]) -> None:
    with suppress(CircuitOpen):
        permits.append(breaker.acquire())


def _together(count: int, work: Callable[[], None]) -> None:
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"failure_rate": None}, "can never open: set failure_rate, slow_call_rate, or both"),
        ({"failure_rate": 50}, "failure_rate must be a fraction above 0 and at most 1"),
        ({"failure_rate": 0}, "failure_rate must be a fraction above 0"),
        ({"failure_rate": float("nan")}, "failure_rate must be a fraction above 0"),
        ({"slow_call_rate": 0.5}, "slow_call_rate and slow_call_s work only together"),
        ({"slow_call_s": 1}, "slow_call_rate and slow_call_s work only together"),
        ({"window_calls": 10}, "one window: give window_s"),
        ({"window_s": None}, "one window: give window_s"),
        ({"window_s": 0}, "window_s must be a whole number, 1 or more, not 0"),
        ({"window_s": 1.5}, "window_s must be a whole number"),
        (
            {"window_s": None, "window_calls": 10},
            "can never open: its window holds 10 calls, and rates are looked at from 20",
        ),
        ({"minimum_calls": 0}, "minimum_calls must be a whole number, 1 or more"),
        ({"open_s": 0}, "open_s must be a number above 0"),
        ({"open_s": float("inf")}, "open_s must be a number above 0"),
        ({"open_s": 61}, "open_limit_s .* must not be below open_s"),
        ({"open_growth": 0.5}, "open_growth must be a number, 1 or more"),
        ({"open_jitter": 1}, "open_jitter must be 0 or more and below 1"),
        ({"half_open_calls": 0}, "half_open_calls must be a whole number, 1 or more"),
        ({"half_open_s": -1}, "half_open_s must be a number above 0"),
        ({"minimum_calls": True}, "minimum_calls must be a whole number"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_reason(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        BreakerSettings(**wrong)  # type: ignore[arg-type]
