"""From values to places on a plot, and the values that stand beside its axes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Scale(Protocol):
    """An axis of values."""

    def share(self, value: float) -> float:
        """Where a value is: 0 at the bottom, 1 at the top; what is beyond either stays there."""
        ...

    def ticks(self) -> tuple[float, ...]:
        """Values to write beside it, in rising order."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """From 0 to a round number that no value exceeds."""

    top: float
    step: float

    @classmethod
    def over(cls, values: Iterable[float], steps: int = 4) -> Linear:
        """The scale for some values, with about so many steps."""
        highest = max((value for value in values if math.isfinite(value)), default=0.0)
        step = _round_step(max(highest, 1e-9) / steps) if highest > 0 else 1.0
        return cls(step * max(1, math.ceil(highest / step - 1e-9)), step)

    def share(self, value: float) -> float:
        """Where a value is."""
        return min(max(value / self.top, 0.0), 1.0)

    def ticks(self) -> tuple[float, ...]:
        """Multiples of the step."""
        return tuple(self.step * i for i in range(round(self.top / self.step) + 1))


@dataclass(frozen=True, slots=True)
class Log:
    """From one power of ten to another: each is as far from the next."""

    low: int
    high: int

    @classmethod
    def over(cls, values: Iterable[float]) -> Log:
        """The scale for some values; those that are not above 0 stand at its bottom."""
        known = [value for value in values if math.isfinite(value) and value > 0]
        low = math.floor(math.log10(min(known, default=1.0)))
        return cls(low, max(low + 1, math.ceil(math.log10(max(known, default=10.0)))))

    def share(self, value: float) -> float:
        """Where a value is."""
        if value <= 0:
            return 0.0
        return min(max((math.log10(value) - self.low) / (self.high - self.low), 0.0), 1.0)

    def ticks(self) -> tuple[float, ...]:
        """The powers of ten."""
        return tuple(10.0**power for power in range(self.low, self.high + 1))


def _round_step(least: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is no less."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
