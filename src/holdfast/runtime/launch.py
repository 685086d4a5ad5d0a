"""From a topology to worker processes: slots, folders, commands."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.errors import TopologyError
from holdfast.runtime.orders import WorkerOrders
from holdfast.runtime.spare import Waiting
from holdfast.runtime.supervisor import WorkerSpec
from holdfast.topology.model import LEADER, FaustDecl, ProcessorDecl, Topology

_ENVIRONMENT = {
    # The client and the store allocate on many threads; glibc's arena for each of them was
    # measured to hold 50-100 MB that nobody uses.
    "MALLOC_ARENA_MAX": "2",
}
_WORKER = "holdfast.runtime.process"

HUNG_S = 60.0
"""A native worker speaks several times a second. One call of a handler may keep it for as long as a
transaction lives (10 s), and the end of a commit whose coordinator is gone for half a minute."""

START_S = 120.0
"""From one word to the next while a worker starts, the first time; see `LONGER_STARTS` for the times after
that. Its calls to the brokers end within some ten seconds each. What takes long is the import of large
libraries from a cold or networked disk, on a machine that starts all its workers at once: a minute is not out
of the question."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """What is the same for all workers of one run.

    Attributes:
        bootstrap_servers: the brokers.
        home: the data folder; state goes to `state/` and logs to `logs/` in it.
        slot_prefix: start of the slots' names; the worker's index follows.
        workers: workers per processor; None for what the topology declares.
        logs: whether workers write to log files instead of our own output.
        candidates: candidates for the leader tasks, if any are declared.
    """

    bootstrap_servers: str
    home: Path
    slot_prefix: str
    workers: int | None = None
    logs: bool = True
    candidates: int = 0


def default_slot_prefix() -> str:
    """This machine's name: stable over restarts, different on other machines."""
    return _UNSAFE.sub("-", socket.gethostname()) or "host"


def check_slot_prefix(prefix: str) -> str:
    """Return a prefix that slots may have: it becomes part of names on the brokers, and of folders.

    Raises:
        TopologyError: it has other characters than these may have.
    """
    if _UNSAFE.search(prefix):
        raise TopologyError(
            f'the slot prefix "{prefix}" cannot be used; it may have letters, digits, ".", "_" and "-"'
        )
    return prefix


def worker_specs(
    topology: Topology, settings: LaunchSettings, only: Collection[str] = ()
) -> tuple[WorkerSpec, ...]:
    """The workers of a topology, and the candidates for its leader tasks.

    Args:
        topology: the declaration.
        settings: what is the same for all.
        only: processors to run, and `leader` for the candidates; all of them when empty.

    Raises:
        TopologyError: `only` names a processor that is not declared, or nothing is declared.
    """
    leads = LEADER in only and bool(topology.leader_tasks)
    named = [name for name in only if not (leads and name == LEADER)]
    chosen = [topology.processor(name) for name in named] if only else list(topology.processors.values())
    candidates = settings.candidates if not only else max(settings.candidates, 1) if leads else 0
    if not topology.leader_tasks:
        candidates = 0
    if not chosen and not candidates:
        raise TopologyError(f"{topology.source.path} declares no processors; there is nothing to run")
    workers = (
        _spec(topology, decl, settings, index)
        for decl in chosen
        for index in range(settings.workers or decl.workers)
    )
    return (*workers, *(_candidate_spec(topology, settings, index) for index in range(candidates)))


def _spec(
    topology: Topology, decl: ProcessorDecl | FaustDecl, settings: LaunchSettings, index: int
) -> WorkerSpec:
    place = _Place(topology, decl.name, decl.full_name, settings, index)
    if isinstance(decl, FaustDecl):
        return _faust_spec(topology, decl, settings, place)
    return _ordered(topology, settings, place, _WORKER)


def _candidate_spec(topology: Topology, settings: LaunchSettings, index: int) -> WorkerSpec:
    place = _Place(topology, LEADER, LEADER, settings, index)
    return replace(_ordered(topology, settings, place, "holdfast.runtime.leader_process"), counts="run")


class _Place:
    """Where a worker works: its slot, and its files."""

    def __init__(
        self, topology: Topology, name: str, folder: str, settings: LaunchSettings, index: int
    ) -> None:
        self.name = name
        self.slot = f"{settings.slot_prefix}-{index}"
        place = Path(topology.app) / folder / self.slot
        # Not with_suffix: a slot is named after a host, which may have dots.
        self.log = settings.home / "logs" / place.with_name(f"{self.slot}.log") if settings.logs else None
        self.state = settings.home / "state" / place


def _ordered(topology: Topology, settings: LaunchSettings, place: _Place, program: str) -> WorkerSpec:
    """A worker that is told by its orders what to do."""
    orders = WorkerOrders(
        topology=str(topology.source.path.resolve()),
        processor=place.name,
        slot=place.slot,
        folder=str(place.state),
        bootstrap_servers=settings.bootstrap_servers,
    )
    started = (sys.executable, "-m", program)
    return WorkerSpec(
        place.name,
        place.slot,
        lambda descriptor: [*started, replace(orders, status=descriptor).to_json()],
        environment=_ENVIRONMENT,
        log=place.log,
        silence=HUNG_S,
        starting=START_S,
        waiting=Waiting(started, orders) if program == _WORKER else None,
    )


def _faust_spec(topology: Topology, decl: FaustDecl, settings: LaunchSettings, place: _Place) -> WorkerSpec:
    """Stock faust-streaming: it joins by its own app id and reads the environment that we set."""
    program = [sys.executable, "-m", "holdfast.runtime.faust_process", decl.agent]
    return WorkerSpec(
        place.name,
        place.slot,
        lambda descriptor: [*program, str(descriptor)],
        environment={
            "HOLDFAST_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "HOLDFAST_STATE_DIR": str(place.state),
        },
        folder=topology.folder,
        log=place.log,
    )
