"""Workers that are added are seen to work, and to be gone."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.chaos.faults import fault, members
from holdfast.chaos.faults.members import Added
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

    def is_running(self, name: str) -> bool:
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
