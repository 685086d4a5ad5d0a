"""Sliding windows hold what a recount of all calls gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.resilience.window import CountWindow, TimeWindow

_outcomes = st.tuples(st.booleans(), st.booleans())


@given(size=st.integers(1, 9), outcomes=st.lists(_outcomes, max_size=40))
def test_a_count_window_holds_the_last_calls(size: int, outcomes: list[tuple[bool, bool]]) -> None:
    window = CountWindow(size)
    for number, (failed, slow) in enumerate(outcomes, start=1):
        window.add(failed, slow, 0.0)
        kept = outcomes[max(0, number - size) : number]
        assert window.calls == len(kept)
        assert window.failed == sum(failed for failed, _ in kept)
        assert window.slow == sum(slow for _, slow in kept)


@given(
    seconds=st.integers(1, 6),
    begin=st.floats(0, 10),
    steps=st.lists(
        st.tuples(st.floats(0, 4) | st.sampled_from([0.0, 0.5, 1.0, 50.0]), _outcomes), max_size=40
    ),
)
def test_a_time_window_holds_the_calls_of_its_last_whole_seconds(
    seconds: int, begin: float, steps: list[tuple[float, tuple[bool, bool]]]
) -> None:
    window = TimeWindow(seconds, begin)
    now = begin
    seen: list[tuple[int, bool, bool]] = []
    for wait, (failed, slow) in steps:
        now += wait
        window.add(failed, slow, now)
        seen.append((int(now), failed, slow))
        kept = [one for one in seen if one[0] > int(now) - seconds]
        assert window.calls == len(kept)
        assert window.failed == sum(failed for _, failed, _ in kept)
        assert window.slow == sum(slow for _, _, slow in kept)


def test_a_time_window_is_empty_when_nothing_came_for_its_length() -> None:
    window = TimeWindow(3, 0.0)
    window.add(True, True, 0.5)
    window.advance(2.9)
    assert window.calls == 1
    window.advance(3.0)
    assert (window.calls, window.failed, window.slow) == (0, 0, 0)


def test_a_call_whose_clock_was_read_before_another_one_ended_is_counted_all_the_same() -> None:
    window = TimeWindow(3, 0.0)
    window.add(False, False, 5.1)
    window.add(True, False, 4.9)
    assert (window.calls, window.failed) == (2, 1)
