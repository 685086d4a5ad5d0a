"""Leader tasks in a topology that is run in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.errors import TopologyError
from holdfast.testing import TopologyTest

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MODULE = """
from holdfast import Event, Leadership, leader_task
class Noon(Event):
    token: int
    missed: int
@leader_task
def ring(leadership: Leadership):
    yield Noon(token=leadership.token, missed=leadership.missed)
    if leadership.token > 8:
        raise ValueError("the bell is broken")
"""


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[TopologyTest]:
    """Give a clock tower in memory."""
    (tmp_path / "clock_tower.py").write_text(MODULE)
    file = tmp_path / "topology.yaml"
    file.write_text(
        "app: tower\n"
        "topics: {noons: {event: clock_tower:Noon, partitions: 1}}\n"
        'leader_tasks: {ring: {task: clock_tower:ring, cron: "0 12 * * *", writes: [noons]}}\n'
    )
    return TopologyTest(file)


def test_a_task_is_run_for_a_time_under_a_token(clock: TopologyTest) -> None:
    """Its events have that time."""
    clock.run_leader_task("ring", NOON, token=7, missed=2)
    (rung,) = clock.events("noons")
    assert (rung.event.token, rung.event.missed) == (7, 2)
    assert rung.timestamp == NOON.timestamp() * 1000


def test_a_task_that_raises_writes_nothing(clock: TopologyTest) -> None:
    """Not what it yielded before either, as with a real leader."""
    with pytest.raises(ValueError, match="the bell is broken"):
        clock.run_leader_task("ring", NOON, token=9)
    assert list(clock.events("noons")) == []


def test_a_task_that_is_not_declared_is_told(clock: TopologyTest) -> None:
    """With what is."""
    with pytest.raises(TopologyError, match=r'leader task "rign" is not declared.*did you mean "ring"'):
        clock.run_leader_task("rign", NOON)
