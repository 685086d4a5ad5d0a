"""What a worker does about one thing that goes wrong; a simulation in fair weather has just that one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from holdfast import Context, State, processor
from holdfast.errors import CorruptStore, StoreError
from holdfast.record import TopicPartition
from holdfast.runtime import handling
from holdfast.runtime.restore import Restorer
from holdfast.runtime.shard_manager import ShardManager
from holdfast.testing.simulation import Faults, Simulation, SimulationFailed, application
from holdfast.testing.simulation.fold import Added, Folded, Sum, fold, fold_problems, fold_topology
from holdfast.testing.simulation.fold import events as some_events
from holdfast.testing.simulation.log import PartitionLog, Refused
from holdfast.testing.simulation.runs import failure_of
from holdfast.topology import Topology

POISON = 13
poisoned = False
"""Whether the handler raises for events with that number."""


@processor
def fold_with_poison(event: Added, sums: State[Sum], at: Context) -> Folded:
    """The fold; its state is set before it raises."""
    result: Folded = fold(event, sums, at)
    if poisoned and event.n == POISON:
        raise ValueError("poison")
    return result


@cache
def poison_topology() -> Topology:
    """The fold's application, with that handler."""
    declared = fold_topology()
    counter = declared.processors["counter"]
    handler = type(counter.handler)(f"{__name__}:fold_with_poison")
    return declared.model_copy(
        update={"processors": {"counter": counter.model_copy(update={"handler": handler})}}
    )


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Switches the poison, on from the beginning."""

    def switch(on: bool) -> None:
        monkeypatch.setitem(globals(), "poisoned", on)

    switch(True)
    return switch


@pytest.fixture
def restores(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Counts the restores of each shard."""
    asked: Counter[int] = Counter()
    original = Restorer.ask

    def ask(self: Restorer, claim: object) -> None:
        asked[claim.partition] += 1  # type: ignore[attr-defined]
        original(self, claim)  # type: ignore[arg-type]

    monkeypatch.setattr(Restorer, "ask", ask)
    return asked


def fair(topology: Topology | None = None, seed: int = 1, storm: float = 8.0) -> Simulation:
    """One worker; nothing goes wrong by itself. Each event has a key of its own half of the time."""
    simulation = Simulation(
        topology or fold_topology(),
        seed=seed,
        workers=1,
        faults=Faults.none(),
        storm=storm,
        check=lambda log: fold_problems(log, simulation.written),
    )
    for number in range(160):
        key = f"k{number}" if number % 2 else f"k{number % 12}"
        simulation.publish("adds" if number % 3 else "more", Added(key=key, n=number % 9 + 1))
    return simulation


def test_the_first_records_of_a_shard_are_committed_sooner_than_after_an_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Readers of its outputs have waited since another worker had it."""
    begun: list[float] = []
    original = ShardManager._begin

    def begin(self: ShardManager, *arguments: Any) -> None:
        begun.append(simulation.kernel.now)
        original(self, *arguments)

    monkeypatch.setattr(ShardManager, "_begin", begin)
    interval = 5.0
    monkeypatch.setattr(application, "COMMIT_INTERVALS_MS", [int(interval * 1000)])
    simulation = fair(storm=20.0)
    simulation.run()
    logs = (log for place, log in simulation.brokers.logs.items() if place.topic == "sums")
    committed = [entry.at for log in logs for entry in log.history if entry.commits]
    assert min(committed) - min(begun) < interval / 2


@pytest.mark.parametrize("seed", range(15))
def test_records_that_stop_shards_lose_nothing(seed: int, poison: Callable[[bool], None]) -> None:
    """Under all faults: a shard that a handler stopped waits for a restart, and is then complete."""
    simulation = Simulation(
        poison_topology(),
        seed=seed,
        storm=8.0,
        check=lambda log: fold_problems(log, simulation.written),
    )
    for topic, event in some_events(simulation.kernel.rng):
        is_bad = simulation.kernel.rng.random() < 0.03
        simulation.publish(topic, event.model_copy(update={"n": POISON}) if is_bad else event)

    def repair() -> None:
        poison(False)
        for slot in simulation.slots:
            slot.kill()

    simulation.kernel.at(8.0, repair)
    simulation.run()


@pytest.mark.parametrize("seed", range(15))
def test_turns_that_end_early_lose_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no time was left for is read again, also when a rebalance or an abort comes in between."""
    monkeypatch.setattr(handling, "LONGEST_TURN_S", -1.0)
    monkeypatch.setattr(handling, "SLICE_RECORDS", 1)
    failure = failure_of(seed)
    assert failure is None, str(failure)


