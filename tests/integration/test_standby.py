"""Warm copies of shards, and shards that are handed over: what a worker leaves behind when it goes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.offsets import OffsetAdmin
from holdfast.kafka.partitioner import partition_of
from holdfast.record import TopicPartition
from tests.support.application import COUNTER, Application, Run
from tests.support.command import holdfast, rows
from tests.support.events import Added
from tests.support.fold import assert_exactly_once
from tests.support.load import Load
from tests.support.uncommitted import frozen

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
Make = Callable[..., Application]

KEYS = 4_000


class Fleet:
    """Workers under a supervisor each, so that one can go for good."""

    def __init__(self, app: Application, workers: int) -> None:
        self.app = app
        self._stack = contextlib.ExitStack()
        self.runs: dict[str, Run] = {}
        for number in range(workers):
            self.start(f"w{number}")

    def start(self, name: str) -> None:
        """Start a worker."""
        self.runs[name] = self._stack.enter_context(self.app.run(name))

    def until(self, condition: Callable[[], bool], what: str, within: float = 40.0) -> None:
        """Let all workers run until a condition holds."""

        def holds() -> bool:
            for run in self.runs.values():
                run.supervisor.poll(0.01)
            return condition()

        next(iter(self.runs.values())).until(holds, within, what)

    def shares(self) -> dict[str, int]:
        """How many shards each worker runs."""
        return {name: run.running() for name, run in self.runs.items()}

    def until_shared(self, shards: int) -> None:
        """Wait until the workers run all shards together, evenly."""
        workers = len(self.runs)
        fair = {shards // workers, -(-shards // workers)}
        self.until(
            lambda: sum(self.shares().values()) == shards and set(self.shares().values()) <= fair,
            "fair shares",
        )

    def until_warm(self, copies: int) -> None:
        """Wait until so many warm copies are there, behind in nothing."""
        views = [run.views[0] for run in self.runs.values()]
        self.until(
            lambda: (
                sum(view.status.standbys for view in views) == copies
                and not any(view.status.behind for view in views)
            ),
            f"{copies} warm copies",
        )

    def lose(self, name: str) -> None:
        """SIGKILL a worker, which nobody starts again."""
        run = self.runs.pop(name)
        os.kill(run.pid(), signal.SIGKILL)
        run.stop()

    def restored(self) -> int:
        """Changelog records that restores have read."""
        return sum(run.views[0].status.restored for run in self.runs.values())

    def close(self) -> None:
        """Stop all."""
        self._stack.close()


@pytest.fixture
def fleet(application: Make) -> Iterator[Callable[..., Fleet]]:
    """Give a function that starts workers of an application whose keys all have a state."""
    with fleets_of(application) as make:
        yield make


@pytest.fixture
def fleet_on_both(on_both_protocols: Make) -> Iterator[Callable[..., Fleet]]:
    """Give a function like `fleet`, for a test that runs with each of Kafka's group protocols.

    With the newer one only two workers know for sure where a shard goes: to the other one.
    """
    with fleets_of(on_both_protocols) as make:
        yield make


@contextlib.contextmanager
def fleets_of(application: Make) -> Iterator[Callable[..., Fleet]]:
    """A function that starts workers, which are stopped at the end."""
    fleets: list[Fleet] = []

    def make(workers: int, shards: int, **options: object) -> Fleet:
        app = application(topic={"partitions": shards}, **options)
        app.publish(*(Added(key=f"k{number}", n=1) for number in range(KEYS)))
        fleets.append(made := Fleet(app, workers))
        made.until_shared(shards)
        made.until(lambda: app.lag() == 0, "all keys have a state")
        return made

    try:
        yield make
    finally:
        for each in fleets:
            each.close()


@pytest.mark.slow
def test_the_shards_of_a_lost_worker_go_where_they_are_warm(fleet: Callable[..., Fleet]) -> None:
    """Of four workers any may be lost, and then another: no restore reads more than the tail.

    This is also the test of the rule by which standbys are placed: it must be the client's.
    """
    made = fleet(4, 8, standby=1)
    for lost in ("w2", "w0"):
        made.until_warm(8)
        before = made.restored()
        made.lose(lost)
        made.until_shared(8)
        # Two or three shards moved, with hundreds of keys each.
        assert made.restored() - before < KEYS // 16, (lost, made.restored() - before)
    assert assert_exactly_once(made.app) == KEYS


def test_a_shard_moves_to_its_standby_under_load(fleet_on_both: Callable[..., Fleet]) -> None:
    """With every key changing all the time, the copy goes on exactly where the owner ended."""
    made = fleet_on_both(2, 4, standby=1)
    with Load(made.app, rate=1_000, keys=200):
        made.until(
            lambda: sum(run.views[0].status.standbys for run in made.runs.values()) == 4, "warm copies"
        )
        made.lose("w1")
        made.until(lambda: made.shares() == {"w0": 4}, "all shards at the other")
        made.start("w1")
        made.until_shared(4)
        made.until(
            lambda: sum(run.views[0].status.standbys for run in made.runs.values()) == 4, "warm copies"
        )
        made.lose("w0")
        made.until(lambda: made.shares() == {"w1": 4}, "all shards at the other")
    made.until(lambda: made.app.lag() == 0, "all is handled")
    assert_exactly_once(made.app)


@pytest.mark.slow
def test_a_worker_that_stops_hands_its_shards_over(fleet: Callable[..., Fleet]) -> None:
    """At once: its static membership would keep them for it until its session ends."""
    made = fleet(2, 4, session_timeout="60s")
    with Load(made.app, rate=500):
        made.until(lambda: made.app.lag() < KEYS, "load")
        made.runs.pop("w1").stop()
        began = time.monotonic()
        made.until(lambda: made.shares() == {"w0": 4}, "all shards at the other")
        assert time.monotonic() - began < 30
    made.until(lambda: made.app.lag() == 0, "all is handled")
    assert_exactly_once(made.app)


def test_a_worker_alone_keeps_its_place_when_it_stops(fleet: Callable[..., Fleet]) -> None:
    """Nobody could take the shards, and an empty group makes the next member wait on many brokers."""
    made = fleet(1, 4, session_timeout="60s")
    made.runs.pop("w0").stop()
    with GroupAdmin(made.app.servers) as groups:
        members = groups.describe(made.app.group).members
    assert [each.instance_id for each in members] == [f"{made.app.group}.w0-0"]


def test_a_standby_can_be_read_and_tells_how_far_it_is_behind(
    fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    """While its worker follows the changelog; the owner's machine need not be reached."""
    # Long: the worker with the standby is frozen for a while, and remains in the group.
    made = fleet(2, 2, standby=1, session_timeout="60s")
    made.until_warm(2)
    app = made.app

    def read(key: str, home: Path = app.home) -> dict[str, Any]:
        done = holdfast(
            *("state", "get", COUNTER, "sums", key, "--local", "--bootstrap-servers", app.servers),
            folder=app.folder,
            HOLDFAST_HOME=str(home),
        )
        [row] = rows(done)
        assert isinstance(row, dict)
        return row

    both = read("k7")
    assert both["value"] == {"count": 1, "total": 1}
    # Another machine, which has the standby only.
    shard, name = both["shard"], next(n for n in made.runs if both["shard"] not in owned_by(app, f"{n}-0"))
    other = f"{name}-0"
    elsewhere = tmp_path / "elsewhere"
    slots = elsewhere / app.state_folder().parent.relative_to(app.home)
    slots.mkdir(parents=True)
    (slots / other).symlink_to(app.state_folder(other))

    def standby() -> dict[str, Any]:
        return read("k7", elsewhere)

    first = {"value": {"count": 1, "total": 1}, "slot": other, "shard": shard, "behind": 0}
    # That it is past the last markers too is noted every few seconds only.
    made.until(lambda: standby() == first, "all of it is on disk")
    before = end_of(app, shard)
    keys = [key for key in (f"k{number}" for number in range(200)) if partition_of(key.encode(), 2) == shard]
    with frozen(made.runs[name]):
        app.publish(*(Added(key=key, n=1) for key in keys))
        made.until(lambda: app.lag() == 0, "the owner has handled them")
        # A change for each of them, and markers.
        grown = end_of(app, shard) - before
        assert grown > len(keys) > 50
        assert standby() == {**first, "behind": grown}
        assert read("k7")["value"] == {"count": 2, "total": 2}
    made.until(lambda: standby() == {**first, "value": {"count": 2, "total": 2}}, "it has caught up")


def end_of(app: Application, shard: int) -> int:
    """Where the changelog of a shard ends."""
    place = TopicPartition(app.changelog, shard)
    return OffsetAdmin(app.servers).ends([place])[place]


def owned_by(app: Application, slot: str) -> set[int]:
    """The shards that the group has given to a worker."""
    with GroupAdmin(app.servers) as groups:
        members = groups.describe(app.group).members
    return {
        place.partition
        for each in members
        for place in each.partitions
        if each.instance_id == f"{app.group}.{slot}"
    }
