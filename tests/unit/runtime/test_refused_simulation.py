"""A worker whose units are refused for one record, with the real committer; the brokers are simulated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.testing.simulation import Faults, Simulation, SimulationFailed
from holdfast.testing.simulation.fold import Added, fold_problems, fold_topology
from holdfast.testing.simulation.fold import events as some_events
from holdfast.testing.simulation.log import PartitionLog, Refused
from holdfast.topology import Topology

POISON = 13
POISONED = b'"n":%d,' % POISON
LETTERS = "fold.dead-letters"


class Brokers:
    """Brokers that refuse some batches.

    Attributes:
        refuses: the code that they refuse a batch with, if they do; asked with topic, value and timestamp.
        refused: how many batches they refused, by topic.
    """

    def __init__(self) -> None:
        self.refuses: Callable[[str, bytes, int], str | None] = lambda *_: None
        self.refused: Counter[str] = Counter()

    def judge(self, log: PartitionLog, rows: Any) -> None:
        """Refuse a batch for one of its records."""
        for _, value, timestamp, _ in rows:
            code = self.refuses(log.place.topic, value or b"", timestamp)
            if code is not None:
                self.refused[log.place.topic] += 1
                raise Refused(code)


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    """The brokers of every simulation."""
    found = Brokers()
    original = PartitionLog.produce

    def produce(
        self: PartitionLog, producer: int, epoch: int, sequence: int, rows: Any, *a: Any, **o: Any
    ) -> int:
        found.judge(self, rows)
        return original(self, producer, epoch, sequence, rows, *a, **o)

    monkeypatch.setattr(PartitionLog, "produce", produce)
    return found


def topology(policy: str, guarantee: str = "exactly-once") -> Topology:
    """The fold's application, with that policy."""
    declared = fold_topology()
    counter = declared.processors["counter"].model_copy(update={"on_error": policy, "guarantee": guarantee})
    return declared.model_copy(update={"processors": {"counter": counter}})


def refuse_outputs(topic: str, value: bytes, timestamp: int) -> str | None:
    """An output of a poisoned record is too large."""
    return "MSG_SIZE_TOO_LARGE" if topic == "sums" and POISONED in value else None


def publish(simulation: Simulation, count: int = 160) -> None:
    """Good records, and one that is poisoned in their middle."""
    for number in range(count):
        simulation.publish("adds" if number % 3 else "more", Added(key=f"k{number % 12}", n=number % 9 + 1))
        if number == count // 2:
            simulation.publish("adds", Added(key="k1", n=POISON))


def fair(policy: str, storm: float = 8.0) -> Simulation:
    """One worker in fair weather; every record must be applied once, but for the poisoned ones."""
    simulation = Simulation(
        topology(policy),
        seed=1,
        workers=1,
        faults=Faults.none(),
        storm=storm,
        check=lambda log: fold_problems(log, good(simulation)),
    )
    publish(simulation)
    return simulation


def good(simulation: Simulation) -> list[tuple[str, int, int, Added]]:
    """What was published and is not refused."""
    return [it for it in simulation.written if it[3].n != POISON]


def poisoned(simulation: Simulation) -> list[tuple[str, int, int]]:
    """Where the others are."""
    return [it[:3] for it in simulation.written if it[3].n == POISON]


def letters(simulation: Simulation) -> list[dict[str, bytes]]:
    """The headers of all dead letters."""
    return [dict(letter.headers() or ()) for letter in simulation.log.dead_letters()]


def places(simulation: Simulation) -> list[tuple[str, int, int]]:
    """Where the records are that were set aside."""
    found = []
    for each in letters(simulation):
        topic, partition, offset = (
            each[f"__streams.errors.{n}"].decode() for n in ("topic", "partition", "offset")
        )
        found.append((topic, int(partition), int(offset)))
    return sorted(found)


def test_a_refused_record_is_set_aside_in_a_few_units(brokers: Brokers) -> None:
    """The worker lives on, and no shard is restored."""
    brokers.refuses = refuse_outputs
    simulation = fair("dead-letter")
    simulation.run()
    assert simulation.ends == []
    assert places(simulation) == poisoned(simulation)
    assert brokers.refused["sums"] <= 5


