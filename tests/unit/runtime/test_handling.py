"""A turn's records: their number follows the time that turns take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast import State
from holdfast.engine.unit import UNIT_STATE_BYTES, Unit
from holdfast.kafka.consumer import Batch
from holdfast.record import TopicPartition
from holdfast.runtime import handling
from holdfast.runtime.handling import FETCH_RECORDS, SLICE_RECORDS, TURN_OUTPUTS, BatchHandler
from tests.unit.engine.kit import IN, Added, Bench, Totalled, added, make_plan

SOME: Any = {TopicPartition(IN, 3): [added(0)]}


def sizes(monkeypatch: pytest.MonkeyPatch, seconds: list[float], records: Any = SOME) -> list[int]:
    """How many records are fetched after turns that took so many seconds."""
    nobody: Any = SimpleNamespace(owned=SimpleNamespace(running_shard=lambda _: None), held=())
    handler = BatchHandler(nobody, nobody)
    found = []
    for turn in seconds:
        clock = iter([0.0, turn])
        monkeypatch.setattr(handling, "time", SimpleNamespace(monotonic=lambda clock=clock: next(clock)))
        handler.handle(Batch(records), Unit())
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


def test_turns_without_records_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker turns quickly while its shards are restored; a slow handler must not get thousands then."""
    assert sizes(monkeypatch, [0.001] * 15, {}) == [1] * 15


def keep(event: Added, texts: State[str]) -> None:
    """Store 500 KB under each key."""
    texts.set("x" * 500_000)


class OneShard:
    """A running shard; notes what is to be read again."""

    def __init__(self, handler: Callable[..., Any] = keep, **plan: Any) -> None:
        self.owned = self
        self.bench = Bench(make_plan(handler, **(plan or {"tables": {"texts": str}})))
        self.task = self.bench.task
        self.again: dict[TopicPartition, int] = {}
        self.held = ()

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


def test_records_with_many_outputs_each_do_not_pile_them_up_in_one_turn() -> None:
    """Outputs are sent between turns; what is left is read again."""

    def fan_out(event: Added) -> Iterator[Totalled]:
        return (Totalled(key=event.key, total=n) for n in range(2_000))

    shard: Any = OneShard(fan_out, tables={})
    handler, unit, place = BatchHandler(shard, shard), Unit(), TopicPartition(IN, 3)
    handler.handle(Batch({place: [added(n) for n in range(300)]}), unit)
    assert TURN_OUTPUTS <= len(unit.outputs) < TURN_OUTPUTS + SLICE_RECORDS * 2_000
    assert shard.again == {place: unit.records}


def test_a_handler_that_became_slow_is_looked_at_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice that takes too long makes the next ones smaller, down to a single record."""
    now = 0.0

    def slow(event: Added) -> None:
        nonlocal now
        now += 0.05

    monkeypatch.setattr(handling, "time", SimpleNamespace(monotonic=lambda: now))
    shard: Any = OneShard(slow, tables={}, writes={})
    handler, place = BatchHandler(shard, shard), TopicPartition(IN, 3)
    handled = []
    for start in (0, 100, 200):
        unit = Unit()
        handler.handle(Batch({place: [added(start + n) for n in range(100)]}), unit)
        handled.append(unit.records)
    # The first slice takes 3.2 s; later ones end soon after a turn's longest time, 1 s.
    assert handled[0] == SLICE_RECORDS
    assert all(20 <= records <= 28 for records in handled[1:])
