"""How long to wait before another try."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.errors import PolicyError
from holdfast.resilience.checks import positive


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter.

    The wait before retry n (from 1) is a random number from 0 to min(cap_s, base_s * 2 ** (n - 1)). Of the
    known kinds of jitter it makes the fewest calls for the same time to success: M. Brooker, "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015.

    Attributes:
        base_s: upper limit of the first wait, in seconds.
        cap_s: upper limit of every wait, in seconds.

    Raises:
        PolicyError: a value is not above 0, or the cap is below the base.
    """

    base_s: float = 0.05
    cap_s: float = 5.0

    def __post_init__(self) -> None:
        positive("base_s", self.base_s)
        positive("cap_s", self.cap_s)
        if self.cap_s < self.base_s:
            raise PolicyError(f"cap_s ({self.cap_s!r}) must not be below base_s ({self.base_s!r})")

    def limit_s(self, retry: int) -> float:
        """The longest wait before retry number `retry`, from 1."""
        # Above 2 ** 62 every cap is reached, and far above it a float could not hold the power.
        return min(self.cap_s, self.base_s * 2.0 ** min(retry - 1, 62))

    def wait_s(self, retry: int, jitter: Callable[[], float] = random.random) -> float:
        """A wait before retry number `retry`, from 1; `jitter` answers random numbers from 0 to 1."""
        return self.limit_s(retry) * jitter()
