"""The states of a circuit, and what is told when one follows another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class CircuitState(IntEnum):
    """What a circuit breaker does with calls.

    The numbers are exported as metrics and are those of resilience4j's state order, so that dashboards and
    alerts made for it go on to work. They never change.
    """

    CLOSED = 0
    """Calls pass and are counted."""

    OPEN = 1
    """Calls are refused until the open time is over."""

    HALF_OPEN = 2
    """A fixed number of calls pass as probes; their results decide."""

    DISABLED = 3
    """An operator let all calls pass; nothing is counted."""

    FORCED_OPEN = 4
    """An operator refused all calls, until another order."""

    METRICS_ONLY = 5
    """Calls pass and are counted, but never refused: to learn what a breaker would do."""

    @property
    def words(self) -> str:
        """How people are told: "half-open"."""
        return _WORDS[self]


_WORDS: Final[dict[CircuitState, str]] = {
    CircuitState.CLOSED: "closed",
    CircuitState.OPEN: "open",
    CircuitState.HALF_OPEN: "half-open",
    CircuitState.DISABLED: "disabled",
    CircuitState.FORCED_OPEN: "forced open",
    CircuitState.METRICS_ONLY: "observe only",
}


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a circuit.

    Attributes:
        breaker: name of the breaker.
        before: the state that ended.
        after: the state that began. Equal to `before` only for METRICS_ONLY, when the breaker would have
            opened.
        generation: number of the state that began; it grows with every change.
        at: when, in seconds of the breaker's clock.
        reason: why, for a person: "31 of 50 calls failed, which reaches failure_rate 0.5".
    """

    breaker: str
    before: CircuitState
    after: CircuitState
    generation: int
    at: float
    reason: str
