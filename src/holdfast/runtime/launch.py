"""From a topology to worker processes: slots, folders, commands."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import TopologyError
from holdfast.runtime.orders import WorkerOrders
from holdfast.runtime.supervisor import WorkerSpec
from holdfast.topology.model import FaustDecl, ProcessorDecl, Topology

_ENVIRONMENT = {
    # The client and the store allocate on many threads; glibc's arena for each of them was
    # measured to hold 50-100 MB that nobody uses.
    "MALLOC_ARENA_MAX": "2",
}
HUNG_S = 60.0
"""A native worker speaks several times a second. One call of a handler may keep it for as long as a
transaction lives (10 s), and the end of a commit whose coordinator is gone for half a minute."""

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
    """

    bootstrap_servers: str
    home: Path
    slot_prefix: str
    workers: int | None = None
    logs: bool = True


def default_slot_prefix() -> str:
    """This machine's name: stable over restarts, different on other machines."""
    return _UNSAFE.sub("-", socket.gethostname()) or "host"


def worker_specs(
    topology: Topology, settings: LaunchSettings, only: Collection[str] = ()
) -> tuple[WorkerSpec, ...]:
    """The workers of a topology.

    Args:
        topology: the declaration.
        settings: what is the same for all.
        only: processors to run; all of them when empty.

    Raises:
        TopologyError: `only` names a processor that is not declared, or nothing is declared.
    """
    chosen = [topology.processor(name) for name in only] if only else list(topology.processors.values())
    if not chosen:
        raise TopologyError(f"{topology.source.path} declares no processors; there is nothing to run")
    return tuple(
        _spec(topology, decl, settings, index)
        for decl in chosen
        for index in range(settings.workers or decl.workers)
    )


def _spec(
    topology: Topology, decl: ProcessorDecl | FaustDecl, settings: LaunchSettings, index: int
) -> WorkerSpec:
    slot = f"{settings.slot_prefix}-{index}"
    place = Path(topology.app) / decl.name / slot
    # Not with_suffix: a slot is named after a host, which may have dots.
    log = settings.home / "logs" / place.with_name(f"{slot}.log") if settings.logs else None
    state = settings.home / "state" / place
    if isinstance(decl, FaustDecl):
        return _faust_spec(topology, decl, settings, slot, state, log)

    def command(descriptor: int) -> Sequence[str]:
        orders = WorkerOrders(
            topology=str(topology.source.path.resolve()),
            processor=decl.name,
            slot=slot,
            folder=str(state),
            bootstrap_servers=settings.bootstrap_servers,
            status=descriptor,
        )
        return [sys.executable, "-m", "holdfast.runtime.process", orders.to_json()]

    return WorkerSpec(decl.name, slot, command, environment=_ENVIRONMENT, log=log, silence=HUNG_S)


def _faust_spec(
    topology: Topology, decl: FaustDecl, settings: LaunchSettings, slot: str, state: Path, log: Path | None
) -> WorkerSpec:
    """Stock faust-streaming: it joins by its own app id and reads the environment that we set."""
    program = [sys.executable, "-m", "holdfast.runtime.faust_process", decl.agent]
    return WorkerSpec(
        decl.name,
        slot,
        lambda descriptor: [*program, str(descriptor)],
        environment={
            "HOLDFAST_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "HOLDFAST_STATE_DIR": str(state),
        },
        folder=topology.folder,
        log=log,
    )
