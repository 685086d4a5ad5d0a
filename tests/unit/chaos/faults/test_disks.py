"""Brokers whose disks were full are up again afterwards, whenever they ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast.chaos.faults import disks
from holdfast.chaos.faults.disks import DiskFull
from holdfast.errors import FaultFailed


class FullDisk:
    """A disk without room, as long as its ballast is there."""

    def __init__(self, folder: Path) -> None:
        self.ballast = folder / "ballast"

    def fill(self) -> int:
        self.ballast.touch()
        return 1_000

    @property
    def free(self) -> int:
        return 0 if self.ballast.exists() else 1_000


class Halting:
    """Brokers that are found up so many times, and then have ended; each start does that anew, or not."""

    def __init__(self, looks: int, *, again: bool = False) -> None:
        self._looks, self._again = looks, again
        self.looks_left = looks
        self.started: list[str] = []

    def incarnation(self, name: str) -> str | None:
        if name != "broker-1" or (self.started and not self._again):
            return f"life of {name}"
        self.looks_left -= 1
        return f"life of {name}" if self.looks_left >= 0 else None

    def start(self, name: str) -> None:
        self.started.append(name)
        self.looks_left = self._looks


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(disks, "UP_S", 0.2)
    monkeypatch.setattr(disks, "UP_WITHIN_S", 0.5)
    monkeypatch.setattr(disks, "_LOOK_S", 0.01)


def full(folder: Path, brokers: Any) -> DiskFull:
    """A fault of one disk."""
    disk: Any = FullDisk(folder)
    fault = DiskFull({"broker-1": disk}, brokers)
    fault.begin()
    return fault


@pytest.mark.parametrize("looks", [0, 3])
def test_a_broker_that_ended_or_is_just_halting_is_started_again(tmp_path: Path, looks: int) -> None:
    brokers = Halting(looks)
    assert full(tmp_path, brokers).end() == {"ended": ["broker-1"], "free": {"broker-1": 1_000}}
    assert brokers.started == ["broker-1"]


def test_a_broker_that_lived_through_it_is_left_alone(tmp_path: Path) -> None:
    brokers = Halting(1_000_000)
    assert full(tmp_path, brokers).end()["ended"] == []
    assert brokers.started == []


def test_a_broker_that_ends_again_and_again_is_told(tmp_path: Path) -> None:
    with pytest.raises(FaultFailed, match="broker-1 ends again and again, though its disk has room"):
        full(tmp_path, Halting(2, again=True)).end()
