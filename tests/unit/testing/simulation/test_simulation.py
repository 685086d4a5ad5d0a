"""What a simulation promises to those who write tests with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.checks import TopicReader
from holdfast.errors import TopologyError
from holdfast.kafka.unit_writer import Outcome
from holdfast.record import TopicPartition
from holdfast.runtime.commit import CommitPipeline
from holdfast.testing.simulation import Faults, Simulation, SimulationError
from holdfast.testing.simulation.fold import INPUTS, Added, events, fold_topology
from holdfast.testing.simulation.log import PartitionLog
from holdfast.testing.simulation.runs import fold_run
from holdfast.topology import Topology

SEEDS = range(40)


def test_in_fair_weather_nothing_happens() -> None:
    """No worker ends, none is started twice; only the second worker's joining may have a unit refused."""
    simulation = Simulation(fold_topology(), seed=1, workers=2, faults=Faults.none())
    simulation.publish("adds", *(Added(key=f"k{n}", n=n) for n in range(50)))
    trace = simulation.trace
    simulation.run()
    assert simulation.ends == []
    assert not [line for line in trace if "killed" in line]
    assert len([line for line in trace if "abort" in line]) <= 1
    assert len(list(simulation.log.events("sums"))) == 50


def test_every_fault_happens_and_every_outcome_of_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that never strikes proves nothing, and neither does one that nobody notices."""
    outcomes: Counter[Outcome] = Counter()
    original = CommitPipeline.take

    def take(self: CommitPipeline, wait: float | None = 0.0) -> Any:
        finished = original(self, wait)
        if finished is not None:
            outcomes[finished.ending.outcome] += 1
        return finished

    monkeypatch.setattr(CommitPipeline, "take", take)
    struck: Counter[str] = Counter()
    replays = Counter(tries=0, done=0)
    for seed in SEEDS:
        simulation = fold_run(seed)
        simulation.run()
        struck.update(simulation.nemesis.counts)
        replays.update(tries=simulation.operator.tries, done=simulation.operator.done)
    assert set(struck) >= {"kill", "pause", "cut", "scale", "broker", "election", "weather", "disk", "folder"}
    assert set(struck) >= {"compaction", "retention", "kill at step", "pause at step"}
    assert set(struck) >= {"replay", "operator at step"}
    assert replays["tries"] > replays["done"] > 0
    # These brokers refuse no record for what it is: `test_refused_simulation` has some that do.
    assert set(outcomes) == set(Outcome) - {Outcome.REFUSED}
    assert outcomes[Outcome.COMMITTED] > 10 * outcomes[Outcome.ABORTED] > 0


def test_a_replay_is_refused_while_workers_run_and_done_when_they_have_stopped() -> None:
    """The first try changes nothing. After the second, inputs were handled twice, and none written twice."""
    simulation = Simulation(fold_topology(), seed=1, workers=2, faults=Faults.none(), storm=20.0)
    simulation.publish("adds", *(Added(key=f"k{n % 5}", n=n) for n in range(50)))
    kernel, operator = simulation.kernel, simulation.operator
    owner = fold_topology().native["counter"]
    said: list[str] = []

    def start_again() -> None:
        said.append(operator.last)
        for slot in simulation.slots:
            slot.bring_back()

    kernel.at(6.0, operator.replay, owner, lambda: said.append(operator.last))
    for slot in simulation.slots:
        kernel.at(8.0, slot.stop)
    kernel.at(12.0, operator.replay, owner, start_again)
    simulation.run()
    assert "workers are in the group fold.counter" in said[0]
    assert said[1].startswith("has set counter back")
    assert len(list(simulation.log.events("sums"))) == 50
    assert sum(sums.count for sums in dict(simulation.log.table("counter", "sums")).values()) == 50


def at_least_once() -> Topology:
    """The fold without transactions."""
    declared = fold_topology()
    counter = declared.processors["counter"].model_copy(update={"guarantee": "at-least-once"})
    return declared.model_copy(update={"processors": {"counter": counter}})


def test_at_least_once_loses_nothing() -> None:
    """It may double; over some seeds it does, or the faults would not reach it."""
    topology, doubled = at_least_once(), 0
    for seed in SEEDS:
        simulation = Simulation(topology, seed=seed)
        for topic, event in events(simulation.kernel.rng):
            simulation.publish(topic, event)
        simulation.run()
        wanted = {place for *place_, _ in simulation.written for place in [tuple(place_)]}
        seen = Counter(
            (e.topic, e.partition, e.offset) for e in (r.event for r in simulation.log.events("sums"))
        )
        assert wanted == set(seen)
        doubled += seen.total() - len(seen)
    assert doubled


def test_mistakes_of_the_test_are_told() -> None:
    """An undeclared topic, an undeclared check."""
    simulation = Simulation(fold_topology(), seed=1)
    with pytest.raises(TopologyError, match="nowhere"):
        simulation.publish("nowhere", Added(key="a", n=1))
    with pytest.raises(SimulationError, match="check 'nothing_is_lost' is not declared"):
        Simulation(fold_topology(), seed=1, checks=["nothing_is_lost"])


def test_a_users_check_is_asked_at_the_end() -> None:
    """What it yields is in the message, with the line that repeats the run."""

    def never_right(log: TopicReader) -> Iterator[str]:
        yield f"{len(list(log.events('sums')))} sums are not enough"

    simulation = Simulation(fold_topology(), seed=5, check=never_right, faults=Faults.none())
    simulation.publish(INPUTS[0], Added(key="a", n=1), Added(key="b", n=1))
    with pytest.raises(AssertionError, match="2 sums are not enough") as raised:
        simulation.run()
    assert "Simulation(..., seed=5).run()" in str(raised.value)


def test_real_time_is_back_after_a_run() -> None:
    """The stand-ins are in place only while it runs, also when it fails."""
    from holdfast.runtime import restore, unit_end

    before = (unit_end.time, unit_end.Thread, restore.threading, restore.queue)
    test_a_users_check_is_asked_at_the_end()
    assert (unit_end.time, unit_end.Thread, restore.threading, restore.queue) == before


def test_without_greenlet_it_says_what_to_install() -> None:
    """The package is an extra."""
    code = "import sys; sys.modules['greenlet'] = None; import holdfast.testing.simulation"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode
    assert "install Holdfast with its extra `simulation` (from its checkout: pip install '.[" in done.stderr


def test_compaction_keeps_offsets_and_the_last_value_of_each_key() -> None:
    """What was removed leaves gaps; positions in a gap are read on from."""
    log = PartitionLog(TopicPartition("changes", 0), compacted=True)
    for key, value in ((b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"c", b"1")):
        log.write([(key, value, 0, None)], at=0.0)
    log.compact(3)
    assert [(m.offset(), m.key(), m.value()) for m in log.committed()] == [
        (1, b"b", b"1"),
        (2, b"a", b"2"),
        (3, b"c", b"1"),
    ]
    assert log.read(0, 1)[0][0].offset() == 1
    log.trim(3)
    assert (log.start, log.end, len(log.committed())) == (3, 4, 1)
