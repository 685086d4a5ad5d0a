"""Workers that are added, killed or suspended are seen to be so, and what undoes it is known before."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.chaos.faults import fault, members
from holdfast.chaos.faults.members import Added, Crashed, Ended, Rolled, Suspended
from holdfast.chaos.undo.actions import Action, Run
from holdfast.errors import FaultFailed


class Pool:
    """Workers that come up and go, or do not."""

    def __init__(self, *, comes_up: bool = True, goes: bool = True) -> None:
        self.up: set[str] = set()
        self._comes_up, self._goes = comes_up, goes

    def start(self, name: str) -> None:
        self.up.add(name)

    def stop(self, name: str) -> None:
        if self._goes:
            self.up.discard(name)

    def incarnation(self, name: str) -> str | None:
        return f"pid of {name}" if name in self.up else None

    def takes_part(self, name: str) -> bool:
        return self._comes_up and name in self.up


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for what does not come."""
    monkeypatch.setattr(members, "WHOLE_S", 0.1)
    monkeypatch.setattr(fault.seen, "__defaults__", (0.1,))


def added(pool: Any) -> Added:
    """Two more workers."""
    return Added(pool, ["worker-1", "worker-2"])


def test_workers_that_are_added_run_and_are_gone_afterwards() -> None:
    pool = Pool()
    scaled = added(pool)
    assert scaled.begin()["started"] == {name: f"pid of {name}" for name in ("worker-1", "worker-2")}
    assert scaled.end() == {"stopped": ["worker-1", "worker-2"]}
    assert pool.up == set()


def test_a_worker_that_does_not_come_up_was_not_added() -> None:
    """A process that is started and dies again and again is none."""
    with pytest.raises(FaultFailed, match="worker-1 runs: not seen within"):
        added(Pool(comes_up=False)).begin()


def test_a_worker_that_stays_is_told() -> None:
    scaled = added(Pool(goes=False))
    scaled.begin()
    with pytest.raises(FaultFailed, match="worker-1 is gone: not seen within"):
        scaled.end()


class Restarting(Pool):
    """Workers that are down for the first looks, as after a crash, and are started by their supervisor."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks
        self.crashed: list[str] = []
        self.suspended: set[str] = set()

    def incarnation(self, name: str) -> str | None:
        self._looks -= 1
        return f"life {len(self.crashed)} of {name}" if self._looks < 0 else None

    def crash(self, name: str) -> None:
        self.crashed.append(name)

    def undo_of_suspend(self, name: str) -> Action | None:
        life = self.incarnation(name)
        return Run(command=("let go on", life)) if life is not None else None

    def is_suspended(self, name: str) -> bool:
        return name in self.suspended

    def suspend(self, name: str) -> None:
        self.suspended.add(name)

    def resume(self, name: str) -> None:
        self.suspended.discard(name)


def test_a_worker_that_is_just_being_started_again_is_hit_when_it_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That it had ended by itself a moment before is no reason to say that the run proves nothing."""
    monkeypatch.setattr(members, "BACK_S", 5.0)
    pool: Any = Restarting(looks=3)
    assert Crashed(pool, ["worker-1"]).begin() == {"crashed": {"worker-1": "life 0 of worker-1"}}
    assert pool.crashed == ["worker-1"]


def test_a_worker_that_stays_down_cannot_be_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "BACK_S", 0.1)
    pool: Any = Restarting(looks=1_000_000)
    with pytest.raises(FaultFailed, match="worker-1 is up: not seen within 0 s; another fault has ended it"):
        Crashed(pool, ["worker-1"]).begin()


def test_what_lets_a_worker_go_on_is_known_before_it_is_suspended_also_of_one_that_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stranger would have nothing to do otherwise, and the worker would stand still for ever."""
    monkeypatch.setattr(members, "BACK_S", 5.0)
    pool: Any = Restarting(looks=3)
    fault = Suspended(pool, ["worker-1"])
    assert fault.undo() == (Run(command=("let go on", "life 0 of worker-1")),)
    assert fault.begin() == {"suspended": {"worker-1": "life 0 of worker-1"}}
    assert fault.end() == {"resumed": {"worker-1": "life 0 of worker-1"}}


def test_a_worker_in_another_life_than_the_one_that_would_be_let_go_on_is_not_suspended() -> None:
    pool: Any = Restarting(looks=0)
    fault = Suspended(pool, ["worker-1"])
    fault.undo()
    pool.crash("worker-1")
    with pytest.raises(FaultFailed, match="worker-1 ended just when it was to be suspended"):
        fault.begin()
    fault.end()
    assert pool.suspended == set()


def test_a_worker_that_begins_another_life_as_it_is_suspended_does_not_stay_so() -> None:
    """Nobody else would know of it."""
    pool: Any = Restarting(looks=0)
    fault = Suspended(pool, ["worker-1"])
    fault.undo()

    def too_late(name: str) -> None:
        pool.crash(name)
        pool.suspended.add(name)

    pool.suspend = too_late
    with pytest.raises(FaultFailed, match="worker-1 ended just when it was to be suspended"):
        fault.begin()
    fault.end()
    assert pool.suspended == set()


def test_a_worker_that_was_killed_while_it_stood_still_did_not_stand_still() -> None:
    """Its supervisor takes it for one that hangs after a time: what was seen is a kill, and no freeze."""
    pool: Any = Restarting(looks=0)
    fault = Suspended(pool, ["worker-1"])
    fault.undo()
    fault.begin()
    pool.crash("worker-1")
    with pytest.raises(FaultFailed, match="worker-1 was killed while it stood still"):
        fault.end()
    assert pool.suspended == set()


class Deaf(Pool):
    """Servers of which one does not hear SIGTERM, and has to be killed."""

    names = ("broker-1", "broker-2")

    def __init__(self) -> None:
        super().__init__()
        self.up = set(self.names)
        self._lives = 0

    def start(self, name: str) -> None:
        self._lives += 1
        super().start(name)

    def incarnation(self, name: str) -> str | None:
        return f"life {self._lives} of {name}" if name in self.up else None

    def stop(self, name: str) -> bool:
        super().stop(name)
        return name == "broker-2"

    def wait_until_whole(self, _timeout: float) -> None:
        """They always are."""


def test_a_stop_that_came_to_a_kill_is_told() -> None:
    pool: Any = Deaf()
    begun = Ended(pool, Deaf.names, orderly=True).begin()
    assert begun["killed"] == ["broker-2"]
    assert begun["ended"].keys() == set(Deaf.names)


def test_a_stop_in_good_order_says_nothing_of_a_kill() -> None:
    pool: Any = Deaf()
    assert "killed" not in Ended(pool, ["broker-1"], orderly=True).begin()


def test_a_restart_that_came_to_a_kill_is_told() -> None:
    pool: Any = Deaf()
    begun = Rolled(pool, Deaf.names).begin()
    assert begun["killed"] == ["broker-2"]
    assert begun["restarted"].keys() == set(Deaf.names)
