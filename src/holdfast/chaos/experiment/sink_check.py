"""What is wrong with faults of sinks, seen from the application's topology.

Of the topology only the names and types of its sinks are looked at: what else is wrong in it is told when it
is loaded for a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from holdfast.chaos.experiment.draft import Draft
from holdfast.chaos.experiment.model import Fault
from holdfast.chaos.experiment.targets import Group, Role
from holdfast.declaration.source import Location, Problem, content_of, did_you_mean, is_stream, parse
from holdfast.errors import ChaosError, ExperimentErrors

_WRONG, _ANSWERING = "sink.wrong", "http"

_NO_GATE: Mapping[str, str] = {
    "parquet": "it is a folder, and has no address; faults of disks are about such sinks",
    "kafka": "its brokers tell clients their own addresses, and lead them past any gate; break that cluster "
    "itself",
    "custom": "only its own class knows where its system is",
}
"""Types of sinks that nothing can be done to, as nothing can stand before them."""


def require_gate(name: str, kind: str) -> None:
    """Make sure that a gate can stand before a sink of this type.

    Raises:
        ChaosError: none can.
    """
    if kind in _NO_GATE:
        raise ChaosError(f'nothing can be done to sink "{name}" ({kind}): {_NO_GATE[kind]}')


def sink_problems(draft: Draft, file: Path) -> Iterator[Problem]:
    """Yield what is wrong with each fault of sinks; nothing where the topology cannot be read.

    Args:
        draft: the experiment.
        file: of the experiment.
    """
    workload = draft.workload
    faults = [placed for placed in draft.faults if placed.value.kind.group is Group.SINK]
    if not faults or workload is None or workload.kind != "application" or workload.topology is None:
        return
    sinks = _types(file.parent / workload.topology)
    for at, fault in faults if sinks is not None else ():
        yield from _problems(at, fault, sinks or {})


def _types(topology: Path) -> Mapping[str, str] | None:
    """The type of each sink by its name; None if that cannot be read."""
    if is_stream(topology):
        return None
    try:
        data = parse(content_of(topology, ExperimentErrors), topology).data
    except ExperimentErrors:
        return None
    sinks = data.get("sinks", {}) if isinstance(data, dict) else None
    if not isinstance(sinks, dict):
        return None
    return {name: str(decl.get("type")) for name, decl in sinks.items() if isinstance(decl, dict)}


def _problems(at: Location, fault: Fault, sinks: Mapping[str, str]) -> Iterator[Problem]:
    assert fault.target is not None, "faults of sinks have a target"
    place = (*at, "target")
    if not sinks:
        yield Problem((*at, "fault"), f"`{fault.kind.name}` needs a sink, and the topology has none")
        return
    hit = list(sinks)
    if fault.target.role is Role.SINK:
        hit = [str(fault.target.name)]
        if hit[0] not in sinks:
            near = did_you_mean(hit[0], sinks)
            yield Problem(
                place, f'there is no sink "{hit[0]}" in the topology{near} (known: {", ".join(sinks)})'
            )
            return
    if texts := [text for name in hit if (text := _why_not(fault, name, sinks[name]))]:
        possible = [f"`sink {name}`" for name, kind in sinks.items() if not _why_not(fault, name, kind)]
        advice = f". Name another target: {', '.join(possible)}" if possible else ""
        yield Problem(place, "; ".join(texts) + advice)


def _why_not(fault: Fault, name: str, kind: str) -> str:
    """Why a fault cannot be done to a sink; "" if it can."""
    try:
        require_gate(name, kind)
    except ChaosError as error:
        return str(error)
    if fault.kind.name == _WRONG and kind != _ANSWERING:
        return f'`{_WRONG}` answers calls over HTTP, and sink "{name}" is of type {kind}'
    return ""
