"""A rate limit: calls begin no faster than it says."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import PolicyError, RateLimited
from holdfast.resilience import RateLimit
from tests.unit.resilience.clock import ManualClock


def limit(clock: ManualClock, **settings: float) -> RateLimit:
    return RateLimit("gateway", clock=clock, sleep=clock.sleep, sleep_async=clock.sleep_async, **settings)  # type: ignore[arg-type]


def test_calls_are_spaced_evenly() -> None:
    clock = ManualClock()
    rate = limit(clock, calls=4, per_s=1)
    began = [rate.call(clock) for _ in range(5)]
    assert began == [100, 100.25, 100.5, 100.75, 101]


def test_coroutines_are_spaced_the_same_way() -> None:
    async def note() -> float:
        return clock()

    clock = ManualClock()
    rate = limit(clock, calls=4, per_s=1)
    assert [asyncio.run(rate.call_async(note)) for _ in range(3)] == [100, 100.25, 100.5]


def test_after_a_pause_a_burst_may_begin_at_once() -> None:
    clock = ManualClock()
    rate = limit(clock, calls=1, per_s=1, burst=3)
    assert [rate.call(clock) for _ in range(4)] == [100, 100, 100, 101]
    clock.advance(60)
    assert [rate.call(clock) for _ in range(4)] == [161, 161, 161, 162]


def test_a_call_that_would_wait_too_long_is_refused_and_takes_no_turn() -> None:
    clock = ManualClock()
    rate = limit(clock, calls=1, per_s=1, wait_s=1)
    assert [rate.reserve(), rate.reserve()] == [0, 1]
    for _ in range(5):
        with pytest.raises(RateLimited, match="rate limit gateway allows the next call in 2 s") as refused:
            rate.reserve()
        assert refused.value.wait_s == 2
    clock.advance(1)
    assert rate.reserve() == 1


@given(
    calls=st.integers(1, 5),
    burst=st.integers(1, 4),
    waits=st.lists(st.sampled_from([0.0, 0.1, 0.5, 3.0]), max_size=50),
)
def test_in_no_span_of_time_begin_more_calls_than_allowed(calls: int, burst: int, waits: list[float]) -> None:
    clock = ManualClock()
    rate = limit(clock, calls=calls, per_s=1, burst=burst, wait_s=1e9)
    began = []
    for wait in waits:
        clock.advance(wait)
        began.append(clock.now + rate.reserve())
    for first in range(len(began)):
        for last in range(first, len(began)):
            span = began[last] - began[first]
            assert last - first + 1 <= burst + span * calls + 1e-6


def test_settings_that_cannot_work_are_refused() -> None:
    for wrong in (
        {"calls": 0},
        {"calls": 1, "per_s": 0},
        {"calls": 1, "burst": 0},
        {"calls": 1, "wait_s": -1},
    ):
        with pytest.raises(PolicyError):
            limit(ManualClock(), **wrong)
