"""What all faults have in common."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from holdfast.chaos.undo.actions import Action
from holdfast.errors import FaultFailed

Evidence = Mapping[str, Any]
"""What was seen of a fault, as plain data for the report: that it happened, and that it is over."""

PROOF_S = 10.0
"""Seconds within which a fault has to be seen."""

_LOOK_S = 0.02


class Fault(ABC):
    """One fault on targets that are chosen. It is begun once and ended once.

    Attributes:
        over: set when the run is over: a fault that takes long to begin stops where it can.
    """

    over: threading.Event = threading.Event()

    _met: frozenset[str] | None = None
    """Whom it met, of those that it was aimed at, where only its end can tell."""

    def undo(self) -> tuple[Action, ...]:
        """What a stranger would do to end it, written down before it begins; nothing if all ends with us.

        It is asked for once, and may wait for whom the fault is to meet.

        Raises:
            FaultFailed: it cannot happen, as somebody whom it is to meet is not there.
        """
        return ()

    @abstractmethod
    def begin(self) -> Evidence:
        """Make it happen, and return what proves that it did.

        Raises:
            FaultFailed: it did not happen.
        """

    @abstractmethod
    def end(self) -> Evidence:
        """Undo it, and return what proves that it is over.

        Raises:
            FaultFailed: it is not.
        """

    def met(self, hit: tuple[str, ...]) -> tuple[str, ...]:
        """Whom it met of those that it was aimed at, asked when it has ended: all, unless only that can tell.

        Args:
            hit: whom it was aimed at.
        """
        return hit if self._met is None else tuple(name for name in hit if name in self._met)


def seen(condition: Callable[[], bool], what: str, within: float = PROOF_S) -> float:
    """Wait until a fault is seen; return the seconds it took.

    Raises:
        FaultFailed: it was not seen in time.
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            raise FaultFailed(f"{what}: not seen within {within:.0f} s")
        time.sleep(_LOOK_S)
    return time.monotonic() - began
