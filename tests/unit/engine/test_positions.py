"""Where a shard is, and where an abort or a new owner finds it."""

from __future__ import annotations

from holdfast.engine.positions import Positions, Span
from holdfast.record import TopicPartition
from tests.unit.engine.kit import IN, Added, Bench, Sum, Taken, added, count, make_plan


def accept_both(event: Added | Taken) -> None:
    """Accepts both inputs."""


def test_only_inputs_that_moved_are_committed() -> None:
    """Two inputs, records in one of them."""
    bench = Bench(make_plan(accept_both, reads={IN: [Added], "takes": [Taken]}, tables={}))
    bench.handle(added(0))
    assert bench.task.seal().positions == {TopicPartition(IN, 3): 1}


def test_a_sealed_unit_is_committed_while_the_next_one_fills() -> None:
    """Committed positions follow the sealed part, not the open one; a reset goes back to them."""
    bench = Bench(make_plan(count))
    bench.handle(added(0))
    sealed = bench.task.seal()
    bench.handle(added(1), added(2))
    bench.store.apply(sealed.changes, {})
    bench.task.committed()
    assert bench.task.committed_positions == {IN: 1}
    assert bench.task.positions == {IN: 3}
    bench.task.reset()
    assert bench.task.positions == {IN: 1}
    assert not bench.task.moved
    bench.handle(added(1))
    bench.commit()
    assert bench.state() == Sum(total=2)


def test_positions_advance_over_control_records() -> None:
    """An end after the last record counts, one before it does not."""
    bench = Bench(make_plan(count))
    bench.handle(added(4))
    bench.task.advance(IN, 3)
    assert bench.task.positions == {IN: 5}
    bench.task.advance(IN, 6)
    assert bench.task.seal().positions == {TopicPartition(IN, 3): 6}


def test_touch_commits_positions_again() -> None:
    """Also those that never moved."""
    bench = Bench(make_plan(count))
    assert not bench.task.moved
    bench.task.touch()
    assert bench.task.moved
    assert bench.task.seal().positions == {TopicPartition(IN, 3): 0}


def test_positions_that_are_to_be_committed_again_are_so_after_an_abort() -> None:
    """An input in which nothing comes would have no position else, and its next owner would choose one."""
    bench = Bench(make_plan(count))
    bench.task.touch()
    bench.task.seal()
    bench.task.reset()
    assert set(bench.task.seal().positions.values()) == {0}
    bench.task.committed()
    bench.task.reset()
    assert not bench.task.moved


def test_a_shard_that_is_told_twice_to_go_on_keeps_its_committed_place() -> None:
    """Resets without anything open change nothing."""
    bench = Bench(make_plan(count))
    bench.handle(added(0))
    bench.commit()
    bench.task.reset()
    bench.task.reset()
    assert bench.task.positions == {IN: 1}
    assert bench.state() == Sum(total=1)


def test_what_is_in_flight_is_no_part_of_the_open_unit() -> None:
    """Nor is an input of which nothing was handled since."""
    positions = Positions({"a": 3, "b": 0})
    positions.move("a", 5)
    assert list(positions.unsealed) == [Span("a", 3, 5)]
    assert positions.seal() == {"a": 5}
    assert list(positions.unsealed) == []
    positions.move("a", 9)
    positions.move("b", 1)
    assert list(positions.unsealed) == [Span("a", 5, 9), Span("b", 0, 1)]
    positions.go_back()
    assert (positions.current, list(positions.unsealed)) == ({"a": 3, "b": 0}, [])


def test_an_input_that_went_behind_its_commit_is_committed_when_it_moves() -> None:
    """Also if it has not come as far again."""
    positions = Positions({"a": 8})
    positions.go_behind("a", 2)
    assert not positions.have_moved
    positions.move("a", 4)
    assert positions.seal() == {"a": 4}
    positions.commit()
    assert positions.committed == {"a": 4}
