"""The application that is simulated: its objects, with settings that vary from run to run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.testing.simulation.failures import SimulationError
from holdfast.topology.load import load
from holdfast.topology.model import Topology
from holdfast.topology.resolve import resolve
from holdfast.topology.resolved import ResolvedTopology

_RESOLVED_KEPT = 8

COMMIT_INTERVALS_MS = [50, 200, 600]
"""Of which each run has one, by its seed."""

_RESOLVED: dict[int, tuple[Topology, ResolvedTopology]] = {}


def resolved_application(topology: Topology | str | Path, rng: random.Random) -> ResolvedTopology:
    """The application's objects; kept, since thousands of runs ask for the same.

    Caches, commit intervals and standbys are as the seed says: they decide what happens at the same time.

    Raises:
        SimulationError: a processor writes to a sink, which is not simulated.
    """
    declared = topology if isinstance(topology, Topology) else load(Path(topology))
    if outside := [name for name, decl in declared.native.items() if decl.sink or decl.asks]:
        raise SimulationError(
            f"processors with sinks, or that ask, cannot be simulated: {', '.join(outside)}. "
            "Simulate the others with a topology of their own; test these with TopologyTest and their real "
            "systems"
        )
    kept = _RESOLVED.get(id(declared))
    if kept is None:
        native = [f"processors.{name}" for name in declared.native]
        native += [f"producers.{name}" for name in declared.producers]
        kept = (
            declared,
            resolve(declared, only=[*native, *(f"topics.{n}" for n in declared.topics), "checks"]),
        )
        if len(_RESOLVED) >= _RESOLVED_KEPT:
            del _RESOLVED[next(iter(_RESOLVED))]
        _RESOLVED[id(declared)] = kept
    processors = {
        name: replace(
            each,
            decl=each.decl.model_copy(
                update={
                    "cache_entries": rng.choice([2, 1000]),
                    "commit_interval_ms": rng.choice(COMMIT_INTERVALS_MS),
                    "standby": rng.choice([0, 0, 1]),
                }
            ),
        )
        for name, each in kept[1].processors.items()
    }
    return replace(kept[1], processors=processors)


def chosen_checks(resolved: ResolvedTopology, names: Iterable[str]) -> list[Callable[..., Any]]:
    """Declared checks by the names of their functions.

    Raises:
        SimulationError: one is not declared.
    """
    known = {reference.partition(":")[2]: check for reference, check in resolved.checks.items()}
    for name in names:
        if name not in known:
            raise SimulationError(f"check {name!r} is not declared (declared: {', '.join(known) or 'none'})")
    return [known[name] for name in names]
