"""A sink behind its breaker, and what is let through to it while it is in trouble."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from holdfast.errors import CircuitOpen, SinkDown, SinkError, SinkRefused
from holdfast.resilience import Backoff, BreakerSettings, CircuitBreaker, CircuitState
from holdfast.runtime.pace import Pace
from holdfast.runtime.stage import Stage, Written
from holdfast.sinks.base import Refusal, Sink, SinkBatch

_BACKOFF: Final = Backoff(base_s=0.2, cap_s=10.0)

MOST_WRITES: Final = 25_000
"""Writes in one batch, about: what memory allows."""

_QUICK: Final = 0.2
"""Of its timeout: batches that take less grow, and those that take twice as long shrink."""

_FIRST_WRITES: Final = 1_000
"""Writes in the first batch, before it is known how long a batch takes."""


class GuardedSink:
    """A sink whose errors are told apart, and whose failures are counted.

    Args:
        name: its name.
        sink: the sink.
        settings: of its breaker.
        timeout: seconds that a batch may take.

    Attributes:
        name: its name.
        timeout: seconds that a batch may take.
        breaker: its breaker.
        took_s: seconds that the last batch took that it wrote.
        keeps_positions: whether batches without writes are for it as well.
    """

    def __init__(self, name: str, sink: Sink, settings: BreakerSettings, timeout: float) -> None:
        self.name = name
        self.timeout = timeout
        # Whatever else it says, it has answered.
        self.breaker = sink.breaker or CircuitBreaker(name, settings, failures=(SinkDown,))
        self.took_s = 0.0
        self.keeps_positions = sink.keeps_positions
        self._sink = sink

    def write(self, batch: SinkBatch) -> Written:
        """Write a batch; see `Stage.write`."""
        if self._sink.breaker is not None:
            return Written(self._write(batch))
        try:
            return Written(self.breaker.call(self._write, batch))
        except CircuitOpen as error:
            raise SinkDown(f"sink {self.name!r}: {error}", error.wait_s) from error

    def wait_s(self) -> float:
        """Seconds until its breaker lets a call pass."""
        return self.breaker.wait_s()

    @property
    def is_half_open(self) -> bool:
        """Whether its breaker lets single calls through only."""
        return self.breaker.state is CircuitState.HALF_OPEN

    def _write(self, batch: SinkBatch) -> Sequence[Refusal]:
        began = time.monotonic()
        try:
            refusals: object = self._sink.write(batch)
        except SinkRefused as error:
            raise SinkError(
                f"{error} (sink {self.name!r} raised this error; a sink returns it, in a Refusal that names "
                "the record)"
            ) from error
        except SinkError:
            raise
        except Exception as error:
            raise SinkError(
                f"sink {self.name!r} raised {type(error).__name__}: {error}. A sink raises SinkDown when its "
                "system does not answer, and names the records that it refuses; anything else ends the worker"
            ) from error
        if not isinstance(refusals, Sequence) or not all(isinstance(each, Refusal) for each in refusals):
            raise SinkError(
                f"sink {self.name!r} returned {type(refusals).__name__} from `write`; it returns a list of "
                "Refusal, mostly an empty one"
            )
        self.took_s = time.monotonic() - began
        return refusals

    def close(self) -> None:
        """Let go of connections."""
        self._sink.close()


class SinkGate:
    """Lets records through to a sink: all of them, none for a while, or one to see whether it is back.

    Batches grow while they are quick and shrink when they are slow; after an outage they begin with a single
    write. So a sink that has just come back is not flooded, and none gets more than it can take in time. What
    has waited for it comes at the rate that it had before, and then faster and faster; see `Pace`.

    Args:
        stage: the sink, or what asks for it.
        clock: seconds that never go back.

    Attributes:
        sink: the sink's name.
        most: about how many writes the next batch may have.
        reason: what it said last, while it is in trouble.
    """

    def __init__(self, stage: Stage, clock: Callable[[], float] = time.monotonic) -> None:
        self.sink = stage.name
        self.reason = ""
        self.most = _FIRST_WRITES
        self._stage = stage
        self._clock = clock
        self._failures = 0
        self._shut_until: float | None = None
        self._pace = Pace(clock)

    @property
    def is_open(self) -> bool:
        """Whether all records pass."""
        return self._shut_until is None

    @property
    def is_shut(self) -> bool:
        """Whether none passes. Neither open nor shut: one may."""
        return self._shut_until is not None and self._clock() < self._shut_until

    @property
    def seconds_shut(self) -> float:
        """Seconds until one may pass; 0 if one may now."""
        return max(self._shut_until - self._clock(), 0.0) if self._shut_until is not None else 0.0

    def room(self, waiting: int) -> int:
        """How many records more the open unit may take for now; 0 if none.

        Args:
            waiting: how many writes it has already.
        """
        return int(min(self.most, self._pace.room(waiting)))

    @property
    def is_pacing(self) -> bool:
        """Whether what waited for the sink is held back for now."""
        return self._pace.is_on

    def sends(self, writes: int) -> None:
        """A batch of so many writes is on its way."""
        self._pace.sent(writes)

    def failed(self, error: SinkDown) -> None:
        """The sink did not take something: let nothing through until it is worth a try."""
        self._failures += 1
        self._pace.away()
        self.most = 1
        refused = error.__cause__ if isinstance(error.__cause__, CircuitOpen) else None
        self.reason = self.reason if refused and self.reason else str(error)
        pause = _BACKOFF.wait_s(self._failures)
        if refused is None:
            # The breaker may have opened by that very failure.
            wait = max(error.wait_s or 0.0, pause, 0.0 if self._stage.is_half_open else self._stage.wait_s())
        elif refused.state == CircuitState.HALF_OPEN.name:
            # Beside a probe, which has its result soon: the breaker says how long it may take at most.
            wait = pause
        else:
            wait = error.wait_s or 0.0
        self._shut_until = self._clock() + wait

    def succeeded(self, writes: int) -> None:
        """The sink took a batch of so many writes."""
        share = self._stage.took_s / self._stage.timeout
        if share < _QUICK:
            self.most = min(2 * self.most, MOST_WRITES)
        elif share > 2 * _QUICK:
            self.most = max(self.most // 2, 1)
        if self._shut_until is not None and not self._stage.is_half_open:
            self._failures = 0
            self._shut_until = None
            self.reason = ""
            self._pace.back()
        elif self._shut_until is None:
            self._pace.took(writes)
