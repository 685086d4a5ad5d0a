"""What is wrong with faults on a time line, seen from each other: which of them are in the way of another."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.chaos.experiment.catalogue import Alters
from holdfast.chaos.experiment.draft import Draft
from holdfast.chaos.experiment.fault_check import faults_in
from holdfast.chaos.experiment.model import MOST_FAULTS, Fault
from holdfast.chaos.experiment.overlap import overlaps
from holdfast.chaos.experiment.targets import only_ones
from holdfast.chaos.experiment.words import span_text
from holdfast.declaration.source import Problem, dotted


def overlap_problems(draft: Draft) -> Iterator[Problem]:
    """Yield faults that begin while another one is in their way, with when and which."""
    if faults_in(draft.time_line) > MOST_FAULTS:
        return  # that is told, and to compare so many takes long
    # One that lacks its `every` is told so; its beginnings are not known.
    placed = [it for it in draft.time_line if it.value.times == 1 or it.value.every_ms is not None]
    cluster, workload = draft.cluster, draft.workload
    alone = only_ones(
        cluster.brokers if cluster and cluster.kind != "external" else None,
        workload.workers if workload and workload.kind != "application" else None,
    )
    faults = [it.value for it in placed]
    lasting = [draft.least_ms(it) for it in faults]
    for earlier, later, start_ms in overlaps(faults, lasting, alone):
        one, other = placed[earlier].value.fault, placed[later].value.fault
        if earlier == later:
            text = f"it begins again before it has ended, and {_again(one, lasting[later])}"
            yield Problem((*placed[later].at, "every"), text)
            continue
        line = f"`{one.kind.name}`{f' on `{one.target}`' if one.target else ''}"
        aim = "" if _scales(one, other) else ", or aim it at another"
        text = (
            f"at {span_text(start_ms)} it meets {line} ({dotted(placed[earlier].at)}), which "
            f"{_in_the_way(one, other)}. Move one of them{aim}"
        )
        yield Problem(placed[later].at, text)


def _again(fault: Fault, least_ms: int) -> str:
    """Why a fault must not begin again before it has ended."""
    if fault.kind.open_end:
        return f"takes {span_text(least_ms)} at least: raise `every`, or lower `pause`"
    why = "what is cut already it would not meet" if _cuts(fault) else "that end undoes both"
    return f"{why}: raise `every`, or lower `for`"


def _in_the_way(one: Fault, other: Fault) -> str:
    """In which way an earlier fault is in that of a later one."""
    changed, wanted = one.kind.alters, other.kind.alters
    if _cuts(one):
        return "cuts some of the same links: what is cut already it would not meet"
    if _scales(one, other):
        return f"changes {changed}: scaling starts and stops workers, too, so neither would be as it says"
    if wanted is changed:
        return f"changes {changed} as well: the end of one undoes the other"
    return f"changes {changed}: that and {wanted} are not changed at the same time, so it would be left out"


def _scales(one: Fault, other: Fault) -> bool:
    """Whether one of two faults changes how many workers there are, and the other one some of them."""
    return {one.kind.alters, other.kind.alters} == {Alters.WORKER, Alters.WORKERS}


def _cuts(fault: Fault) -> bool:
    return fault.kind.alters is Alters.LINK
