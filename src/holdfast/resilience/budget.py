"""A budget of retries, so that a downstream in trouble is not buried under them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from holdfast.resilience.checks import at_least, not_negative


class RetryBudget:
    """A token bucket: calls fill it a little, each retry empties it by one.

    So retries are at most `ratio` of the calls plus `per_s` each second, over any time longer than the
    bucket's `capacity` lasts. First tries are never held back. After Finagle's `RetryBudget` (20 % and 10
    per second); the capacity does what there the expiry of tokens does.

    One budget is shared by all that call a downstream, from any thread.

    Args:
        ratio: tokens that each first try adds: 0.2 allows one retry for five calls.
        per_s: tokens that each second adds, so that rare calls can be tried again too.
        capacity: tokens that the bucket holds at most; it begins full.
        clock: seconds that never go back.

    Raises:
        PolicyError: a value is out of its range.
    """

    def __init__(
        self,
        *,
        ratio: float = 0.2,
        per_s: float = 10.0,
        capacity: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        not_negative("ratio", ratio)
        not_negative("per_s", per_s)
        at_least("capacity", capacity, 1)
        self._ratio = ratio
        self._per_s = per_s
        self._capacity = float(capacity)
        self._clock = clock
        self._tokens = float(capacity)
        self._filled = clock()
        self._lock = threading.Lock()

    def first_try(self) -> None:
        """Count a call that is made for the first time."""
        # Read without the lock: a full bucket, which is nearly always so, takes no more.
        if self._tokens < self._capacity:
            with self._lock:
                self._tokens = min(self._capacity, self._tokens + self._ratio)

    def take(self) -> bool:
        """Take a token for a retry; False if there is none."""
        with self._lock:
            self._fill()
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True

    def tokens(self) -> float:
        """How many retries it allows now."""
        with self._lock:
            self._fill()
            return self._tokens

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._filled) * self._per_s)
        self._filled = now
