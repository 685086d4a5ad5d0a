"""A sink behind its breaker, and what is let through to it while it is in trouble."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from math import inf
from operator import attrgetter
from typing import Final, Protocol

from holdfast.errors import (
    CircuitOpen,
    RecordFailed,
    SinkDown,
    SinkError,
    SinkRefused,
    SinkSlow,
    StoppedBySink,
)
from holdfast.resilience import Backoff, BreakerSettings, CircuitState
from holdfast.runtime.guards import Guard
from holdfast.runtime.outages import batch_breaker, outage_of
from holdfast.runtime.pace import Pace
from holdfast.runtime.stage import Stage, Written
from holdfast.sinks.base import Refusal, Sink, SinkBatch

_BACKOFF: Final = Backoff(base_s=0.2, cap_s=10.0)

MOST_WRITES: Final = 25_000
"""Writes in one batch, about: what memory allows."""

_QUICK: Final = 0.2
_QUICK_S: Final = 0.5
"""A batch that takes less than this share of its timeout, and than so many seconds, is followed by larger
ones; one that takes twice as long, by smaller ones. What a batch costs by itself is some 20 ms, and its first
records wait for its last."""

_FIRST_WRITES: Final = 1_000
"""Writes in the first batch, before it is known how long a batch takes."""


_FORCED: Final = "it is forced open"

_TRYING_S: Final = 1.0
"""For how long after a pause a record is likely to be on its way: it has to be fetched first."""

_HELD_S: Final = 0.02
"""How soon to look again whether it is known what was forced; nothing else keeps inputs from being read."""


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
        guards: its breaker, as a stage has it.
    """

    def __init__(self, name: str, sink: Sink, settings: BreakerSettings, timeout: float) -> None:
        self.name = name
        self.timeout = timeout
        self.breaker = sink.breaker or batch_breaker(name, settings)
        self.guards: Sequence[Guard] = [Guard([name], self.breaker)]
        self.took_s = 0.0
        self.keeps_positions = sink.keeps_positions
        self._sink = sink

    def write(self, batch: SinkBatch) -> Written:
        """Write a batch; see `Stage.write`."""
        refusals = self._write_once(batch)
        if not refusals:
            return Written()
        self._require_known(refusals, batch)
        new = [each for each in refusals if not each.is_noted]
        if new and batch.stops_at_refusal:
            first = min(new, key=attrgetter("position"))
            raise RecordFailed(first.position, StoppedBySink(first.error))
        return Written(refusals)

    def _require_known(self, refusals: Sequence[Refusal], batch: SinkBatch) -> None:
        known = {write.position for write in batch.writes}
        for each in refusals:
            if each.position not in known:
                raise SinkError(f"sink {self.name!r} refuses {each.position}, which is not in the batch")

    def _write_once(self, batch: SinkBatch) -> Sequence[Refusal]:
        if self._sink.breaker is not None:
            return self._write(batch)
        try:
            return self.breaker.call(self._write, batch)
        except CircuitOpen as error:
            raise SinkDown(f"sink {self.name!r}: {error}", error.wait_s) from error

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
            if (outage := outage_of(error, f"sink {self.name!r}")) is not None:
                raise outage from outage.__cause__
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


class Control(Protocol):
    """Lets operators force the breakers of a gate."""

    def close(self) -> None:
        """Let go of it."""


