"""Keeps two faults, which turn out to be aimed at the same one, from undoing each other."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from holdfast.chaos.experiment.catalogue import Alters
from holdfast.chaos.experiment.overlap import claim_of

Span = tuple[float, float]
"""From when to when something is planned to be done, on the monotonic clock."""

EVER: Span = (-math.inf, math.inf)


class Claims:
    """What is being done to whom. One for all faults that may be under way together; used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[tuple[Alters, str], Span] = {}

    @contextmanager
    def claimed(self, alters: Alters, names: Sequence[str], span: Span = EVER) -> Iterator[list[str]]:
        """Have some servers, workers or sinks for a fault while the block lasts.

        Args:
            alters: what the fault changes of them.
            names: who they are.
            span: when that is by the plan.

        Yields:
            Names that another fault does the same to; then nothing was claimed.
        """
        wanted = _wanted(alters, names)
        with self._lock:
            taken = sorted(name for _, name in wanted & self._taken.keys())
            if not taken:
                self._taken |= dict.fromkeys(wanted, span)
        try:
            yield taken
        finally:
            if not taken:
                with self._lock:
                    for one in wanted:
                        del self._taken[one]

    def spans(self, alters: Alters, names: Sequence[str]) -> list[Span]:
        """When those that have some of these now are planned to have them; none if nobody has one."""
        with self._lock:
            return [self._taken[one] for one in _wanted(alters, names) & self._taken.keys()]


def meet(one: Span, other: Span) -> bool:
    """Tell whether two faults meet by their plan: one that begins when another ends does not."""
    first, second = sorted((one, other))
    return first[1] > second[0] or first[0] == second[0]


def _wanted(alters: Alters, names: Sequence[str]) -> set[tuple[Alters, str]]:
    claim = claim_of(alters)
    return set() if claim is None else {(claim, name) for name in names}
