"""A worker that gets nowhere although there is something to do says so and ends."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.errors import ClusterError
from holdfast.record import TopicPartition
from holdfast.runtime.claims import Progress, Waiting
from holdfast.runtime.stall import RESTORE_STALLED_S, STALLED_S, InputEnds, StallWatch
from tests.unit.runtime.kit import MemoryReader, MemoryTopics, away

PLACE = TopicPartition("in", 0)


def shard(partition: int) -> Any:
    """A shard at the beginning of its input, which waits for no other."""
    return SimpleNamespace(partition=partition, positions={"in": 0}, waits=lambda _: False)


class Bench:
    """A watch over one shard, and the time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.topics = MemoryTopics()
        self.reader: Any = MemoryReader(self.topics)
        self.ends = InputEnds(5.0)
        self.watch = StallWatch("sums", self.ends, ("in",))
        self.task = shard(0)
        self.restoring: tuple[Progress, ...] = ()
        self.waiting: tuple[Waiting, ...] = ()
        self.tasks = [self.task]

    def publish(self, records: int) -> None:
        """More records are in the input."""
        self.topics.log(PLACE).extend([(b"k", b"v")] * records)

    def turn(self, seconds: float, step: float = 1.0, move: Callable[[], None] = lambda: None) -> None:
        """Turns of the loop, for some time."""
        end = self.now + seconds
        while self.now < end:
            self.now += step
            move()
            self.ends.look(self.reader)
            self.watch.check(self.tasks, self.restoring, self.waiting)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench with a clock of its own."""
    bench = Bench()
    monkeypatch.setattr("holdfast.runtime.stall.time.monotonic", lambda: bench.now)
    return bench


def test_a_shard_that_stands_still_before_records_ends_the_worker(bench: Bench) -> None:
    """With the shard, the position and the end in the message."""
    bench.publish(7)
    bench.task.positions["in"] = 3
    bench.turn(STALLED_S - 8)
    with pytest.raises(ClusterError, match=r"shard 0 has stood at offset 3 of in\[0\] .* records up to 7"):
        bench.turn(20)


def test_a_shard_at_the_end_may_stand_for_ever(bench: Bench) -> None:
    """There is nothing to do."""
    bench.publish(7)
    bench.task.positions["in"] = 7
    bench.turn(10 * STALLED_S)


def test_an_input_that_waits_for_another_one_is_left_alone(bench: Bench) -> None:
    """A replay of the other input may take hours."""
    bench.publish(7)
    bench.task.waits = lambda topic: topic == "in"
    bench.turn(10 * STALLED_S)


def test_a_shard_that_moves_slowly_is_left_alone(bench: Bench) -> None:
    """One record in twenty seconds is slow, not stuck."""
    bench.publish(1_000)

    def move() -> None:
        bench.task.positions["in"] = int(bench.now / 20)

    bench.turn(10 * STALLED_S, move=move)


def test_brokers_that_do_not_answer_prove_nothing(bench: Bench) -> None:
    """What they said long ago does not count."""
    bench.publish(7)
    bench.turn(8)
    bench.topics.faults["ask_ends"] = [away() for _ in range(1_000)]
    bench.turn(10 * STALLED_S)


def test_time_in_which_the_loop_itself_stood_still_does_not_count(bench: Bench) -> None:
    """A handler, or a commit, may have kept it."""
    bench.publish(7)
    for _ in range(20):
        bench.turn(STALLED_S / 2, step=STALLED_S / 2)
        bench.turn(5)


def test_a_shard_that_was_given_away_is_forgotten(bench: Bench) -> None:
    """It may come back, and then it has its time again."""
    bench.publish(7)
    for _ in range(3):
        bench.turn(STALLED_S - 8)
        bench.tasks = []
        bench.turn(10)
        bench.tasks = [bench.task]


def test_a_restore_that_stands_still_ends_the_worker(bench: Bench) -> None:
    """It says where to look when a new process stands still too."""
    bench.tasks = [shard(1)]
    bench.topics.log(TopicPartition("in", 1))
    bench.restoring = (Progress(0, 5, 9),)
    bench.turn(RESTORE_STALLED_S - 8)
    with pytest.raises(ClusterError, match=r"restore of shard 0 .* with 4 changelog offsets to go.*hangs"):
        bench.turn(20)


def test_a_restore_that_stands_still_is_noticed_where_no_other_shard_runs(bench: Bench) -> None:
    """Whether the brokers answer is asked of its own inputs then."""
    bench.tasks = []
    bench.topics.log(PLACE)
    bench.restoring = (Progress(0, 5, 9),)
    bench.turn(RESTORE_STALLED_S - 8)
    with pytest.raises(ClusterError, match="restore of shard 0 has stood still"):
        bench.turn(20)


def test_a_restore_is_left_alone_while_no_broker_answers(bench: Bench) -> None:
    """An outage may take hours."""
    bench.tasks = []
    bench.restoring = (Progress(0, 5, 9),)
    bench.topics.faults["ask_ends"] = [away() for _ in range(1_000)]
    bench.turn(10 * RESTORE_STALLED_S)


def test_a_claim_that_gets_no_positions_ends_the_worker_with_the_reason(bench: Bench) -> None:
    """Where the brokers answer everything else, a transaction hangs, for example."""
    bench.tasks = []

    def wait(answered: float) -> None:
        bench.waiting = (Waiting(3, "reading committed offsets: timed out", bench.now - 90, answered),)

    wait(RESTORE_STALLED_S)
    bench.turn(3)
    wait(RESTORE_STALLED_S + 1)
    with pytest.raises(
        ClusterError, match=r"shard 3 cannot begin: reading committed offsets: timed out.*hangs"
    ):
        bench.turn(4)


def test_a_claim_that_waits_for_brokers_that_are_away_is_left_alone(bench: Bench) -> None:
    """An outage never ends a worker."""
    bench.waiting = (Waiting(3, "no answer", bench.now),)
    bench.turn(10 * RESTORE_STALLED_S)


def test_a_question_whose_answer_is_lost_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is replaced takes what was asked with it: no standstill would ever be seen again."""
    with monkeypatch.context() as patch:
        patch.setattr(bench.reader, "ask_ends", lambda *_: SimpleNamespace(is_answered=False))
        bench.turn(10)
    bench.publish(7)
    with pytest.raises(ClusterError, match="has stood"):
        bench.turn(STALLED_S + 20)
