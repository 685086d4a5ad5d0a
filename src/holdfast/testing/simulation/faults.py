"""What befalls a simulated application: a seeded mix of everything that its parts may do wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.testing.simulation.brokers import CALM, OFFSETS_TOPIC, STATE_TOPIC, Brokers, Weather
from holdfast.testing.simulation.groups import Groups
from holdfast.testing.simulation.kernel import Kernel, Process
from holdfast.testing.simulation.operator import Operator
from holdfast.testing.simulation.store import DISK_FAULT, DiskFaults, Disks
from holdfast.testing.simulation.workers import WorkerSlot

_OPERATOR_TIMES = 25
"""How much likelier something befalls a replay at one of its steps: it has few, and each of them matters."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How bad it gets.

    Attributes:
        seconds_between: mean of the time between two faults, in virtual seconds.
        at_steps: the chance that a process is killed or stopped at any one step of its own.
        worker: kills, stops (SIGSTOP) and cuts off workers, starts and ends them in good order.
        broker: takes brokers away, moves leaders.
        network: loses and delays requests and answers.
        disk: lets reads and writes of local state fail, and loses whole folders.
        log: compacts changelogs, and deletes inputs that were handled.
        replay: somebody replays processors in place, outputs muted. Only for handlers that make the same
            of the same records, whenever they come.
    """

    seconds_between: float = 1.2
    at_steps: float = 0.0004
    worker: bool = True
    broker: bool = True
    network: bool = True
    disk: bool = True
    log: bool = True
    replay: bool = False

    @classmethod
    def none(cls) -> Faults:
        """Fair weather: for a test that does one thing by itself."""
        return cls(at_steps=0.0, worker=False, broker=False, network=False, disk=False, log=False)


class Nemesis:
    """Does the damage, and mends it.

    Args:
        kernel: time and chance.
        brokers: the brokers.
        groups: whose positions say what was handled.
        disks: the workers' disks.
        slots: the workers.
        operator: who replays.
        faults: how bad it gets.
        group_of: the groups that read each topic.
    """

    def __init__(
        self,
        kernel: Kernel,
        brokers: Brokers,
        groups: Groups,
        disks: Disks,
        slots: Sequence[WorkerSlot],
        operator: Operator,
        faults: Faults,
        group_of: dict[str, tuple[str, ...]],
    ) -> None:
        self._kernel, self._brokers, self._groups = kernel, brokers, groups
        self._disks, self._slots, self._faults = disks, slots, faults
        self._operator = operator
        self._group_of = group_of
        self._calm = False
        self.counts: dict[str, int] = {}
        self._acts = self._possible()

    def _possible(self) -> list[tuple[str, Callable[[], None]]]:
        faults = self._faults
        acts: list[tuple[bool, str, Callable[[], None]]] = [
            (faults.worker, "kill", self._kill),
            (faults.worker, "kill", self._kill),
            (faults.worker, "pause", self._pause),
            (faults.worker, "pause", self._pause),
            (faults.worker, "cut", self._cut),
            (faults.worker, "scale", self._scale),
            (faults.worker, "scale", self._scale),
            (faults.broker, "broker", self._broker),
            (faults.broker, "election", self._election),
            (faults.network, "weather", self._weather),
            (faults.network, "weather", self._weather),
            (faults.disk, "disk", self._disk),
            (faults.disk, "folder", self._folder),
            (faults.log, "compaction", self._compaction),
            (faults.log, "retention", self._retention),
            (faults.replay, "replay", self._replay),
        ]
        return [(name, act) for is_on, name, act in acts if is_on]

    def start(self) -> None:
        """Begin."""
        if self._faults.at_steps:
            self._kernel.step_fault = self._at_step
        if self._acts:
            self._next()

    def end(self) -> None:
        """Mend everything, and do nothing any more."""
        self._calm = True
        self._kernel.step_fault = None
        self._brokers.weather = CALM
        self._disks.faults = DiskFaults()
        for node in self._brokers.nodes:
            node.cut.clear()
            self._brokers.start(node.number)
        for slot in self._slots:
            if slot.process is not None:
                self._kernel.unpause(slot.process)
            slot.bring_back()
        self._operator.clear_up()
        self.restart_failed()

    def restart_failed(self) -> None:
        """Do what an operator does: a shard whose disk failed twice waits until its worker is restarted."""
        for slot in self._slots:
            if any(DISK_FAULT in failure for failure in slot.failures):
                slot.kill()

    def _next(self) -> None:
        rng = self._kernel.rng
        self._kernel.at(rng.expovariate(1 / self._faults.seconds_between), self._strike)

    def _strike(self) -> None:
        if self._calm:
            return
        name, act = self._kernel.rng.choice(self._acts)
        self._count(name)
        act()
        self._next()

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def _later(self, shortest: float, longest: float, act: Callable[[], None]) -> None:
        """Mend something after a while, unless all is mended by then."""
        self._kernel.at(self._kernel.rng.uniform(shortest, longest), lambda: None if self._calm else act())

    # -- workers

    def _at_step(self, process: Process, what: str) -> None:
        rng = self._kernel.rng
        is_operator = process is self._operator.process
        if rng.random() >= self._faults.at_steps * (_OPERATOR_TIMES if is_operator else 1):
            return
        if is_operator:
            self._hit_operator(process, what)
            return
        slot = next((s for s in self._slots if s.process is process), None)
        if slot is None:
            return
        self._kernel.say("at step", repr(what))
        if rng.random() < 0.5:
            self._count("kill at step")
            slot.kill(restart=rng.uniform(0.1, 4.0))
        else:
            self._count("pause at step")
            self._stop_for_a_while(process)

    def _kill(self) -> None:
        rng = self._kernel.rng
        rng.choice(self._slots).kill(restart=rng.choice([0.1, 0.5, rng.uniform(1.0, 8.0)]))

    def _pause(self) -> None:
        slot = self._kernel.rng.choice(self._slots)
        if slot.lives and slot.process is not None:
            self._stop_for_a_while(slot.process)

    def _stop_for_a_while(self, process: Process) -> None:
        self._kernel.say(process.name, "is stopped (SIGSTOP)")
        self._kernel.pause(process)
        self._kernel.at(self._kernel.rng.choice([0.3, 3.0, 12.0]), self._kernel.unpause, process)

    def _cut(self) -> None:
        rng, nodes = self._kernel.rng, self._brokers.nodes
        slot = rng.choice(self._slots)
        cut = rng.sample(nodes, rng.choice([1, len(nodes)]))
        for node in cut:
            node.cut.add(slot.name)
        self._kernel.say(slot.name, "is cut off from", [node.number for node in cut])

        def mend() -> None:
            for node in cut:
                node.cut.discard(slot.name)

        self._later(0.3, 8.0, mend)

    def _scale(self) -> None:
        slot = self._kernel.rng.choice(self._slots)
        if slot.lives and slot.wanted:
            slot.stop()
        self._later(0.5, 5.0, slot.bring_back)

    # -- the operator

    def _replay(self) -> None:
        """Replay a processor, mostly after its workers were asked to stop."""
        rng = self._kernel.rng
        processor = rng.choice(self._slots).processor
        slots = [slot for slot in self._slots if slot.processor is processor]
        if rng.random() < 0.8:
            for slot in slots:
                slot.stop()

        def go_on() -> None:
            if not self._calm:
                for slot in slots:
                    slot.bring_back()

        def begin() -> None:
            if self._operator.works:
                go_on()
            elif not self._calm:
                self._operator.replay(processor.decl, go_on)

        # Less than a session, so that killed workers are still members, and more.
        self._kernel.at(rng.choice([0.5, 2.5, 5.0]), begin)

    def _hit_operator(self, process: Process, what: str) -> None:
        self._count("operator at step")
        self._kernel.say("operator at step", repr(what))
        if self._kernel.rng.random() < 0.5:
            self._kernel.say("operator is killed")
            self._kernel.kill(process)
        else:
            self._stop_for_a_while(process)

    # -- brokers and the network

    def _broker(self) -> None:
        rng = self._kernel.rng
        number = rng.randrange(len(self._brokers.nodes))
        self._brokers.stop(number, detection=rng.choice([0.05, 1.0, 5.0]))
        self._later(0.5, 8.0, lambda: self._brokers.start(number))

    def _election(self) -> None:
        self._brokers.elect(self._kernel.rng.choice(list(self._brokers.leaders)))

    def _weather(self) -> None:
        rng = self._kernel.rng
        self._brokers.weather = Weather(
            lose=rng.choice([0.0, 0.1, 0.3]),
            lose_answer=rng.choice([0.0, 0.1, 0.3]),
            slow=rng.choice([0.0, 0.02, 0.1]),
            late=rng.choice([0.0, 0.5, 1.0]),
            overloaded=rng.choice(["", OFFSETS_TOPIC, STATE_TOPIC]),
        )
        self._kernel.say("network:", self._brokers.weather)

        def clear() -> None:
            self._brokers.weather = CALM

        self._later(0.3, 5.0, clear)

    # -- disks and logs

    def _disk(self) -> None:
        rng = self._kernel.rng
        self._disks.faults = DiskFaults(
            read=rng.choice([0.0, 0.02]), write=rng.choice([0.0, 0.1]), damage=rng.choice([0.0, 0.5])
        )

        def mend() -> None:
            self._disks.faults = DiskFaults()

        self._later(0.3, 3.0, mend)

    def _folder(self) -> None:
        slot = self._kernel.rng.choice(self._slots)
        slot.kill(restart=None)
        self._disks.lose(slot.folder)
        self._kernel.say(slot.name, "loses its disk")
        self._later(0.2, 2.0, slot.start)

    def _compaction(self) -> None:
        for log in self._brokers.logs.values():
            if log.compacted and self._kernel.rng.random() < 0.7:
                log.compact(self._kernel.rng.randint(log.start, log.end))

    def _retention(self) -> None:
        if self._operator.tries:
            # A group that was set back stands before what would be deleted: its inputs would be gone.
            return
        for place, log in self._brokers.logs.items():
            readers = self._group_of.get(place.topic)
            if not log.compacted and readers:
                handled = [
                    self._groups.group(name).offsets.get(place, (log.start, ""))[0] for name in readers
                ]
                log.trim(self._kernel.rng.randint(log.start, max(min(handled), log.start)))
