"""Inputs muted up to different offsets: none goes beyond its own before the others have come to theirs."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast import State
from holdfast.engine.shard import ShardTask
from holdfast.engine.unit import Unit
from holdfast.kafka.consumer import Batch
from holdfast.record import TopicPartition
from holdfast.runtime.handling import BatchHandler
from holdfast.testing import MemoryMessage, MemoryStore
from tests.unit.engine.kit import Added, Sum, Totalled, make_plan

MUTED = {"a": 6, "b": 40}
"""Where the group stood in each input when it was set back."""

PARTITION = 3


def totals(event: Added, sums: State[Sum]) -> Totalled:
    """A running sum, which every output tells."""
    total = (sums.get() or Sum()).total + event.n
    sums.set(Sum(total=total))
    return Totalled(key=event.key, total=total)


def log_of(topic: str, offsets: list[int]) -> list[MemoryMessage]:
    """Records at the given offsets, between which there are control records."""
    value = Added(key="k", n=1).model_dump_json().encode()
    headers = [("ce_type", b"Added.v1")]
    return [
        MemoryMessage(topic, PARTITION, n, key=b"k", value=value, timestamp=n, headers=headers)
        for n in offsets
    ]


class Reading:
    """Reads two logs as a worker's inputs do, and knows which may be handed out."""

    def __init__(
        self, logs: dict[str, list[MemoryMessage]], ends: dict[str, int], rng: random.Random
    ) -> None:
        self._held: dict[TopicPartition, int] = {}
        self._logs, self._ends, self._rng = logs, ends, rng
        self._at = dict.fromkeys(logs, 0)

    def fetch(self) -> Batch:
        """Some records of some inputs, and the ends of those that are read up to them."""
        records, ends = {}, {}
        for topic in self._rng.sample(sorted(self._logs), k=len(self._logs)):
            place = TopicPartition(topic, PARTITION)
            left = [m for m in self._logs[topic] if m.offset() >= self._at[topic]]
            some = left[: self._rng.randrange(12)]
            if place in self._held:
                continue
            if some:
                records[place] = some
                self._at[topic] = some[-1].offset() + 1
            if len(some) == len(left):
                ends[place] = self._ends[topic]
        return Batch(records, ends)  # type: ignore[arg-type]

    @property
    def held(self) -> tuple[TopicPartition, ...]:
        """Inputs that are paused."""
        return tuple(self._held)

    def hold(self, place: TopicPartition, offset: int) -> None:
        """Pause."""
        self._held[place] = offset

    def go_on(self, place: TopicPartition) -> None:
        """Resume."""
        self.read_again(place, self._held.pop(place))

    def read_again(self, place: TopicPartition, offset: int) -> None:
        """Seek."""
        self._at[place.topic] = offset

    def go_back(self, positions: dict[str, int]) -> None:
        """After an abort."""
        self._held.clear()
        self._at = dict(positions)


@pytest.mark.parametrize("seed", range(40))
def test_new_records_meet_the_whole_state_and_their_outputs_are_written_once(seed: int) -> None:
    """However the inputs come in, with aborts, new owners, and control records before the fronts."""
    rng = random.Random(seed)
    logs = {
        topic: log_of(topic, sorted(rng.sample(range(front + 20), k=(front + 20) * 3 // 4)))
        for topic, front in MUTED.items()
    }
    ends = {topic: front + 20 for topic, front in MUTED.items()}
    old = sum(m.offset() < MUTED[topic] for topic, log in logs.items() for m in log)
    new = sum(map(len, logs.values())) - old
    plan = make_plan(totals, reads={"a": [Added], "b": [Added]})
    store = MemoryStore()
    task = ShardTask(plan, PARTITION, store, dict.fromkeys(logs, 0), muted=MUTED)
    reading = Reading(logs, ends, rng)
    shard = SimpleNamespace(task=task)

    def change_owner() -> ShardTask:
        """Begin anew where the last commit was, with the mutes that are still noted, in a restored store."""
        at = dict(shard.task.committed_positions)
        noted = {topic: front for topic, front in MUTED.items() if at[topic] < front or rng.random() < 0.5}
        reading.go_back(at)
        return ShardTask(plan, PARTITION, store, at, muted=noted)

    shards: Any = SimpleNamespace(owned=SimpleNamespace(running_shard=lambda _: shard))
    handler = BatchHandler(shards, reading)  # type: ignore[arg-type]
    committed: list[bytes] = []
    unit, records = Unit(), 0
    for _ in range(2_000):
        handler.handle(reading.fetch(), unit)
        if rng.random() < 0.3:
            if rng.random() < 0.3:
                shard.task.reset()
                reading.go_back(dict(shard.task.committed_positions))
            elif rng.random() < 0.2:
                shard.task = change_owner()
            else:
                store.apply(shard.task.seal().changes, {})
                shard.task.committed()
                committed += [out.value or b"" for out in unit.outputs]
                records += unit.records
            unit = Unit()
        if dict(shard.task.committed_positions) == ends:
            break
    assert records == old + new
    assert committed == [b'{"key":"k","total":%d,"text":""}' % n for n in range(old + 1, old + new + 1)]


def test_an_input_that_is_not_muted_waits_from_its_beginning() -> None:
    """It had no position when the group was set back: all of its records are new."""
    plan = make_plan(totals, reads={"a": [Added], "b": [Added]})
    task = ShardTask(plan, PARTITION, MemoryStore(), {"a": 0, "b": 0}, muted={"b": 5})
    assert task.count_ready("a", log_of("a", [0, 1])) == 0
    assert task.count_ready("b", log_of("b", [0, 1, 7])) == 3
    assert (task.waits("a"), task.waits("b")) == (True, False)
    task.advance("b", 5)
    assert (task.waits("a"), task.count_ready("a", log_of("a", [0, 1]))) == (False, 2)


def test_a_shard_that_begins_at_its_fronts_waits_for_nobody() -> None:
    """The mutes of a replay stay noted for ever."""
    plan = make_plan(totals, reads={"a": [Added], "b": [Added]})
    task = ShardTask(plan, PARTITION, MemoryStore(), {"a": 6, "b": 41}, muted=MUTED)
    assert not task.inputs_behind
    assert not task.waits("a")
