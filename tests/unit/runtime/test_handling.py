"""A turn's records: their number follows the time that turns take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.engine.unit import Unit
from holdfast.kafka.consumer import Batch
from holdfast.runtime import handling
from holdfast.runtime.handling import FETCH_RECORDS, BatchHandler


def sizes(monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> list[int]:
    """How many records are fetched after turns that took so many seconds."""
    nobody: Any = None
    handler = BatchHandler(nobody, nobody)
    found = []
    for turn in seconds:
        clock = iter([0.0, turn])
        monkeypatch.setattr(handling, "time", SimpleNamespace(monotonic=lambda clock=clock: next(clock)))
        handler.handle(Batch(), Unit())
        found.append(handler.fetch_records)
    return found


def test_quick_turns_fetch_twice_as_many_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a single record: how slow the handler is, is not known before."""
    found = sizes(monkeypatch, [0.001] * 15)
    assert found[:3] == [2, 4, 8]
    assert found[-1] == FETCH_RECORDS


def test_slow_turns_fetch_half_as_many_down_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction must not be open for long, and one record is always worth a try."""
    assert sizes(monkeypatch, [0.001, 0.001, 0.5, 0.5, 0.5]) == [2, 4, 2, 1, 1]


def test_turns_of_the_right_length_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a quarter of the aim and the aim."""
    assert sizes(monkeypatch, [0.001, 0.03, 0.09]) == [2, 2, 2]
