"""Leaders whose clocks disagree: what one has run by a wrong clock stops nobody who comes after it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TestCluster
from tests.support.leaders import LeaderApplication

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]


SKEW = """
# The clock of this process is ahead, as that of a machine that was started with a wrong one.
import os, time
real, ahead = time.time, float(os.environ.get("TEST_CLOCK_AHEAD_S", "0"))
time.time = lambda: real() + ahead
"""


@pytest.fixture
def app(cluster: TestCluster, tmp_path: Path, unique_name: Callable[[str], str]) -> LeaderApplication:
    """Give an application that ticks."""
    tasks = {"tick": {"every": "500ms"}}
    return LeaderApplication(tmp_path, cluster.bootstrap_servers, unique_name("app"), tasks)


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a function that sets the clock of candidates that are started from now on, in seconds ahead."""
    (tmp_path / "skew").mkdir()
    (tmp_path / "skew" / "sitecustomize.py").write_text(SKEW)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'skew'}:{os.environ.get('PYTHONPATH', '')}")
    return lambda ahead: monkeypatch.setenv("TEST_CLOCK_AHEAD_S", str(ahead))


def test_a_leader_whose_clock_was_ahead_stops_nobody_after_it(
    app: LeaderApplication, set_clock: Callable[[float], None]
) -> None:
    """The next one goes on by its own clock and says so; it waited until time had caught up."""
    set_clock(1800.0)
    with app.candidates(1) as candidates:
        _, token = candidates.until_led()
        candidates.until_ticks(3)
    set_clock(0.0)
    began, before = time.time() * 1000, len(app.ticks())
    with app.candidates(1) as candidates:
        _, next_token = candidates.until_led(after=token)
        ticks = candidates.until_ticks(before + 4)[before:]
    assert next_token == token + 1
    assert all(began <= tick["at"] <= time.time() * 1000 for tick in ticks)
    assert "leader task tick: its last run is recorded for" in app.logs()
    assert "ahead of this clock" in app.logs()


def test_runs_whose_outputs_the_brokers_refuse_for_their_time_are_not_recorded(
    app: LeaderApplication, set_clock: Callable[[float], None]
) -> None:
    """More than an hour ahead, by the brokers' defaults. Who leads by the right clock runs its times."""
    set_clock(86_400.0)
    with app.candidates(1) as candidates:
        _, token = candidates.until_led()
        candidates.until(lambda: "failing: tick" in candidates.view(0).status.role, 30, "a word of it")
    assert app.history().runs == {}
    assert "this machine's clock is wrong" in app.logs()
    set_clock(0.0)
    with app.candidates(1) as candidates:
        candidates.until_led(after=token)
        candidates.until_ticks(3)
    times = [tick["at"] for tick in app.ticks()]
    assert len(set(times)) == len(times)
