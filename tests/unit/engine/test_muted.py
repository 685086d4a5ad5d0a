"""A shard that is replayed: state is made, outputs are not, up to where the group stood. And a shadow."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import State, To, Tombstone
from holdfast.engine.shard import ShardTask
from tests.unit.engine.kit import IN, LETTERS, OUT, Added, Bench, Sum, Totalled, added, make_plan


def totals(event: Added, sums: State[Sum]) -> Totalled:
    """Keep and tell a sum; a negative number is refused."""
    if event.n < 0:
        raise ValueError("negative")
    now = Sum(total=(sums.get() or Sum()).total + event.n)
    sums.set(now)
    return Totalled(key=event.key, total=now.total)


def replayed(until: int, **options: Any) -> Bench:
    """A shard that is muted up to an offset."""
    plan = make_plan(totals, **options)
    bench = Bench(plan)
    bench.task = ShardTask(plan, 3, bench.store, {IN: 0}, muted={IN: until})
    return bench


def test_outputs_begin_where_the_group_stood() -> None:
    """In the middle of a batch; the state knows all records."""
    bench = replayed(until=3)
    bench.handle(*(added(offset, n=offset) for offset in range(5)))
    assert [
        b'"total":%d' % total in (out.value or b"")
        for out, total in zip(bench.unit.outputs, (6, 10), strict=True)
    ]
    assert (bench.unit.records, bench.task.positions[IN]) == (5, 5)
    bench.commit()
    assert bench.state() == Sum(total=10)


def test_the_mute_is_by_offset_not_by_count() -> None:
    """Compacted inputs and control records leave gaps."""
    bench = replayed(until=10)
    bench.handle(added(2), added(9))
    assert bench.unit.outputs == []
    bench.handle(added(10), added(14))
    assert len(bench.unit.outputs) == 2


def test_after_an_abort_the_same_records_are_muted() -> None:
    """The mute is a matter of offsets, so that going back changes nothing."""
    bench = replayed(until=3)
    bench.handle(added(0), added(1), added(3))
    bench.task.reset()
    bench.unit.outputs.clear()
    bench.handle(added(0), added(1), added(3))
    assert len(bench.unit.outputs) == 1


def test_a_record_that_is_set_aside_is_told_while_muted() -> None:
    """It may be another one than the first time: nothing is skipped in silence."""
    bench = replayed(until=5, on_error="dead-letter")
    bench.handle(added(0), added(1, n=-1), added(2))
    assert [out.topic for out in bench.unit.outputs] == [LETTERS]
    assert (bench.unit.dead_letters, bench.unit.records) == (1, 3)


def test_a_shard_that_stops_while_muted_goes_no_further() -> None:
    """The records behind it are not handled, muted or not."""
    bench = replayed(until=2)
    bench.handle(added(0), added(1, n=-1), added(2), added(3))
    assert bench.task.failure is not None
    assert bench.task.failure.position.offset == 1
    assert (bench.task.positions[IN], bench.unit.outputs) == (1, [])


def test_a_shadow_writes_to_topics_of_its_own() -> None:
    """Outputs, those that are routed the long way, and dead letters."""

    def handler(event: Added) -> object:
        if event.n < 0:
            raise ValueError("negative")
        out = Totalled(key=event.key, total=event.n)
        return out if event.n else [out, To(OUT, out), Tombstone(Totalled, event.key)]

    plan = make_plan(handler, tables={}, on_error="dead-letter", shadow={OUT: "own", LETTERS: "own-letters"})
    records = (added(0, n=1), added(1, n=0), added(2, n=-1))
    for chosen, names in ((plan, [OUT] * 4 + [LETTERS]), (plan.as_shadow(), ["own"] * 4 + ["own-letters"])):
        bench = Bench(chosen)
        bench.handle(*records)
        assert [out.topic for out in bench.unit.outputs] == names


def test_a_shadow_without_a_topic_for_each_output_is_no_plan() -> None:
    """Rather than write to a live one."""
    with pytest.raises(KeyError):
        make_plan(totals, shadow={LETTERS: "own-letters"}).as_shadow()
