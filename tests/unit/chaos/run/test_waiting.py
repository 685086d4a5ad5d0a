"""What does not come in time is told, and the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.chaos.run import waiting
from holdfast.chaos.run.settings import Untold
from holdfast.chaos.run.waiting import steady, until


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Nobody waits really."""
    made = Clock()
    monkeypatch.setattr(waiting, "time", made)
    return made


def scene(fresh: Iterator[bool]) -> Any:
    """A run whose output is fresh or not at each look; steady is what is fresh for a second, within 5 s."""
    wanted = SimpleNamespace(fresh_within_ms=1_000, for_ms=1_000, reached_within_ms=5_000)
    return SimpleNamespace(
        experiment=SimpleNamespace(steady_state=wanted),
        watch=SimpleNamespace(fresh_within=lambda _: next(fresh)),
        told=Untold(),
        trouble=[],
    )


def test_it_is_steady_when_it_was_fresh_all_the_while(clock: Clock) -> None:
    looks = [False] * 3 + [True] * 6 + [False] + [True] * 50
    run = scene(iter(looks))
    assert steady(run, "before the first fault")
    # From the look after the last stale one, at 1.0 s.
    assert 2.0 <= clock.now <= 2.2
    assert run.trouble == []


def test_a_steady_state_that_does_not_come_is_trouble(clock: Clock) -> None:
    run = scene(iter([True, False] * 100))
    assert not steady(run, "after the last fault")
    assert 5.0 <= clock.now <= 5.3
    assert run.trouble == ["not steady after the last fault within 5 s"]


@pytest.mark.usefixtures("clock")
def test_what_holds_at_once_needs_no_time() -> None:
    run = scene(iter(()))
    assert until(run, lambda: True, 0.0, "all processed")
    assert run.trouble == []
