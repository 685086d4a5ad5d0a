"""The worker's loop against a simulated cluster: whatever happens, each record counts exactly once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.errors import ClusterError, CorruptStore, StoreError, WorkerError
from holdfast.record import TopicPartition
from holdfast.runtime import handling, setbacks, write_behind
from holdfast.runtime.worker import WorkerLimits
from tests.support.fold import problems
from tests.unit.runtime.simulation import SHARDS, Simulation


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated cluster need not be spared."""
    monkeypatch.setattr(setbacks, "_FIRST_PAUSE_S", 0.0)


SEEDS = range(int(os.environ.get("HOLDFAST_SIMULATIONS", "25")))


def drain(simulation: Simulation) -> None:
    """Nothing goes wrong any more: let the worker finish."""
    simulation.cluster.calm = True
    simulation.poison.places.clear()
    simulation.faults.chance = 0.0
    simulation.end_life()
    simulation.begin_life(WorkerLimits(0.0, 100))
    simulation.consumer.give_all()
    work_until_drained(simulation)
    simulation.end_life()


def work_until_drained(simulation: Simulation) -> None:
    """Turn until every input is handled and committed."""
    for _ in range(3_000):
        simulation.worker.turn()
        if simulation.drained:
            return
    pytest.fail("not in time")


@pytest.mark.parametrize("seed", SEEDS)
def test_each_record_counts_once_whatever_the_cluster_does(seed: int) -> None:
    """Aborts, unknown commits, fencing, rebalances, lost shards, crashes, with commits in flight."""
    simulation = Simulation(seed)
    for _ in range(250):
        simulation.cluster.publish(simulation.rng.randint(0, 6))
        simulation.worker.turn()
        if simulation.rng.random() < 0.02:
            simulation.end_life()
            simulation.begin_life()
    drain(simulation)
    assert problems(simulation.inputs(), simulation.outputs()) == []
    # No token was used before a commit had noted it: two owners could have got the same.
    assert simulation.cluster.unclaimed == []
    assert set(simulation.cluster.fences) == set(range(SHARDS))


