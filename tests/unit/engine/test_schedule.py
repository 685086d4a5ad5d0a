"""When a task is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.schedule import MISSED_LIMIT, Cron, Every, Schedule, duration_text

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
S = timedelta(seconds=1)


def hours(count: float) -> timedelta:
    """So many hours."""
    return timedelta(hours=count)


def test_an_interval_begins_at_once_and_goes_on_in_its_row() -> None:
    """Not later because a run was late."""
    every = Every(hours(1))
    assert every.due(None, NOON, NOON) == (NOON, 0)
    assert every.due(NOON, NOON, NOON + hours(1) - S) is None
    assert every.due(NOON, NOON, NOON + hours(1.4)) == (NOON + hours(1), 0)
    assert every.following(NOON, NOON) == NOON + hours(1)


def test_an_interval_that_nobody_could_run_is_run_once_and_the_rest_counted() -> None:
    """The newest time is run; it keeps its row."""
    assert Every(hours(1)).due(NOON, NOON, NOON + hours(5.5)) == (NOON + hours(5), 4)
    assert Every(hours(1)).due(None, NOON, NOON + hours(5.5)) == (NOON + hours(5), 5)


def test_a_cron_time_that_passed_while_nobody_led_is_run_once() -> None:
    """Three nights without a leader: the last of them is run in the morning, the others are counted."""
    cron = Cron("0 3 * * *")
    assert cron.due(NOON, NOON, NOON + hours(14)) is None
    assert cron.due(NOON, NOON, NOON + hours(15)) == (NOON + hours(15), 0)
    assert cron.due(NOON, NOON, NOON + hours(70)) == (NOON + hours(63), 2)
    assert cron.following(NOON, NOON) == NOON + hours(15)


def test_a_cron_time_before_the_task_was_declared_is_nobodys() -> None:
    """A new task waits for its next time, and so does one whose expression changed after its last run."""
    cron = Cron("0 3 * * *")
    assert cron.due(None, NOON, NOON + hours(1)) is None
    assert cron.due(NOON - hours(100), NOON, NOON + hours(1)) is None
    assert cron.following(None, NOON) == NOON + hours(15)


def test_a_zone_is_the_tasks_own() -> None:
    """Three in the morning in Berlin is two in UTC, and one in summer."""
    cron = Cron("0 3 * * *", "Europe/Berlin")
    assert cron.following(None, NOON) == datetime(2026, 3, 3, 2, tzinfo=UTC)
    assert cron.following(None, NOON + hours(24 * 60)) == datetime(2026, 5, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "at"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_time_that_the_clocks_skip_or_repeat_is_run_once(day: datetime, at: datetime) -> None:
    """Half past two does not exist on one day in spring and comes twice on one in autumn."""
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert cron.due(None, day, day + hours(23)) == (at, 0)
    assert cron.due(at, day, day + hours(23)) is None


def test_very_many_missed_times_are_counted_up_to_a_limit() -> None:
    """The newest is found all the same."""
    now = NOON + hours(24 * 365) + 20 * S
    assert Cron("* * * * *").due(None, NOON, now) == (NOON + hours(24 * 365), MISSED_LIMIT)


SCHEDULES = st.sampled_from(
    [Every(S), Every(90 * S), Cron("* * * * *"), Cron("*/7 * * * *"), Cron("5 0 * * 1")]
)


@given(SCHEDULES, st.none() | st.integers(-5_000, 5_000), st.integers(0, 900_000))
def test_what_is_due_has_passed_and_was_not_run(schedule: Schedule, last: int | None, now: int) -> None:
    """And running it leaves nothing due until the next time of the row."""
    before, at = None if last is None else NOON + last * S, NOON + now * S
    due, following = schedule.due(before, NOON, at), schedule.following(before, NOON)
    assert following is not None
    assert (due is not None) == (following <= at)
    if due is not None:
        assert following <= due.at <= at
        assert due.missed >= 0
        assert schedule.due(due.at, NOON, at) is None


@pytest.mark.parametrize(
    ("ms", "text"), [(100, "100ms"), (30_000, "30s"), (5_400_000, "90m"), (86_400_000, "1d")]
)
def test_durations_are_told_in_their_largest_unit(ms: int, text: str) -> None:
    """As in a topology file."""
    assert duration_text(ms) == text