class SinkGate:
    """Lets records through to a sink: all of them, none for a while, or one to see whether it is back.

    Batches grow while they are quick and shrink when they are slow; after an outage they begin with a single
    write. So a sink that has just come back is not flooded, and none gets more than it can take in time. What
    has waited for it comes at the rate that it had before, and then faster and faster; see `Pace`.

    The breakers are asked whenever the gate is, so that it follows an order that is given or ends meanwhile.

    Args:
        stage: the sink, or what asks for it.
        clock: seconds that never go back.
        control: lets operators force its breakers. The gate then begins shut, until `let_go`: what was forced
            before the worker began has to be known before anything passes.

    Attributes:
        sink: the sink's name.
        most: about how many writes the next batch may have.
        guards: the breakers behind it.
        paused: the shards that wait at it; read by other threads, too.
    """

    def __init__(
        self, stage: Stage, clock: Callable[[], float] = time.monotonic, control: Control | None = None
    ) -> None:
        self.sink = stage.name
        self.most = _FIRST_WRITES
        self.guards = tuple(stage.guards)
        self.paused: tuple[int, ...] = ()
        self._stage = stage
        self._clock = clock
        self._control = control
        self._is_held = control is not None
        self._forced = ""
        self._said = ""
        self._failures = 0
        self._shut_until: float | None = None
        self._seen_shut = -inf
        self._pace = Pace(clock)

    @property
    def is_open(self) -> bool:
        """Whether all records pass."""
        return self._shut_until is None and not self._is_held

    @property
    def is_shut(self) -> bool:
        """Whether none passes. Neither open nor shut: one may."""
        return self.seconds_shut > 0

    @property
    def is_troubled(self) -> bool:
        """Whether none passes, or one is about to be tried.

        For people, who would be told with each try that the outage is over.
        """
        return self.is_shut or (not self.is_open and self._clock() - self._seen_shut < _TRYING_S)

    @property
    def seconds_shut(self) -> float:
        """Seconds until one may pass, as far as is known; infinite while it is forced open."""
        if self._is_held:
            return _HELD_S
        if self._shut_until is None:
            return 0.0
        return max(self._shut_until - self._clock(), *(guard.wait_s for guard in self.guards))

    @property
    def states(self) -> dict[str, str]:
        """The state of each breaker in words, by the sink that it stands before."""
        return {", ".join(guard.sinks): guard.breaker.state.words for guard in self.guards}

    @property
    def pause_s(self) -> float | None:
        """Seconds left of the pause that the sink asked for, or has as it failed; None while it has none.

        Whatever its breakers say; may be asked by other threads.
        """
        until = self._shut_until
        return None if until is None else max(until - self._clock(), 0.0)

    @property
    def reason(self) -> str:
        """Who forced it open; else what the sink said last, while it is in trouble."""
        return self._forced or self._said

    def let_go(self) -> None:
        """It is known what was forced, or cannot be. May be called on another thread."""
        self._is_held = False

    def look(self, shards: Iterable[int]) -> None:
        """Shut it if somebody forced a breaker open, before anything is refused.

        Args:
            shards: those that have records for it.
        """
        before = self._forced
        self._forced = next((guard.reason or _FORCED for guard in self.guards if guard.is_forced_open), "")
        if self._forced and self._shut_until is None:
            self._pace.away()
            self.most = 1
            self._shut_until = self._clock()
        elif before and not self._forced and not self._failures:
            # Nothing failed, so there is nothing to be tried first.
            self._open()
        if self.is_shut:
            self._seen_shut = self._clock()
        self.paused = () if self.is_open else tuple(sorted(shards))

    def room(self, waiting: int) -> int:
        """How many records more the open unit may take for now; 0 if none.

        Args:
            waiting: how many writes it has already.
        """
        return int(min(max(self.most - waiting, 1), self._pace.room(waiting)))

    @property
    def is_pacing(self) -> bool:
        """Whether what waited for the sink is held back for now."""
        return self._pace.is_on

    def sends(self, writes: int) -> None:
        """A batch of so many writes is on its way."""
        self._pace.sent(writes)

    def failed(self, error: SinkDown) -> None:
        """The sink did not take something: let nothing through until it is worth a try."""
        if isinstance(error, SinkSlow):
            # The system is there, and what it was done with costs it nothing when it comes again.
            self.most = max(min(self.most, error.done) // 2, 1)
            return
        refused = error.__cause__ if isinstance(error.__cause__, CircuitOpen) else None
        state = refused.state if refused is not None else ""
        # What a breaker of ours says is not noted here: it is asked, and may be told otherwise meanwhile.
        is_ours = bool(refused) and any(guard.wait_s > 0 for guard in self.guards)
        if is_ours and state == CircuitState.FORCED_OPEN.name:
            # It was on its way when that was ordered: the next look shuts the gate.
            return
        self._failures += 1
        # The pause may be next to none.
        self._seen_shut = self._clock()
        self._pace.away()
        self.most = 1
        self._said = self._said if refused and self._said else str(error)
        pause = _BACKOFF.wait_s(self._failures)
        if state == CircuitState.HALF_OPEN.name:
            # Beside a probe, which has its result soon.
            wait = pause
        elif is_ours:
            wait = 0.0
        else:
            # For ever is no time that a system can ask for.
            wait = max(error.wait_s if error.wait_s is not None and error.wait_s < inf else 0.0, pause)
        self._shut_until = self._clock() + wait

    def succeeded(self, writes: int) -> None:
        """The sink took a batch of so many writes."""
        quick = min(_QUICK * self._stage.timeout, _QUICK_S)
        if self._stage.took_s < quick:
            self.most = min(2 * self.most, MOST_WRITES)
        elif self._stage.took_s > 2 * quick:
            self.most = max(self.most // 2, 1)
        if self._shut_until is not None and not any(guard.is_half_open for guard in self.guards):
            self._open()
        elif self._shut_until is None:
            self._pace.took(writes)

    def _open(self) -> None:
        self._failures = 0
        self._shut_until = None
        self._said = ""
        self._pace.back()

    def close(self) -> None:
        """Let go of what controls it."""
        if self._control is not None:
            self._control.close()