@pytest.mark.parametrize("seed", SEEDS)
def test_records_that_stop_shards_lose_nothing(seed: int) -> None:
    """The same with handlers that raise: a stopped shard waits for a restart and is then complete."""
    simulation = Simulation(seed)
    simulation.cluster.publish(10)
    for _ in range(250):
        simulation.cluster.publish(simulation.rng.randint(0, 6))
        if simulation.rng.random() < 0.03:
            topic, partition, offset, _, _ = simulation.rng.choice(simulation.inputs())
            simulation.poison.places.add((topic, partition, offset))
        try:
            simulation.worker.turn()
        except WorkerError:
            simulation.poison.places.clear()
            simulation.end_life()
            simulation.begin_life()
    drain(simulation)
    assert problems(simulation.inputs(), simulation.outputs()) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_turns_that_end_early_lose_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no time was left for is read again, also when a rebalance or an abort comes in between."""
    monkeypatch.setattr(handling, "LONGEST_TURN_S", -1.0)
    monkeypatch.setattr(handling, "SLICE_RECORDS", 1)
    simulation = Simulation(seed)
    for _ in range(250):
        simulation.cluster.publish(simulation.rng.randint(0, 6))
        simulation.worker.turn()
    drain(simulation)
    assert problems(simulation.inputs(), simulation.outputs()) == []


def test_a_shard_stops_at_its_record_and_what_was_before_is_committed() -> None:
    """Also when it was the last shard that worked, so that the worker ends."""
    simulation = Simulation(1, commit_interval=60)
    simulation.cluster.calm = True
    simulation.cluster.publish(60)
    for place, log in simulation.cluster.inputs.items():
        simulation.poison.places.add((*place, log[len(log) // 2].offset()))
    simulation.consumer.give_all()
    turns = 0
    with pytest.raises(WorkerError, match="every shard of this worker has stopped"):  # noqa: PT012
        while (turns := turns + 1) < 500:
            simulation.worker.turn()
    assert len(simulation.reporter.failures) == 3
    assert simulation.cluster.outputs
    for partition in range(3):
        stopped = [f"{t}[{p}]@{o}" for t, p, o in simulation.poison.places if p == partition]
        message = next(m for m in simulation.reporter.failures if f"stopped shard {partition} at" in m)
        place = next(text for text in stopped if text in message)
        topic = place.partition("[")[0]
        committed = simulation.cluster.offsets[TopicPartition(topic, partition)]
        log = simulation.cluster.inputs[TopicPartition(topic, partition)]
        # The next record from there on is the one that stopped the shard.
        following = [m.offset() for m in log if m.offset() >= committed]
        assert following[0] == int(place.partition("@")[2])
        assert "ValueError: poison" in message
    drain(simulation)
    assert problems(simulation.inputs(), simulation.outputs()) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_reads_that_fail_now_and_then_lose_nothing(seed: int) -> None:
    """With everything else that goes wrong; a shard whose store fails twice in a row waits for a restart."""
    simulation = Simulation(seed)
    simulation.faults.chance = 0.05
    for _ in range(250):
        simulation.cluster.publish(simulation.rng.randint(0, 6))
        try:
            simulation.worker.turn()
        except WorkerError:
            simulation.end_life()
            simulation.begin_life()
    drain(simulation)
    assert problems(simulation.inputs(), simulation.outputs()) == []


@pytest.mark.parametrize(
    ("error", "thrown_away"),
    [(StoreError("simulated: too many open files"), 0), (CorruptStore("simulated"), 1)],
)
def test_a_read_that_fails_once_costs_the_shard_one_restore(
    error: StoreError, thrown_away: int, tmp_path: Path
) -> None:
    """The record is handled afterwards; no shard stops. Only a damaged folder is thrown away."""
    simulation = Simulation(3, commit_interval=0.0)
    simulation.cluster.calm = True
    simulation.cluster.publish(60)
    simulation.consumer.give_all()
    for partition, store in simulation.disk.items():
        store.path = tmp_path / str(partition)
        store.path.mkdir()
    simulation.faults.next.append(error)
    work_until_drained(simulation)
    assert sorted(simulation.restorer.asked.values()) == [1, 1, 2]
    assert simulation.reporter.failures == []
    assert len(list(tmp_path.iterdir())) == 3 - thrown_away
    drain(simulation)
    assert problems(simulation.inputs(), simulation.outputs()) == []


def test_reads_that_fail_far_apart_never_stop_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that succeeds ends a row of failures: each costs one restore."""
    monkeypatch.setattr(write_behind, "WRITE_AFTER_S", 0.0)
    simulation = Simulation(3)
    simulation.end_life()
    simulation.begin_life(WorkerLimits(0.0, cache_entries=1))
    simulation.cluster.calm = True
    simulation.consumer.give_all()
    for _ in range(8):
        simulation.faults.next.append(StoreError("simulated"))
        simulation.cluster.publish(30)
        work_until_drained(simulation)
        for _ in simulation.disk:
            simulation.worker.turn()
        assert not simulation.faults.next
    assert simulation.restorer.asked.total() == 3 + 8
    assert simulation.reporter.failures == []
    assert problems(simulation.inputs(), simulation.outputs()) == []


def test_a_store_that_can_never_be_read_stops_its_shard() -> None:
    """After one restore: a broken disk does not mend itself. Nothing is skipped."""
    simulation = Simulation(3, commit_interval=0.0)
    simulation.cluster.calm = True
    simulation.cluster.publish(60)
    simulation.consumer.give_all()
    simulation.faults.always = StoreError("simulated: input/output error")
    turns = 0
    with pytest.raises(WorkerError, match="input/output error"):  # noqa: PT012
        while (turns := turns + 1) < 500:
            simulation.worker.turn()
    assert sorted(simulation.restorer.asked.values()) == [2, 2, 2]
    assert len(simulation.reporter.failures) == 3
    assert simulation.cluster.outputs == []
    simulation.faults.always = None
    drain(simulation)
    assert problems(simulation.inputs(), simulation.outputs()) == []


def test_work_that_is_never_committed_ends_the_worker() -> None:
    """Also when positions are: each restore commits where it begins, before any record came."""
    simulation = Simulation(3)
    simulation.end_life()
    simulation.begin_life(WorkerLimits(0.0, cache_entries=100))
    simulation.cluster.calm = True
    simulation.consumer.is_remote = simulation.writer.refuses_outputs = True
    simulation.consumer.give_all()
    simulation.cluster.publish(60)
    turns = 0
    with pytest.raises(ClusterError, match=r"cannot commit: simulated: outputs refused \(4 units in a row\)"):  # noqa: PT012
        while (turns := turns + 1) < 500:
            simulation.worker.turn()
    assert simulation.worker.observe().commits > 0
    assert simulation.cluster.outputs == []
    drain(simulation)
    assert problems(simulation.inputs(), simulation.outputs()) == []