def test_a_shard_stops_at_its_record_and_what_was_before_is_committed(
    poison: Callable[[bool], None],
) -> None:
    """Also when it was the last shard that worked, so that the worker ends."""
    simulation = fair(poison_topology())
    for number in range(40):
        simulation.publish("adds", Added(key=f"p{number}", n=POISON))
    with pytest.raises(SimulationFailed, match="no end within"):
        simulation.run()
    assert "every shard of this worker has stopped" in simulation.ends[0].error
    assert "ValueError: poison" in simulation.ends[0].error
    for partition in range(4):
        place = TopicPartition("adds", partition)
        offset, _ = simulation.groups.group("fold.counter").offsets[place]
        following = [e for t, p, o, e in simulation.written if (t, p) == place and o >= offset]
        assert following[0].n == POISON


@pytest.mark.parametrize(
    ("error", "thrown_away"), [(StoreError("too many open files"), 0), (CorruptStore("damage"), 1)]
)
def test_a_read_that_fails_once_costs_the_shard_one_restore(
    error: StoreError, thrown_away: int, restores: Counter[int]
) -> None:
    """The record is handled afterwards; no shard stops. Only a damaged folder is thrown away."""
    simulation = fair()
    simulation.kernel.at(4.0, simulation.disks.due.append, error)
    counts: list[int] = []
    simulation.kernel.at(7.9, lambda: counts.extend(sorted(restores.values())))
    simulation.run()
    assert counts == [1, 1, 1, 2]
    assert len(simulation.disks.discarded) == thrown_away
    assert simulation.ends == []


def test_reads_that_fail_far_apart_never_stop_a_shard() -> None:
    """A write that succeeds ends a row of failures."""
    simulation = fair(storm=40.0)
    for number in range(1, 9):
        simulation.kernel.at(number * 4.0, simulation.disks.due.append, StoreError("simulated"))
    failures: list[str] = []
    simulation.kernel.at(39.0, lambda: failures.extend(simulation.slots[0].failures))
    simulation.run()
    assert not simulation.disks.due
    assert (failures, simulation.ends) == ([], [])


def test_a_store_that_can_never_be_read_stops_its_shard(restores: Counter[int]) -> None:
    """After one restore: a broken disk does not mend itself. Nothing is skipped."""
    simulation = fair()
    simulation.kernel.at(4.0, setattr, simulation.disks.faults, "read", 1.0)
    seen: list[object] = []
    simulation.kernel.at(7.9, lambda: seen.append((simulation.ends[0].error, max(restores.values()))))
    simulation.run()
    ((error, most),) = seen
    assert "every shard of this worker has stopped" in str(error)
    assert most >= 2


def test_work_that_is_never_committed_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when positions are: each restore commits where it begins, before any record came."""
    original = PartitionLog.produce

    def produce(self: PartitionLog, *arguments: Any, **options: Any) -> int:
        if self.place.topic == "sums":
            raise Refused("NOT_ENOUGH_REPLICAS")
        return original(self, *arguments, **options)

    monkeypatch.setattr(PartitionLog, "produce", produce)
    simulation = fair()
    with pytest.raises(SimulationFailed, match="no end within"):
        simulation.run()
    assert "cannot commit: " in simulation.ends[0].error
    assert "(4 units in a row)" in simulation.ends[0].error
    assert list(simulation.log.events("sums")) == []
