"""A turn's records: their number follows the time that turns take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast import State
from holdfast.engine.unit import UNIT_STATE_BYTES, Unit
from holdfast.kafka.consumer import Batch
from holdfast.record import TopicPartition
from holdfast.runtime import handling
from holdfast.runtime.handling import FETCH_RECORDS, SLICE_RECORDS, BatchHandler
from tests.unit.engine.kit import IN, Added, Bench, added, make_plan


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


class OneShard:
    """A running shard of a processor that stores 500 KB under each key; notes what is to be read again."""

    def __init__(self) -> None:
        def keep(event: Added, texts: State[str]) -> None:
            texts.set("x" * 500_000)

        self.owned = self
        self.bench = Bench(make_plan(keep, tables={"texts": str}))
        self.task = self.bench.task
        self.again: dict[TopicPartition, int] = {}

    def running_shard(self, partition: int) -> OneShard:  # noqa: ARG002
        """This one."""
        return self

    def read_again(self, place: TopicPartition, offset: int) -> None:
        """Seek."""
        self.again[place] = offset


def test_a_unit_that_holds_much_state_takes_no_more_and_the_rest_is_read_again() -> None:
    """Before it is committed: 50,000 large values would not fit into memory."""
    shard: Any = OneShard()
    handler, unit, place = BatchHandler(shard, shard), Unit(), TopicPartition(IN, 3)
    handler.fetch_records = 4_000
    records = [added(n, f"key-{n}") for n in range(500)]
    handler.handle(Batch({place: records}, {place: 900}), unit)
    assert unit.records < UNIT_STATE_BYTES / 500_000 + SLICE_RECORDS
    assert shard.again == {place: unit.records}
    assert shard.task.positions == {IN: unit.records}
    assert handler.fetch_records == 2_000
    handler.handle(Batch({place: records[unit.records :]}), unit)
    assert shard.task.positions == {IN: unit.records}
    shard.task.seal()
    fresh = Unit()
    handler.handle(Batch({place: records[unit.records :]}), fresh)
    assert fresh.records
