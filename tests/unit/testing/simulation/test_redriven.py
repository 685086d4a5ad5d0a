"""Real workers and the real commands of `holdfast dlq`, on simulated brokers, under faults.

Keys are parked, redriven and discarded while workers and commands are killed, stopped and cut off. In the end
each record was handled once, in the order of its key, and no key is parked.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from holdfast.engine.letters import read_letter
from holdfast.errors import HoldfastError
from holdfast.kafka.letter_writer import LetterWriter
from holdfast.kafka.scan import LogScanner
from holdfast.record import TopicPartition
from holdfast.runtime.letter_box import LetterBox
from holdfast.runtime.letter_choice import Choice
from holdfast.runtime.redrive import Redriver
from holdfast.testing.simulation import Faults, Simulation
from holdfast.testing.simulation.checker import folded
from holdfast.testing.simulation.kernel import Process
from holdfast.testing.simulation.simulation import CALM_S, MOST_STEPS
from holdfast.testing.simulation.workers import SERVERS
from holdfast.topology.model import PARKED_KEYS
from tests.support.parking_fold import INPUTS, Mended, Numbered, parking_problems, parking_topology

EVENTS = 120
LARGEST = 2_000_000


@pytest.fixture(autouse=True)
def mended() -> Iterator[None]:
    """Begin with a handler that cannot handle all, whatever was before."""
    Mended.is_so = False
    yield
    Mended.is_so = False


class WithOperator(Simulation):
    """A simulation with somebody who deals with dead letters, and who is killed at times."""

    def __init__(self, seed: int, faults: Faults) -> None:
        super().__init__(parking_topology(), seed=seed, faults=faults)
        self.commands = 0
        self.done = 0
        self.killed = 0
        self._declared = parking_topology()
        self._rng = random.Random(seed)
        self.brokers.create(self._declared.dispositions_topic, 1, compacted=True)

    def plan_commands(self) -> None:
        """Redrive and discard in the course of the storm; two at once now and then."""
        for _ in range(self._rng.randint(2, 6)):
            at = self._rng.uniform(2.0, self._storm)
            self.kernel.at(at, self._begin)
            if self._rng.random() < 0.3:
                self.kernel.at(at + self._rng.uniform(0.0, 1.0), self._begin)
        self.kernel.at(self._rng.uniform(3.0, self._storm), self._mend)

    def _mend(self) -> None:
        Mended.is_so = True

    def _begin(self) -> None:
        discard = self._rng.random() < 0.3
        key = self._rng.choice(["k3", "k4"] if discard else [None, "k1", "k2"])
        process = self._command(key, discard=discard, wait=self._rng.choice([0.0, 5.0]))
        if self._rng.random() < 0.4:
            self.kernel.at(self._rng.uniform(0.0, 0.3), self._kill, process)

    def _kill(self, process: Process) -> None:
        if process.alive:
            self.killed += 1
            self.kernel.kill(process)

    def _command(self, key: str | None, *, discard: bool, wait: float) -> Process:
        process = Process(f"dlq-{self.commands}")
        self.commands += 1
        self.kernel.spawn(process, lambda: self._live(process, key, discard, wait), "main")
        return process

    def _live(self, process: Process, key: str | None, discard: bool, wait: float) -> None:
        declared = self._declared
        try:
            box = LetterBox(declared, SERVERS, LogScanner(SERVERS, {}))
            with LetterWriter(declared.dlq_id, SERVERS, {}, largest=LARGEST) as writer:
                redriver = Redriver(declared, SERVERS, box, writer, by="a test")
                choice = Choice(state="open", key=key)
                if discard:
                    redriver.discard(choice, "a test")
                else:
                    redriver.redrive(choice)
                    if wait and redriver.done.letters:
                        redriver.wait(wait)
            self.done += 1
        except HoldfastError as error:
            self.kernel.say(process.name, f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self.problems.append(f"{process.name}: {error!r}")
        self.kernel.at(0.0, self.kernel.kill, process)

    def _stop_all(self) -> None:
        """Before the workers stop, all letters are redriven, in calm weather."""
        self._mend()
        for _ in range(6):
            self._run_to_end(self._command(None, discard=False, wait=60.0))
            if not self.parked():
                break
        if left := self.parked():
            self.problems.append(f"still parked: {left}")
        super()._stop_all()

    def _run_to_end(self, process: Process) -> None:
        self.kernel.run(lambda: not process.alive, self.kernel.now + CALM_S, MOST_STEPS)

    def parked(self) -> dict[bytes, bytes]:
        """The keys that are parked, as the changelog tells."""
        changelog = self._declared.native["counter"].changelog(PARKED_KEYS)
        rows: dict[bytes, bytes] = {}
        for number in range(self.brokers.partitions(changelog)):
            log = self.brokers.logs[TopicPartition(changelog, number)]
            rows |= folded(log, log.end)
        return rows

    def discarded(self) -> set[int]:
        """The numbers of events that were given up, and not redriven before."""
        letters = {}
        for message in self.log.records(self._declared.dead_letter_topic):
            letter = read_letter(message)
            assert letter is not None
            letters[letter.name] = Numbered.model_validate_json(letter.value or b"").n
        given_up = set()
        for message in self.log.records(self._declared.dispositions_topic):
            if b'"discarded"' in (message.value() or b""):
                given_up.add(letters[(message.key() or b"").decode()])
        return given_up


def run(seed: int, faults: Faults | None = None) -> WithOperator:
    """One run; raises what it finds."""
    simulation = WithOperator(seed, Faults() if faults is None else faults)
    rng = random.Random(seed)
    events = [(rng.choice(INPUTS), Numbered(key=f"k{rng.randrange(6)}", n=n)) for n in range(1, EVENTS)]
    for topic, event in events:
        simulation.publish(topic, event)
    simulation._check = lambda log: parking_problems(log, simulation.written, simulation.discarded())
    simulation.plan_commands()
    simulation.run()
    return simulation


@pytest.mark.parametrize("seed", range(12))
def test_parked_keys_survive_all_faults(seed: int) -> None:
    """Each record is handled once, in the order of its key, unless it was discarded."""
    run(seed)


def test_commands_are_killed_and_come_to_their_end() -> None:
    """What never happens proves nothing."""
    runs = [run(seed, Faults.none()) for seed in range(100, 106)]
    assert sum(it.killed for it in runs)
    assert sum(it.done for it in runs) > len(runs)
    assert sum(len(it.discarded()) for it in runs)
