"""The state machine of a circuit breaker: no clock, no lock, no I/O.

Semantics: resilience4j's `CircuitBreakerStateMachine`, for threads and for tasks alike. Every state has a
generation; a call is admitted under one and its result counts only while that one lasts, so a call that began
before the circuit opened can neither close nor open it when it ends long after.

Whoever calls holds a lock; `free`, `era`, `state` and `transitions` may be read without one.

**The quick way.** While no call in the window failed or was slow, another success changes nothing but the
number of calls. Such a success is only noted, in a deque of the present era, which needs no lock; the notes
are counted when a failure comes, when somebody looks, and once in a second. As soon as one call in the
window failed or was slow, every result is counted at once, under the lock, since any of them can open the
circuit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from holdfast.resilience.settings import BreakerSettings
from holdfast.resilience.states import CircuitState, Transition
from holdfast.resilience.window import CountWindow, TimeWindow, Window

REFUSED = 0
"""What `admit` answers when the call must not be made; generations begin at 1."""


class Era:
    """A state in which calls pass, as long as nothing in its window failed or was slow.

    Attributes:
        generation: of the state.
        note: takes None for each success; an atomic append.
        notes: what it appended to, and nobody counted yet.
        until: end of the second that the notes belong to.
    """

    __slots__ = ("generation", "note", "notes", "until")

    def __init__(self, generation: int, now: float) -> None:
        self.generation = generation
        self.until = int(now) + 1
        self.notes: deque[None] = deque()
        self.note = self.notes.append

    def take(self) -> int:
        """How many successes were noted since the last time."""
        notes = self.notes
        count = len(notes)  # more may come in this moment: they are for the next time
        for _ in range(count):
            notes.popleft()
        return count


_PASSES_ALL = (CircuitState.CLOSED, CircuitState.DISABLED, CircuitState.METRICS_ONLY)


class Machine:
    """One circuit.

    Args:
        name: of the breaker, for its transitions.
        settings: when it opens and closes.
        now: the time, in seconds of a clock that never goes back.
        jitter: answers random numbers from 0 to 1.

    Attributes:
        state: the present one. An open circuit whose time is over stays OPEN until the next call asks.
        generation: number of the present state.
        era: where a success may be noted without asking; None unless calls pass and the window is clean.
        free: the generation, if calls may pass without asking (`admit`), else 0.
        since: when the present state began.
        transitions: what changed and was not told yet, oldest first; whoever tells of one removes it.
        succeeded, failed, slow, refused, late: counts over the whole life. `late` results came for a state
            that was over; they are in no other count.
    """

    def __init__(self, name: str, settings: BreakerSettings, now: float, jitter: Callable[[], float]) -> None:
        self._name = name
        self._settings = settings
        self._minimum_calls = settings.minimum_calls
        # None is for never, and so is a fraction above 1.
        self._failure_rate = 2.0 if settings.failure_rate is None else settings.failure_rate
        self._slow_call_rate = 2.0 if settings.slow_call_rate is None else settings.slow_call_rate
        self._jitter = jitter
        self._next_open_s = settings.open_s
        self._until = now
        self._permits = 0
        self._would_open = False
        self.transitions: deque[Transition] = deque()
        self.succeeded = self.failed = self.slow = self.refused = self.late = 0
        self.state = CircuitState.CLOSED
        self.generation = self.free = 1
        self.since = now
        self.window = self._new_window(now)
        self.era: Era | None = Era(1, now)
        self._era = self.era

    def admit(self, now: float) -> int:
        """Ask whether a call may be made; answers the generation for its result, or REFUSED."""
        if self.state is CircuitState.OPEN and now >= self._until:
            self._half_open(now)
        elif self.state is CircuitState.HALF_OPEN and now >= self._until:
            self._open(now, f"probes had no result for {self._settings.half_open_s:g} s")
        if self.free:
            return self.free
        if self.state is CircuitState.HALF_OPEN and self._permits:
            self._permits -= 1
            return self.generation
        self.refused += 1
        return REFUSED

    def wait_s(self, now: float) -> float:
        """After how many seconds a call may pass: 0 if one may now, infinite while it is forced open.

        While all probes of a half-open circuit are under way this is the longest that they may take.
        """
        if self.free or (self.state is CircuitState.HALF_OPEN and self._permits):
            return 0.0
        return float("inf") if self.state is CircuitState.FORCED_OPEN else max(0.0, self._until - now)

    def settle(self, generation: int, failed: bool, slow: bool, now: float) -> None:
        """Count the result of a call that was admitted under `generation`."""
        if generation != self.generation:
            self.late += 1
            return
        if failed:
            self.failed += 1
        else:
            self.succeeded += 1
        if slow:
            self.slow += 1
        state = self.state
        if state is CircuitState.DISABLED:
            return
        era = self._era
        if era.notes or now >= era.until:
            self.look(now)
        window = self.window
        window.add(failed, slow, now)
        if state is CircuitState.HALF_OPEN:
            self._judge_probes(now)
        elif window.failed or window.slow:
            self.era = None
            # Every result comes here while something in the window failed, so no call is made in vain.
            calls = window.calls
            if calls >= self._minimum_calls:
                if window.failed / calls >= self._failure_rate or window.slow / calls >= self._slow_call_rate:
                    self._judge_window(now)
                else:
                    self._would_open = False
        else:
            self.era = self._era
            self._would_open = False

    def look(self, now: float) -> None:
        """Count what was noted, so that the window and the counts are those of this moment."""
        era = self._era
        count = era.take()
        if count:
            self.succeeded += count
            self.window.add_successes(count, era.until - 1)
        if now >= era.until:
            era.until = int(now) + 1

    def release(self, generation: int) -> None:
        """Give back the place of a call that was admitted but has no result (cancelled, or ignored)."""
        if generation == self.generation and self.state is CircuitState.HALF_OPEN:
            self._permits += 1

    def enter(self, state: CircuitState, now: float, reason: str) -> None:
        """Go to `state` by order; CLOSED also forgets how often the circuit opened before."""
        if state is CircuitState.OPEN:
            self._open(now, reason)
        elif state is CircuitState.CLOSED:
            self._close(now, reason)
        else:
            self._begin(state, now, reason)

    def rates(self, now: float) -> tuple[float | None, float | None]:
        """The failure rate and the slow-call rate of the window; None while it holds too few calls.

        And None for the slow-call rate where nothing says what is slow.
        """
        self.look(now)
        window = self.window
        window.advance(now)
        least = self._settings.minimum_calls if self.state is not CircuitState.HALF_OPEN else 1
        if window.calls < least:
            return None, None
        slow = None if self._settings.slow_call_s is None else window.slow / window.calls
        return window.failed / window.calls, slow

    def _judge_window(self, now: float) -> None:
        reason = self._too_high(self.window.calls)
        assert reason is not None, "asked only when a rate is reached"
        if self.state is CircuitState.CLOSED:
            self._open(now, reason)
        elif not self._would_open:
            # Once for each time that the rate crosses its limit: this state is for watching.
            self._would_open = True
            self._tell(self.state, now, f"would have opened: {reason}")

    def _judge_probes(self, now: float) -> None:
        # A failure rate that is reached of all probes stays reached whatever the others do.
        reason = self._too_high(self._settings.half_open_calls)
        if reason is not None:
            self._open(now, f"probes: {reason}")
        elif self.window.calls >= self._settings.half_open_calls:
            self._close(
                now, f"{self.window.calls - self.window.failed} of {self.window.calls} probes succeeded"
            )

    def _too_high(self, calls: int) -> str | None:
        # Divided, not multiplied: 55 / 100 is the same number as a setting of 0.55, and 0.55 * 100 is not 55.
        settings, window = self._settings, self.window
        if window.failed / calls >= self._failure_rate:
            return (
                f"{window.failed} of {calls} calls failed, "
                f"which reaches failure_rate {settings.failure_rate:g}"
            )
        if window.slow / calls >= self._slow_call_rate:
            return (
                f"{window.slow} of {calls} calls took {settings.slow_call_s:g} s or more, "
                f"which reaches slow_call_rate {settings.slow_call_rate:g}"
            )
        return None

    def _open(self, now: float, reason: str) -> None:
        settings = self._settings
        spread = 1 + settings.open_jitter * (2 * self._jitter() - 1)
        self._until = now + self._next_open_s * spread
        self._next_open_s = min(settings.open_limit_s, self._next_open_s * settings.open_growth)
        self._begin(CircuitState.OPEN, now, reason)

    def _half_open(self, now: float) -> None:
        self._until = now + self._settings.half_open_s
        self._permits = self._settings.half_open_calls
        self._begin(CircuitState.HALF_OPEN, now, "its open time is over")

    def _close(self, now: float, reason: str) -> None:
        self._next_open_s = self._settings.open_s
        self._begin(CircuitState.CLOSED, now, reason)

    def _begin(self, state: CircuitState, now: float, reason: str) -> None:
        self.look(now)
        before = self.state
        self.era = None
        self.state = state
        self.since = now
        self.generation += 1
        self.free = self.generation if state in _PASSES_ALL else 0
        self._would_open = False
        self._era = Era(self.generation, now)
        if state is CircuitState.CLOSED or state is CircuitState.METRICS_ONLY:
            self.era = self._era
        if state is not CircuitState.OPEN:  # an open circuit still shows what opened it
            probes = state is CircuitState.HALF_OPEN
            self.window = CountWindow(self._settings.half_open_calls) if probes else self._new_window(now)
        self._tell(before, now, reason)

    def _new_window(self, now: float) -> Window:
        settings = self._settings
        if settings.window_calls is not None:
            return CountWindow(settings.window_calls)
        assert settings.window_s is not None
        return TimeWindow(settings.window_s, now)

    def _tell(self, before: CircuitState, now: float, reason: str) -> None:
        self.transitions.append(Transition(self._name, before, self.state, self.generation, now, reason))
