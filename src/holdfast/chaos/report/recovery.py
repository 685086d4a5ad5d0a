"""How the output recovered, by kind of fault."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.chaos.run.result import Recovery, RunResult


@dataclass(frozen=True, slots=True)
class Spread:
    """What a few times were, in seconds.

    Attributes:
        count: how many.
        p50: the least that half of them do not exceed (nearest rank).
        p95: the same for 95 of 100; of fewer than 20 it is the longest.
        longest: the longest.
    """

    count: int
    p50: float
    p95: float
    longest: float


@dataclass(frozen=True, slots=True)
class KindRecovery:
    """The recovery from all faults of one kind.

    Attributes:
        kind: of the fault; "" for all kinds together.
        faults: how many of them were told about.
        detection: of those where somebody took over; None if nobody ever did.
        longest_gap: of all.
        back_to_normal: of those after which the output was normal again; None if it never was.
        never: after how many it was not normal again before the next fault or the end.
    """

    kind: str
    faults: int
    detection: Spread | None
    longest_gap: Spread | None
    back_to_normal: Spread | None
    never: int


def spread(times: Sequence[float]) -> Spread | None:
    """The quantiles of some times; None of none. A nearest rank is always a time that was measured."""
    ordered = sorted(time for time in times if math.isfinite(time))
    if not ordered:
        return None
    p50, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return Spread(len(ordered), p50, p95, ordered[-1])


def recovery_by_kind(result: RunResult) -> tuple[KindRecovery, ...]:
    """The recovery from each kind of fault, in the order in which the kinds came first."""
    kinds: dict[str, list[Recovery]] = {}
    for each in result.recovery:
        if 0 <= each.fault < len(result.faults):
            kinds.setdefault(result.faults[each.fault].kind, []).append(each)
    return tuple(_of_kind(kind, found) for kind, found in kinds.items())


def recovery_of_all(result: RunResult) -> KindRecovery:
    """The recovery from all faults, whatever their kind."""
    return _of_kind("", result.recovery)


def _of_kind(kind: str, found: Sequence[Recovery]) -> KindRecovery:
    return KindRecovery(
        kind,
        len(found),
        spread([each.detection for each in found if each.detection is not None]),
        spread([each.longest_gap for each in found]),
        spread([each.back_to_normal for each in found if each.back_to_normal is not None]),
        sum(each.back_to_normal is None for each in found),
    )
