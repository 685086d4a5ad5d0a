"""Brokers that do not come back by themselves are restarted before the topics are read, and told."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.chaos.run import wholeness
from holdfast.chaos.run.wholeness import make_whole
from holdfast.errors import BrokersUnreachable


class Brokers:
    """Three brokers, which serve after a restart of some."""

    names = ("broker-1", "broker-2", "broker-3")

    def __init__(self, need: Collection[str]) -> None:
        self.missing = set(need)
        self.restarted: list[str] = []

    def stop(self, name: str) -> None:
        self.restarted.append(name)

    def start(self, name: str) -> None:
        self.missing.discard(name)

    def wait_until_whole(self, _timeout: float) -> None:
        if self.missing:
            raise BrokersUnreachable(f"{len(self.missing)} are missing")


def lab(brokers: Brokers, kind: str = "embedded") -> Any:
    """A lab that has these brokers."""
    return SimpleNamespace(brokers=brokers, kind=kind, bootstrap_servers="x")


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Say which brokers take part in the cluster."""
    found = {1, 2, 3}
    monkeypatch.setattr(wholeness, "present_brokers", lambda *_: frozenset(found))
    return found


def test_brokers_that_serve_are_left_alone(present: set[int]) -> None:
    brokers = Brokers(())
    assert make_whole(lab(brokers), "in") == ()
    assert brokers.restarted == []


def test_only_the_one_that_takes_no_part_is_restarted(present: set[int]) -> None:
    """Its process may run: a clock that was ahead keeps it from connecting."""
    present.discard(2)
    brokers = Brokers(["broker-2"])
    assert make_whole(lab(brokers), "in") == ("broker-2",)
    assert brokers.restarted == ["broker-2"]


def test_where_nobody_is_missing_a_restart_would_help_nothing(present: set[int]) -> None:
    brokers = Brokers(["broker-2"])
    with pytest.raises(BrokersUnreachable):
        make_whole(lab(brokers), "in")
    assert brokers.restarted == []


def test_brokers_of_somebody_else_are_never_restarted(present: set[int]) -> None:
    present.discard(2)
    brokers = Brokers(["broker-2"])
    with pytest.raises(BrokersUnreachable):
        make_whole(lab(brokers, "external"), "in")
    assert brokers.restarted == []
