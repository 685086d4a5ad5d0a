"""The one time axis that all plots of a run share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.chaos.report.amounts import moment
from holdfast.chaos.run.result import RunResult

WIDTH = 1000
"""Units of a plot from left to right: about the pixels of a large window."""

_STEPS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    20,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    43200,
    86400,
)
_TICKS = 10
"""About so many times are written."""


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Seconds since time 0, from left to right.

    Attributes:
        begin: at the left.
        end: at the right; more than `begin`.
    """

    begin: float
    end: float

    @classmethod
    def of(cls, result: RunResult) -> TimeAxis:
        """The axis on which everything of a run has its place."""
        known = [time for time in _times(result) if math.isfinite(time)]
        begin, end = min(known), max(known)
        return cls(begin, end if end - begin >= 1 else begin + 1)

    def x(self, time: float) -> float:
        """Where a time is, in units from the left; one that is beyond an end is at that end."""
        share = (time - self.begin) / (self.end - self.begin)
        return round(min(max(share, 0.0), 1.0) * WIDTH, 1)

    def percent(self, time: float) -> str:
        """The same for CSS."""
        return f"{self.x(time) / WIDTH * 100:.2f}%"

    def span(self, began: float, ended: float | None, least: float = 0.0) -> tuple[float, float]:
        """Begin and length of a span in units; one without an end goes on to the right.

        Args:
            began: since when.
            ended: until when.
            least: what is shorter is drawn as long as that, to be seen.
        """
        left = self.x(began)
        length = max(self.x(self.end if ended is None else ended) - left, least)
        left = min(left, WIDTH - length)
        return round(left, 1), round(length, 1)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Round times with what is written at them."""
        whole = self.end - self.begin
        step = next((step for step in _STEPS if whole / step <= _TICKS), _STEPS[-1])
        first, last = math.ceil(self.begin / step - 1e-9), math.floor(self.end / step + 1e-9)
        return tuple((i * step, self._label(i * step, step)) for i in range(first, last + 1))

    def _label(self, time: float, step: float) -> str:
        if step >= 60 and self.end > 300:
            return f"{time / 60:g} min".replace("-", "\N{MINUS SIGN}")
        return f"{round(time, 1):g} s".replace("-", "\N{MINUS SIGN}")


def _times(result: RunResult) -> Iterator[float]:
    yield from (0.0, result.load_s)
    for sample in result.samples:
        yield from (sample.at - sample.seconds, sample.at)
    for fault in result.faults:
        yield from (fault.began, fault.began if fault.ended is None else fault.ended)
    for span in (*result.owners, *result.leaders, *result.breakers):
        yield from (span.began, span.began if span.ended is None else span.ended)


def during(began: float, ended: float | None) -> str:
    """A span in words: ``15.0 s to 25.2 s``, ``15.0 s``, ``15.0 s to the end``."""
    if ended is None:
        return f"{moment(began)} to the end"
    return moment(began) if moment(began) == moment(ended) else f"{moment(began)} to {moment(ended)}"
