"""Somebody replays a processor in place, as `holdfast replay` does, while nobody works; or so he thinks."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from holdfast.errors import HoldfastError
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.rewind import rewind
from holdfast.kafka.scan import LogScanner
from holdfast.record import TopicPartition
from holdfast.runtime.replay import Start, plan_replay
from holdfast.runtime.replay_steps import end_unfinished, look, rewind_in_place
from holdfast.testing.simulation.kernel import Kernel, Process
from holdfast.testing.simulation.workers import SERVERS, End
from holdfast.topology.model import ProcessorDecl, Topology


class Operator:
    """Replays one processor after the other, from the beginning of its inputs.

    Args:
        kernel: time.
        topology: the application.
        ended: told about errors that Holdfast did not foresee.

    Attributes:
        process: the present try, or the last one.
        tries: how many there were.
        done: how many of them set a group back, as far as the operator knows.
        last: what he said last.
    """

    def __init__(self, kernel: Kernel, topology: Topology, ended: Callable[[End], None]) -> None:
        self.process: Process | None = None
        self.tries = 0
        self.done = 0
        self.last = ""
        self._kernel = kernel
        self._topology = topology
        self._ended = ended
        self._back: dict[tuple[str, TopicPartition], int] = {}
        self._seen: dict[str, ProcessorDecl] = {}

    @property
    def works(self) -> bool:
        """Whether he is at it."""
        return self.process is not None and self.process.alive

    def replay(self, owner: ProcessorDecl, then: Callable[[], None]) -> None:
        """Try to replay a processor; `then` is called when the try is over, also when it was killed."""
        self.tries += 1
        self._seen[owner.name] = owner
        self._start(lambda: self._replay(owner), then)

    def clear_up(self) -> None:
        """End what a try left open that was killed; a later `holdfast replay` begins with that."""
        if self._seen and not self.works:
            self._start(self._end_unfinished, lambda: None)

    def sets_back(self, group: str, place: TopicPartition, offset: int) -> bool:
        """Whether a position that goes back is one that he has set; asked once for each."""
        return self._back.pop((group, place), None) == offset

    def _start(self, work: Callable[[], None], then: Callable[[], None]) -> None:
        process = self.process = Process("operator")
        process.at_exit.append(then)
        self._kernel.spawn(process, lambda: self._live(process, work), "main")

    def _live(self, process: Process, work: Callable[[], None]) -> None:
        try:
            work()
        except HoldfastError as error:
            self._say(f"{type(error).__name__}: {error}")
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            self._ended(End(self._kernel.now, process.name, traceback.format_exc(), foreseen=False))
        self._kernel.at(0.0, self._kernel.kill, process)

    def _say(self, words: str) -> None:
        self.last = words
        self._kernel.say("operator:", words)

    def _end_unfinished(self) -> None:
        for owner in self._seen.values():
            end_unfinished(owner, SERVERS, self._topology.kafka)

    def _replay(self, owner: ProcessorDecl) -> None:
        self._say(f"replays {owner.name}")
        properties = self._topology.kafka
        with GroupAdmin(SERVERS, properties) as admin:
            end_unfinished(owner, SERVERS, properties)
            stands, known = look(self._topology, owner, Start(), admin, SERVERS)
            plan = plan_replay(Start(), known, has_tables=bool(owner.tables))
            todo = rewind_in_place(owner, stands, plan, admin)
        self._back |= {(owner.group_id, step.place): step.start for step in plan.steps}
        rewind(todo, SERVERS, properties, LogScanner(SERVERS, properties))
        self.done += 1
        self._say(f"has set {owner.name} back: {plan.offsets} offsets to pass again")
