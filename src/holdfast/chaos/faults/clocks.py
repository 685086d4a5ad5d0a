"""The clock of a broker jumps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast.chaos.faults.fault import Evidence, Fault, seen
from holdfast.chaos.lab.clocks import RIGHT, offset
from holdfast.chaos.undo.actions import Action, Write

_NEAR_S = 3.0
"""Seconds by which the time that a broker tells may differ from what is asked for: asking takes some."""


class ClockJump(Fault):
    """The time of day jumps by so many seconds at one broker, and back when the fault is over.

    Args:
        file: the file that holds the broker's offset.
        seconds: how far; negative for back.
        ahead: asks the broker how far its clock is ahead of ours, in seconds.
    """

    def __init__(self, file: Path, seconds: float, ahead: Callable[[], float]) -> None:
        self._file = file
        self._seconds = seconds
        self._ahead = ahead

    def undo(self) -> tuple[Action, ...]:
        """Set it right."""
        return (Write(path=self._file, text=RIGHT),)

    def begin(self) -> Evidence:
        """Set it; the broker itself is asked for the time."""
        Write(path=self._file, text=offset(self._seconds)).perform()
        return {"ahead": self._wait_for(self._seconds)}

    def end(self) -> Evidence:
        """Set it right."""
        Write(path=self._file, text=RIGHT).perform()
        return {"ahead": self._wait_for(0.0)}

    def _wait_for(self, seconds: float) -> float:
        found = 0.0

        def near() -> bool:
            nonlocal found
            found = self._ahead()
            return abs(found - seconds) < _NEAR_S

        seen(near, f"the broker's clock is {seconds:+g} s ahead")
        return round(found, 2)
