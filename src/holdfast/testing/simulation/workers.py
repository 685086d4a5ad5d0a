"""Simulated worker processes: each runs the real worker, and is started again as a supervisor would."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.runtime.assembly import WorkerIdentity, build_worker
from holdfast.runtime.status import Reported
from holdfast.runtime.worker import Worker
from holdfast.testing.simulation.kernel import Kernel, Process
from holdfast.topology.resolved import ResolvedProcessor, ResolvedTopology

RESTART_S = 0.5
"""Seconds after which a worker that ended is started again."""

SERVERS = "simulated:9092"
"""Where the simulated brokers are."""


@dataclass(frozen=True, slots=True)
class End:
    """How a worker's life ended by itself.

    Attributes:
        at: when, in virtual seconds.
        worker: whose.
        error: why.
        foreseen: whether the error is one of Holdfast's own.
    """

    at: float
    worker: str
    error: str
    foreseen: bool


class WorkerSlot:
    """A worker's place: one process after the other, with the same identity and the same disk.

    Args:
        kernel: time.
        topology: the application.
        processor: what the worker runs.
        slot: its name.
        ended: told about lives that end with an error.

    Attributes:
        process: the present process, or the last one.
        worker: what runs in it, once it has its clients.
        wanted: whether a process that ended is to be replaced.
        failures: shards that stopped in the present life.
        turned_at: when the worker ended a turn of its loop last.
    """

    def __init__(
        self,
        kernel: Kernel,
        topology: ResolvedTopology,
        processor: ResolvedProcessor,
        slot: str,
        ended: Callable[[End], None],
    ) -> None:
        self.name = f"{processor.decl.name}/{slot}"
        self.processor = processor
        self.folder = Path("/simulated") / processor.decl.name / slot
        self.process: Process | None = None
        self.worker: Worker | None = None
        self.wanted = True
        self.failures: list[str] = []
        self.turned_at = -1.0
        self._kernel = kernel
        self._topology = topology
        self._identity = WorkerIdentity(slot, self.folder, SERVERS)
        self._ended = ended
        self._lives = 0

    @property
    def lives(self) -> bool:
        """Whether a process runs here."""
        return self.process is not None and self.process.alive

    def report(self, worker: Reported) -> None:  # noqa: ARG002 - it is ours
        """Called by the worker with every turn."""
        self.turned_at = self._kernel.now

    def failed(self, partition: int, message: str, stack: str) -> None:  # noqa: ARG002
        """Called by the worker when a shard stopped."""
        self._kernel.say(self.name, message)
        self.failures.append(message)

    def start(self) -> None:
        """Start a process, unless one runs or none is wanted."""
        if not self.wanted or self.lives:
            return
        self._lives += 1
        self.worker = None
        self.failures.clear()
        process = self.process = Process(self.name)
        self._kernel.say(self.name, "starts, life", self._lives)
        self._kernel.spawn(process, lambda: self._live(process), "main")

    def bring_back(self) -> None:
        """Start a process again after `stop`, unless one runs, and replace those that end from now on."""
        self.wanted = True
        self.start()

    def kill(self, restart: float | None = RESTART_S) -> None:
        """Kill the process; another is started after `restart` seconds, if that is given."""
        if self.lives and self.process is not None:
            self._kernel.say(self.name, "is killed")
            self._kernel.kill(self.process)
        if restart is not None:
            self._kernel.at(restart, self.start)

    def stop(self) -> None:
        """Ask the worker to end in good order, as SIGTERM does, and start no other."""
        self.wanted = False
        if self.worker is not None:
            self._kernel.say(self.name, "is asked to stop")
            self.worker.stop()

    def _live(self, process: Process) -> None:
        try:
            worker = build_worker(self._topology, self.processor, self._identity, self)
            self.worker = worker
            if not self.wanted:
                worker.stop()
            try:
                worker.run()
            finally:
                worker.close()
        except HoldfastError as error:
            self._end(f"{type(error).__name__}: {error}", foreseen=True)
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            self._end(traceback.format_exc(), foreseen=False)
        else:
            self._kernel.say(self.name, "has stopped")
        self._kernel.at(0.0, self._kernel.kill, process)
        self._kernel.at(RESTART_S, self.start)

    def _end(self, error: str, *, foreseen: bool) -> None:
        self._kernel.say(self.name, "ends:", error)
        self._ended(End(self._kernel.now, self.name, error, foreseen))
