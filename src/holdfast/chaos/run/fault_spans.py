"""From the faults of a run, as they were done, to what its result tells of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.chaos.run.nemesis import Done
from holdfast.chaos.run.recovery import Blow
from holdfast.chaos.run.result import FaultSpan


def fault_spans(faults: Sequence[Done], zero: float) -> tuple[FaultSpan, ...]:
    """What was done, in seconds since `zero`."""
    return tuple(_span(done, zero) for done in faults)


def blows_of(faults: Sequence[Done]) -> tuple[Blow, ...]:
    """Those of the faults that happened, from which the output has to recover."""
    return tuple(Blow(place, done.began) for place, done in enumerate(faults) if not done.error)


def _span(done: Done, zero: float) -> FaultSpan:
    ended = None if done.ended is None else round(done.ended - zero, 3)
    began = round(done.began - zero, 3)
    is_instant = done.planned.for_ms is None and not done.planned.kind.open_end
    return FaultSpan(
        done.planned.kind.name,
        str(done.planned.target or ""),
        done.hit,
        began,
        began if is_instant and ended is not None else ended,
        done.evidence,
        done.error,
    )
