"""Settings of a circuit breaker."""

from __future__ import annotations

import math
from dataclasses import dataclass

from holdfast.errors import PolicyError
from holdfast.resilience.checks import at_least, fraction, number_from, positive


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a circuit opens, and how it closes again.

    The semantics are resilience4j's, with these differences: rates are fractions, and a half-open circuit
    opens again as soon as its remaining probes cannot change that. All times are in seconds.

    Attributes:
        failure_rate: the circuit opens when this fraction of the calls in the window failed, or more. None:
            never.
        slow_call_rate: the same for slow calls, whether they failed or not. None: never.
        slow_call_s: how long a call takes at least to be slow; needed with `slow_call_rate`.
        window_s: look at the calls of so many last seconds, in whole seconds.
        window_calls: look at so many last calls instead; then `window_s` must be None.
        minimum_calls: rates are looked at from so many calls in the window on.
        open_s: for how long the circuit refuses calls when it opens first.
        open_growth: by what that time is multiplied when the probes failed and it opens again.
        open_limit_s: what it grows to at most.
        open_jitter: each open time is multiplied by a random number from 1 - open_jitter to 1 +
            open_jitter, so that many workers do not probe at the same moment.
        half_open_calls: how many calls pass as probes before it is decided.
        half_open_s: for how long a half-open circuit waits for its probes before it opens again.

    Raises:
        PolicyError: a value is out of its range, or with these values the circuit could never open.
    """

    failure_rate: float | None = 0.5
    slow_call_rate: float | None = None
    slow_call_s: float | None = None
    window_s: int | None = 30
    window_calls: int | None = None
    minimum_calls: int = 20
    open_s: float = 5.0
    open_growth: float = 2.0
    open_limit_s: float = 60.0
    open_jitter: float = 0.2
    half_open_calls: int = 5
    half_open_s: float = 60.0

    def __post_init__(self) -> None:
        if self.failure_rate is not None:
            fraction("failure_rate", self.failure_rate)
        if self.slow_call_rate is not None:
            fraction("slow_call_rate", self.slow_call_rate)
        if self.slow_call_s is not None:
            positive("slow_call_s", self.slow_call_s)
        self._check_window()
        positive("open_s", self.open_s)
        positive("half_open_s", self.half_open_s)
        at_least("half_open_calls", self.half_open_calls, 1)
        number_from("open_growth", self.open_growth, 1)
        if self.open_limit_s != math.inf:
            positive("open_limit_s", self.open_limit_s)
        number_from("open_jitter", self.open_jitter, 0)
        if self.open_limit_s < self.open_s:
            raise PolicyError(
                f"open_limit_s ({self.open_limit_s!r}) must not be below open_s ({self.open_s!r})"
            )
        if not self.open_jitter < 1:
            raise PolicyError(f"open_jitter must be 0 or more and below 1, not {self.open_jitter!r}")
        self._check_that_it_can_open()

    def _check_window(self) -> None:
        if (self.window_s is None) == (self.window_calls is None):
            raise PolicyError(
                "a breaker has one window: give window_s (seconds) or window_calls, and set the other to None"
            )
        if self.window_s is not None:
            at_least("window_s", self.window_s, 1)
        if self.window_calls is not None:
            at_least("window_calls", self.window_calls, 1)
        at_least("minimum_calls", self.minimum_calls, 1)

    def _check_that_it_can_open(self) -> None:
        if self.failure_rate is None and self.slow_call_rate is None:
            raise PolicyError("this breaker can never open: set failure_rate, slow_call_rate, or both")
        if (self.slow_call_rate is None) != (self.slow_call_s is None):
            raise PolicyError("slow_call_rate and slow_call_s work only together: set both or none")
        if self.window_calls is not None and self.minimum_calls > self.window_calls:
            raise PolicyError(
                f"this breaker can never open: its window holds {self.window_calls} calls, and rates are "
                f"looked at from {self.minimum_calls} calls on; lower minimum_calls or raise window_calls"
            )
