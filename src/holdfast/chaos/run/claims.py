"""Keeps two faults, which turn out to be aimed at the same one, from undoing each other."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from holdfast.chaos.experiment.catalogue import Alters
from holdfast.chaos.experiment.overlap import claim_of


class Claims:
    """What is being done to whom. One for all faults that may be under way together; used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[tuple[Alters, str], float] = {}

    @contextmanager
    def claimed(self, alters: Alters, names: Sequence[str], until: float = math.inf) -> Iterator[list[str]]:
        """Have some servers, workers or sinks for a fault while the block lasts.

        Args:
            alters: what the fault changes of them.
            names: who they are.
            until: when it should be over, on the monotonic clock; nobody waits for one without that.

        Yields:
            Names that another fault does the same to; then nothing was claimed.
        """
        wanted = _wanted(alters, names)
        with self._lock:
            taken = sorted(name for _, name in wanted & self._taken.keys())
            if not taken:
                self._taken |= dict.fromkeys(wanted, until)
        try:
            yield taken
        finally:
            if not taken:
                with self._lock:
                    for one in wanted:
                        del self._taken[one]

    def held_until(self, alters: Alters, names: Sequence[str]) -> float | None:
        """When the last of those that have some of these should let go of them; None if nobody has one."""
        with self._lock:
            ends = [self._taken[one] for one in _wanted(alters, names) & self._taken.keys()]
        return max(ends, default=None)


def _wanted(alters: Alters, names: Sequence[str]) -> set[tuple[Alters, str]]:
    claim = claim_of(alters)
    return set() if claim is None else {(claim, name) for name in names}
