"""A circuit breaker of a worker, with the sinks that it stands before."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.resilience import CircuitBreaker, CircuitState, Transition


class Guard:
    """A breaker with the names of the sinks whose calls it counts, and what was told of it last.

    Args:
        sinks: these names.
        breaker: the breaker.

    Attributes:
        sinks: see above.
        breaker: see above.
    """

    def __init__(self, sinks: Iterable[str], breaker: CircuitBreaker) -> None:
        self.sinks = tuple(sinks)
        self.breaker = breaker
        self._last: Transition | None = None
        breaker.listen(self._hear)

    def _hear(self, transition: Transition) -> None:
        self._last = transition

    @property
    def last(self) -> Transition | None:
        """What was told of it last; None if it has always been closed."""
        return self._last

    @property
    def reason(self) -> str:
        """Why it is in its state."""
        return self._last.reason if self._last is not None else ""

    @property
    def is_half_open(self) -> bool:
        """Whether it lets single calls through only."""
        return self.breaker.state is CircuitState.HALF_OPEN

    @property
    def is_forced_open(self) -> bool:
        """Whether it refuses all calls until another order."""
        return self.breaker.state is CircuitState.FORCED_OPEN

    @property
    def wait_s(self) -> float:
        """Seconds until it is worth a call; infinite while it is forced open.

        0 for a half-open one, also while its probe is under way: that has its result soon, and how long it
        may take at most, without end here, is no time to wait.
        """
        return 0.0 if self.is_half_open else self.breaker.wait_s()
