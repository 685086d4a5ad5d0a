"""How the output went through each fault: from what was watched to the table of recoveries. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from holdfast.chaos.clients.output_watch import Interval
from holdfast.chaos.run.parts import Holders
from holdfast.chaos.run.result import Recovery

PAUSE_S = 1.0
"""Times without freshness that are nearer to each other than that are one."""


@dataclass(frozen=True, slots=True)
class Blow:
    """A fault that happened: its place among all, and when it began, on the clock of the intervals."""

    place: int
    began: float


def recoveries(
    blows: Sequence[Blow],
    gaps: Iterable[Interval],
    stale: Iterable[Interval],
    holders: Sequence[Holders],
    end: float,
    fresh_s: float = 1.0,
) -> tuple[Recovery, ...]:
    """Say of each fault what followed from it, until the next one begins or everything ends.

    Args:
        blows: the faults, in the order of their beginnings.
        gaps: silences of partitions.
        stale: times when a partition was not fresh.
        holders: who had which part.
        end: when the load ended: what is silent from then on is so for want of events.
        fresh_s: how old an input may be whose output counts as fresh: so long after a fault nothing shows.
    """
    gaps = [_clipped(gap, end) for gap in gaps if gap.began < end]
    troubles = _joined(_clipped(one, end) for one in stale if one.began < end)
    found = []
    for number, blow in enumerate(blows):
        until = min([other.began for other in blows[number + 1 :] if other.began > blow.began], default=end)
        changes = [at for each in holders if (at := each.changed(blow.began, until)) is not None]
        found.append(
            Recovery(
                blow.place,
                min(changes) - blow.began if changes else None,
                max((_within(gap, blow.began, until) for gap in gaps), default=0.0),
                _back(blow, troubles, until, known=until == end or until - blow.began >= PAUSE_S + fresh_s),
            )
        )
    return tuple(found)


def _clipped(interval: Interval, end: float) -> Interval:
    return replace(interval, ended=min(interval.ended, end))


def _within(gap: Interval, began: float, until: float) -> float:
    """The length of a gap, if it was there in some time.

    Of one that is there for less than `PAUSE_S` only that: it is the last output before the next fault, or
    the first one after the last.
    """
    share = min(gap.ended, until) - max(gap.began, began)
    return gap.ended - gap.began if share >= PAUSE_S else max(share, 0.0)


def _back(blow: Blow, troubles: Sequence[tuple[float, float]], until: float, *, known: bool) -> float | None:
    """Seconds until all was fresh again after the first trouble; 0 if there was none.

    None if the next fault came before trouble was `known` to be none.
    """
    for began, ended in troubles:
        if blow.began < ended and began < until:
            return ended - blow.began if ended < until else None
    return 0.0 if known else None


def _joined(stale: Iterable[Interval]) -> list[tuple[float, float]]:
    """Times when any partition was not fresh, those with short pauses between them as one."""
    joined: list[tuple[float, float]] = []
    for began, ended in sorted((one.began, one.ended) for one in stale):
        if joined and began - joined[-1][1] < PAUSE_S:
            joined[-1] = (joined[-1][0], max(joined[-1][1], ended))
        else:
            joined.append((began, ended))
    return joined
