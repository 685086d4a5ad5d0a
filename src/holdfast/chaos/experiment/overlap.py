"""Faults that undo each other: the end of one ends the other, too, and then nobody knows what was tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.chaos.experiment.catalogue import Alters
from holdfast.chaos.experiment.model import Fault, TimedFault
from holdfast.chaos.experiment.targets import surely_meet

_STRONGER = frozenset({(Alters.WORKER, Alters.WORKERS), (Alters.WORKERS, Alters.WORKER)})
"""Pairs of different changes that undo each other all the same: scaling starts workers that were killed."""


def undo_each_other(one: Fault, other: Fault) -> bool:
    """Tell whether two faults at the same time change the same of somebody that both surely hit."""
    changes = (one.kind.alters, other.kind.alters)
    if changes in _STRONGER:
        return True
    return changes[0] is changes[1] and surely_meet(one.target, other.target)


def overlaps(faults: Sequence[TimedFault]) -> Iterator[tuple[int, int, int]]:
    """Yield (index of the earlier fault, of the later one, when the later one begins) for each bad pair.

    A pair is told once, at its first meeting; so is a fault that meets itself.
    """
    seen: set[tuple[int, int]] = set()
    begun: list[tuple[int, int, int]] = []
    planned = sorted((start, index) for index, it in enumerate(faults) for start in it.starts())
    for start, index in planned:
        # One that begins when another ends does not meet it, unless it is an instant at the same moment.
        begun = [it for it in begun if it[1] > start or it[0] == start]
        for _, _, earlier in begun:
            pair = (min(earlier, index), max(earlier, index))
            if pair not in seen and undo_each_other(faults[earlier].fault, faults[index].fault):
                seen.add(pair)
                yield earlier, index, start
        begun.append((start, start + (faults[index].for_ms or 0), index))