@pytest.mark.parametrize("seed", range(15))
def test_refused_records_take_no_other_with_them(brokers: Brokers, seed: int) -> None:
    """Under all faults: each is set aside once, and every other one is applied once."""
    brokers.refuses = refuse_outputs
    simulation = Simulation(
        topology("dead-letter"),
        seed=seed,
        storm=8.0,
        check=lambda log: fold_problems(log, good(simulation)),
    )
    for topic, event in some_events(simulation.kernel.rng):
        is_bad = simulation.kernel.rng.random() < 0.03
        simulation.publish(topic, event.model_copy(update={"n": POISON}) if is_bad else event)
    simulation.run()
    assert places(simulation) == sorted(poisoned(simulation))


def test_a_refused_record_stops_its_shard_and_the_others_go_on(brokers: Brokers) -> None:
    """All that is before it is committed."""
    brokers.refuses = refuse_outputs
    simulation = fair("stop")
    failures: list[str] = []
    simulation.kernel.at(7.9, lambda: failures.extend(simulation.slots[0].failures))
    with pytest.raises(SimulationFailed, match="no end within"):
        simulation.run()
    [(topic, partition, offset)] = poisoned(simulation)
    [failure] = failures
    assert f"stopped shard {partition} at {topic}[{partition}]@{offset}: topic " in failure
    assert "MSG_SIZE_TOO_LARGE" in failure
    for place, (position, _) in simulation.groups.group("fold.counter").offsets.items():
        if place == (topic, partition):
            assert position == offset
        elif place.partition != partition:
            assert position == simulation.brokers.logs[place].end
    assert letters(simulation) == []


def test_a_letter_whose_time_is_refused_too_gets_through_with_another(brokers: Brokers) -> None:
    """The brokers take no record of that time, wherever it is to go."""
    simulation = fair("dead-letter")
    simulation.publish("adds", Added(key="k2", n=POISON))
    times = set()

    def refuses(topic: str, value: bytes, timestamp: int) -> str | None:
        if topic == "sums" and POISONED in value:
            times.add(timestamp)
            return "INVALID_TIMESTAMP"
        return "INVALID_TIMESTAMP" if topic == LETTERS and timestamp in times else None

    brokers.refuses = refuses
    simulation.run()
    assert simulation.ends == []
    found = letters(simulation)
    assert {int(each["holdfast.timestamp"]) for each in found} == times
    assert brokers.refused[LETTERS] == 0


def test_a_letter_that_cannot_be_written_stops_the_shard(brokers: Brokers) -> None:
    """It is tried once, and no restart comes of it."""

    def refuses(topic: str, value: bytes, timestamp: int) -> str | None:
        return "MSG_SIZE_TOO_LARGE" if topic == LETTERS else refuse_outputs(topic, value, timestamp)

    brokers.refuses = refuses
    simulation = fair("dead-letter")
    failures: list[str] = []
    simulation.kernel.at(7.9, lambda: failures.extend(simulation.slots[0].failures))
    with pytest.raises(SimulationFailed, match="no end within"):
        simulation.run()
    [failure] = failures
    assert "topic 'fold.dead-letters' does not take its dead letter" in failure
    assert brokers.refused[LETTERS] <= 3


def test_batches_that_are_refused_for_nothing_of_a_record_go_on_in_smaller_units(brokers: Brokers) -> None:
    """A limit that was lowered: each record fits, but not all of them in one batch."""
    original = brokers.judge

    def judge(log: PartitionLog, rows: Any) -> None:
        if log.place.topic == "sums" and len(rows) > 3:
            brokers.refused["sums"] += 1
            raise Refused("MSG_SIZE_TOO_LARGE")
        original(log, rows)

    brokers.judge = judge  # type: ignore[method-assign]
    simulation = Simulation(
        topology("dead-letter"),
        seed=1,
        workers=1,
        faults=Faults.none(),
        storm=8.0,
        check=lambda log: fold_problems(log, simulation.written),
    )
    for number in range(160):
        simulation.publish("adds", Added(key=f"k{number % 12}", n=1))
    simulation.run()
    assert (simulation.ends, letters(simulation)) == ([], [])
    assert brokers.refused["sums"] > 0


def test_what_is_no_record_s_fault_is_no_record_s(brokers: Brokers) -> None:
    """A right that is missing: the worker says so after some tries, and sets nothing aside."""
    brokers.refuses = lambda topic, _value, _time: "TOPIC_AUTHORIZATION_FAILED" if topic == "sums" else None
    simulation = fair("dead-letter")
    with pytest.raises(SimulationFailed, match="no end within"):
        simulation.run()
    assert "cannot commit: TOPIC_AUTHORIZATION_FAILED" in simulation.ends[0].error
    assert letters(simulation) == []
