"""Faults that get in each other's way: the end of one ends the other, too, or one of them cannot be shown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from holdfast.chaos.experiment.catalogue import Alters
from holdfast.chaos.experiment.model import Fault, TimedFault
from holdfast.chaos.experiment.targets import Role, Target, surely_meet

_ADD_UP = frozenset({Alters.LINK, Alters.DELAY, Alters.LOSS, Alters.RATE})
"""What several faults may do to one target at once."""

_SAME = {
    Alters.WORKERS: Alters.WORKER,
    Alters.CLOCK: Alters.BROKER,
    Alters.SPACE: Alters.BROKER,
    Alters.STALLS: Alters.BROKER,
}
"""What cannot be done, or shown, to one that something else is done to.

A worker that is added or taken away is started and stopped like any other; the clock and the disk of a broker
that does not run are nobody's.
"""

_STRONGER = frozenset({(Alters.WORKER, Alters.WORKERS), (Alters.WORKERS, Alters.WORKER)})
"""Pairs of different changes that undo each other all the same: scaling starts workers that were killed."""


def claim_of(alters: Alters) -> Alters | None:
    """Return what a fault has to itself of whom it hits, and no other may change; None if it adds up."""
    return None if alters in _ADD_UP else _SAME.get(alters, alters)


def undo_each_other(one: Fault, other: Fault) -> bool:
    """Tell whether two faults at the same time change the same of somebody that both surely hit.

    Choices by chance go by this, so that another answer would be another plan for the same seed.
    """
    changes = (one.kind.alters, other.kind.alters)
    if changes in _STRONGER:
        return True
    return changes[0] is changes[1] and surely_meet(one.target, other.target)


def in_the_way(one: Fault, other: Fault, alone: Collection[Role] = ()) -> bool:
    """Tell whether the later of two faults at the same time surely could not be done, or not be shown.

    Args:
        one: a fault.
        other: another one.
        alone: roles that can only mean one and the same, as there is no other.
    """
    claim, changes = claim_of(one.kind.alters), (one.kind.alters, other.kind.alters)
    if claim is not claim_of(changes[1]):
        return False
    if claim is None:
        # What is cut already, another cut does not meet. All else happens to a packet one after the other.
        return changes == (Alters.LINK, Alters.LINK) and _same_links(one, other)
    return changes in _STRONGER or surely_meet(one.target, other.target, alone)


def _same_links(one: Fault, other: Fault) -> bool:
    peers, ways = ([fault.parameters.get(key) for fault in (one, other)] for key in ("peers", "direction"))
    if "both" not in ways and ways[0] != ways[1]:
        return False
    near, far = ((it if isinstance(it, Target) else None) for it in peers)
    return surely_meet(one.target, other.target) and surely_meet(near, far)


def overlaps(
    faults: Sequence[TimedFault], lasting: Sequence[int], alone: Collection[Role] = ()
) -> Iterator[tuple[int, int, int]]:
    """Yield (index of the earlier fault, of the later one, when the later one begins) for each bad pair.

    A pair is told once, at its first meeting; so is a fault that meets itself.

    Args:
        faults: what happens.
        lasting: how long each takes at least, in milliseconds (`TimedFault.least_ms`).
        alone: roles that can only mean one and the same, as there is no other.
    """
    asked: set[tuple[int, int]] = set()
    # Of each line the last beginning and its end: its earlier ones end before.
    begun: dict[int, tuple[int, int]] = {}
    planned = sorted((start, index) for index, it in enumerate(faults) for start in it.starts())
    for start, index in planned:
        # One that begins when another ends does not meet it, unless it is an instant at the same moment.
        begun = {line: span for line, span in begun.items() if span[1] > start or span[0] == start}
        for earlier in begun:
            pair = (min(earlier, index), max(earlier, index))
            if pair not in asked:
                asked.add(pair)
                if in_the_way(faults[earlier].fault, faults[index].fault, alone):
                    yield earlier, index, start
        begun[index] = (start, start + lasting[index])
